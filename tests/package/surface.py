"""The public surface: what other people's programs and deployed stacks rely on, and what changed of it since a release.

Names and signatures come from the modules, types and names of resources from a recording of every component.
"""

import dataclasses
import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

from gke_llm_inference.preview.recording import Recording, Resource

MODULES = (
    "gke_llm_inference",
    "gke_llm_inference.components",
    "gke_llm_inference.planning",
    "gke_llm_inference.settings",
)

Surface = dict[str, Any]
"""`names`: what each public name takes, by `module.name`. `resources`: children of each component, by type token."""


def surface_of(recording: Recording) -> Surface:
    """Today's surface; the recording holds every component in every variant."""
    return {"names": dict(sorted(_names())), "resources": _resources(recording)}


def _names() -> Iterator[tuple[str, list[str]]]:
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        for name in module.__all__:
            yield f"{module_name}.{name}", _members(getattr(module, name))


def _members(item: Any) -> list[str]:
    """What a caller can give and read: fields with their types, else parameters; then public attributes."""
    if dataclasses.is_dataclass(item):
        return [_field(one) for one in dataclasses.fields(item)]
    if hasattr(item, "model_fields"):
        return sorted(item.model_fields)
    if inspect.isclass(item):
        parameters = [f"({one})" for one in list(inspect.signature(item.__init__).parameters)[1:]]
        attributes = [name for name in inspect.get_annotations(item) if not name.startswith("_")]
        return [*parameters, *sorted(attributes)]
    if callable(item):
        return [f"({one})" for one in inspect.signature(item).parameters]
    return []


def _field(one: "dataclasses.Field[Any]") -> str:
    missing = dataclasses.MISSING
    is_required = one.default is missing and one.default_factory is missing
    return f"{one.name}: {'required' if is_required else 'optional'}"


def _resources(recording: Recording) -> dict[str, list[str]]:
    by_urn = {resource.urn: resource for resource in recording.resources}
    children: dict[str, set[str]] = {resource.type: set() for resource in recording.resources if _is_ours(resource)}
    for resource in recording.resources:
        parent = by_urn.get(resource.parent or "")
        if parent is not None and _is_ours(parent):
            children[parent.type].add(f"{resource.type} {_pattern(resource.name, parent.name)}")
    return {type_: sorted(found) for type_, found in sorted(children.items())}


def _is_ours(resource: Resource) -> bool:
    return resource.type.startswith("gke-llm-inference:")


def _pattern(name: str, parent: str) -> str:
    return f"{{name}}{name[len(parent) :]}" if name.startswith(parent) else "{given}"


def changes(old: Surface, new: Surface) -> list[str]:
    """What an entry in the changelog has to name: every public name and type that came, went or differs."""
    found = []
    for part in ("names", "resources"):
        for key in sorted(old[part].keys() | new[part].keys()):
            if old[part].get(key) != new[part].get(key):
                found.append(key.rpartition(".")[2] if part == "names" else key.rpartition(":")[2])
    return list(dict.fromkeys(found))


def unnamed(changed: list[str], changelog: str) -> list[str]:
    """The changes that the changelog's part on what is not released yet does not name in backquotes."""
    section = changelog.partition("## [Unreleased]")[2].partition("\n## [")[0]
    return [name for name in changed if not re.search(rf"`[^`]*\b{re.escape(name)}\b[^`]*`", section)]


def lost(old: Surface, recording: Recording) -> list[str]:
    """Resources of the last release that no resource is or is an alias of: deployed stacks would lose them."""
    by_urn = {resource.urn: resource for resource in recording.resources}
    known = {type_: set(children) for type_, children in _resources(recording).items()}
    types = set(known)
    for resource in recording.resources:
        parent = by_urn.get(resource.parent or "")
        for alias in resource.aliases:
            type_, name = _alias(alias, resource)
            if type_.startswith("gke-llm-inference:"):
                types.add(type_)
                known.setdefault(type_, set()).update(known.get(resource.type, set()))
            if parent is not None and _is_ours(parent):
                known[parent.type].add(f"{type_} {_pattern(name, parent.name)}")
    gone = [type_ for type_ in old["resources"] if type_ not in types]
    return gone + [
        f"{type_}: {child}"
        for type_, children in old["resources"].items()
        if type_ in types
        for child in children
        if child not in known[type_]
    ]


def _alias(alias: str | dict[str, Any], resource: Resource) -> tuple[str, str]:
    if isinstance(alias, str):
        qualified, name = alias.split("::")[-2:]
        return qualified.rpartition("$")[2], name
    return str(alias.get("type") or resource.type), str(alias.get("name") or resource.name)
