"""What differs between two pod templates, path by path."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gke_llm_inference.catalog.pod_fields import ROOT, FieldType, PodFields

Steps = tuple[str, ...]
"""A place in a template: names of fields, and items of lists in brackets, by their key where the list merges by one."""


@dataclass(frozen=True)
class Difference:
    """A place in two templates that is not the same; None stands for nothing."""

    steps: Steps
    before: Any
    after: Any


def path_of(steps: Steps) -> str:
    """The place in one line, as in `spec.containers[name].image`."""
    return "".join(step if step.startswith("[") else f".{step}" for step in steps).lstrip(".")


def differences(before: Mapping[str, Any], after: Mapping[str, Any], fields: PodFields) -> Iterator[Difference]:
    """Where two pod templates differ, sorted; an object that only one of them has is one difference."""
    yield from _object((), before, after, ROOT, fields)


def _object(
    steps: Steps, before: Mapping[str, Any], after: Mapping[str, Any], of: str, fields: PodFields
) -> Iterator[Difference]:
    for key in sorted(before.keys() | after.keys()):
        kind = fields.field(of, key)
        yield from _field((*steps, key), before.get(key), after.get(key), kind or FieldType("text"), fields)


def _field(steps: Steps, before: Any, after: Any, kind: FieldType, fields: PodFields) -> Iterator[Difference]:
    if before == after:
        return
    if kind.is_map:
        ours, theirs = before or {}, after or {}
        for key in sorted(ours.keys() | theirs.keys()):
            yield from _field((*steps, key), ours.get(key), theirs.get(key), kind.one, fields)
    elif kind.merge_key:
        ours = {str(item[kind.merge_key]): item for item in before or ()}
        theirs = {str(item[kind.merge_key]): item for item in after or ()}
        for name in sorted(ours.keys() | theirs.keys()):
            yield from _field((*steps, f"[{name}]"), ours.get(name), theirs.get(name), kind.one, fields)
    elif isinstance(before, Mapping) and isinstance(after, Mapping):
        yield from _object(steps, before, after, kind.item, fields)
    else:
        yield Difference(steps, before, after)
