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
    return {key: _camel(value) if key != "annotations" else value for key, value in document.items()}


def _camel(value: Any) -> Any:
    """Fields below it under the names that they have in settings."""
    if isinstance(value, dict):
        return {to_camel(key): _camel(item) for key, item in value.items()}
    return [_camel(item) for item in value] if isinstance(value, (list, tuple)) else value
