"""What the pods of a server get beside what is planned, as text and data."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from pydantic.alias_generators import to_camel

from gke_llm_inference.planning.pod.plan import PodExtras


def pod_lines(extras: PodExtras) -> Iterator[str]:
    """The lines of the plan's text; none where there is nothing."""
    yield from (f"  {'pod' if not index else '':<10} {line}" for index, line in enumerate(extras.lines()))


def pod_document(extras: PodExtras) -> dict[str, Any] | None:
    """The part of the plan's JSON; null where there is nothing."""
    document = {to_camel(key): value for key, value in asdict(extras).items() if value}
    if not document:
        return None
    for key in ("variables", "variableSources", "volumes"):
        if key in document:
            document[key] = [{to_camel(name): value for name, value in one.items()} for one in document[key]]
    return document
