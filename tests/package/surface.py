"""The public surface: what other people's programs and deployed stacks rely on, and what changed of it since a release.

Names and signatures come from the modules, types and names of resources from a recording of every component.
"""

import importlib
import re
from collections.abc import Iterator
from typing import Any

from gke_llm_inference.preview.recording import Recording, Resource
from tools.python_reference import MODULES, members

Surface = dict[str, Any]
"""`names`: what each public name takes, by `module.name`. `resources`: children of each component, by type token."""


def surface_of(recording: Recording) -> Surface:
    """Today's surface; the recording holds every component in every variant."""
    return {"names": dict(sorted(_names())), "resources": _resources(recording)}


def _names() -> Iterator[tuple[str, list[str]]]:
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        for name in module.__all__:
            yield f"{module_name}.{name}", members(getattr(module, name))


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
    """What an entry in the changelog has to name.

    Every public name and type that came or went, and `name.member` for each part of one that came, went or differs.
    """
    found = []
    for part, mark in (("names", "."), ("resources", ":")):
        for key in sorted(old[part].keys() | new[part].keys()):
            name = key.rpartition(mark)[2]
            before, after = old[part].get(key), new[part].get(key)
            if before is None or after is None:
                found.append(name)
                continue
            differing = [one for one in [*before, *after] if (one in before) is not (one in after)]
            found += [f"{name}.{_name_of(one)}" for one in differing]
            if before != after and not differing:
                found.append(name)  # the order alone, as of positional parameters
    return list(dict.fromkeys(found))


def _name_of(member: str) -> str:
    """The name in `(keyword name: type)`, `name: type`, `-> type` or `package:module/a:Type {name}-suffix`."""
    if member.startswith("-> "):
        return "returns"
    if re.search(r" \{(name|given)\}", member):
        return member.partition(" {")[0].rpartition(":")[2]
    return str(re.findall(r"\w+", re.split(r"[:=)]", member)[0])[-1])


def unnamed(changed: list[str], changelog: str) -> list[str]:
    """The changes that no entry names in backquotes, in the part of the changelog on what is not released yet.

    A member is named in the entry that names what it belongs to, as it is in Python or in a stack's file.
    """
    section = changelog.partition("## [Unreleased]")[2].partition("\n## [")[0]
    entries = [" ".join(re.findall(r"`([^`]*)`", entry)) for entry in re.split(r"^\* ", section, flags=re.MULTILINE)]
    return [change for change in changed if not any(_is_named(change, entry) for entry in entries)]


def _is_named(change: str, entry: str) -> bool:
    name, _, member = change.partition(".")
    spellings = {member, re.sub(r"_(\w)", lambda match: match[1].upper(), member)} if member else {name}
    return any(re.search(rf"\b{re.escape(one)}\b", entry) for one in spellings) and bool(
        re.search(rf"\b{re.escape(name)}\b", entry)
    )


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
