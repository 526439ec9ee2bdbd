"""What the pods of a server get beside what is planned, as text and data."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from pydantic.alias_generators import to_camel

from gke_llm_inference.planning.pod.patch_plan import PodPatch
from gke_llm_inference.planning.pod.plan import PodExtras


def pod_lines(extras: PodExtras) -> Iterator[str]:
    """The lines of the plan's text; none where there is nothing."""
    yield from (f"  {'pod' if not index else '':<10} {line}" for index, line in enumerate(extras.lines()))


def pod_document(extras: PodExtras) -> dict[str, Any] | None:
    """The part of the plan's JSON; null where there is nothing."""
    plain = asdict(PodExtras())
    document = {to_camel(key): value for key, value in asdict(extras).items() if value != plain[key]}
    if not document:
        return None
    return {key: _camel(value) if key != "annotations" else value for key, value in document.items()}


def patch_lines(patch: PodPatch | None) -> Iterator[str]:
    """What a patch adds, in the plan's text; what it overrides is among the decisions."""
    added = [str(change) for change in patch.changes if not change.overrides] if patch else []
    yield from (f"  {'podPatch' if not index else '':<10} {line}" for index, line in enumerate(added))


def patch_document(patch: PodPatch | None) -> list[dict[str, Any]]:
    """What a patch changes, in the plan's JSON, sorted by path."""
    return [asdict(change) for change in patch.changes] if patch else []


def _camel(value: Any) -> Any:
    """Fields below it under the names that they have in settings."""
    if isinstance(value, dict):
        return {to_camel(key): _camel(item) for key, item in value.items()}
    return [_camel(item) for item in value] if isinstance(value, (list, tuple)) else value
