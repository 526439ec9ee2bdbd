"""One resource's change in full, as lines in the manner of a diff: `-` old, `+` new."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gke_llm_inference.diff.compare import ResourceChange
from gke_llm_inference.diff.values import ABSENT, PropertyChange
from gke_llm_inference.diff.wording import shortened, visible
from gke_llm_inference.preview.manifests import to_yaml
from gke_llm_inference.preview.tree import short_type
from gke_llm_inference.terminal import SECRET, UNKNOWN


@dataclass(frozen=True)
class Bounds:
    """How much of a change is shown; None for all of it."""

    properties: int | None = None
    """Changes of one resource, and lines of one that is added or removed."""
    value: int | None = None
    """Characters of one value."""


def resource_lines(change: ResourceChange, kind: str, bounds: Bounds) -> Iterator[str]:
    """The lines for one resource, its heading first."""
    resource = change.resource
    heading = f"{resource.name} · {short_type(resource.type)} · {kind}"
    if change.action == "renamed" and change.base is not None:
        heading += f" from {change.base.name}"
    yield f"@@ {_bounded(heading, bounds)} @@"
    if change.action in ("added", "removed"):
        sign = "+" if change.action == "added" else "-"
        # Control characters of values are escapes of YAML already; what is left are marks of direction.
        lines = to_yaml(resource.inputs).splitlines() if resource.inputs else []
        yield from _limited([f"{sign} {_bounded(line, bounds)}" for line in lines], bounds)
        return
    found = [line for one in change.properties for line in _property_lines(one, "", bounds)]
    found += [line for one in change.options for line in _property_lines(one, "option ", bounds)]
    yield from _limited(found, bounds, times=3)


def property_lines(changes: tuple[PropertyChange, ...], bounds: Bounds) -> Iterator[str]:
    """The lines for changes outside resources, such as exports."""
    yield from _limited([line for one in changes for line in _property_lines(one, "", bounds)], bounds, times=3)


def _property_lines(one: PropertyChange, prefix: str, bounds: Bounds) -> Iterator[str]:
    note = " (another order)" if one.reordered else ""
    if one.new == SECRET and one.old is not ABSENT:
        note = " (is secret now)"
    elif one.old == SECRET and one.new is not ABSENT:
        note = " (is no longer secret)"
    yield f"  {_bounded(prefix + (one.text or 'all of it'), bounds)}{note}"
    if one.old is not ABSENT:
        yield f"-   {value_text(one.old, bounds)}"
    if one.new is not ABSENT:
        yield f"+   {value_text(one.new, bounds)}"


def value_text(value: Any, bounds: Bounds) -> str:
    """A value on one line: JSON, but for what stands for secrets and unknowns."""
    text = value if value in (SECRET, UNKNOWN) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return _bounded(text, bounds)


def _bounded(text: str, bounds: Bounds) -> str:
    text = visible(text)
    return text if bounds.value is None else shortened(text, bounds.value)


def _limited(lines: list[str], bounds: Bounds, times: int = 1) -> Iterator[str]:
    most = None if bounds.properties is None else bounds.properties * times
    yield from lines[:most]
    if most is not None and len(lines) > most:
        yield f"  … {len(lines) - most:,} more lines"
