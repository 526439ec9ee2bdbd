"""Which changes replace a resource: rules over the table of properties in `catalog/replacement.yaml`."""

import ipaddress
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from gke_llm_inference.catalog.replacement import PropertyEffects, load_replacement_table
from gke_llm_inference.diff.compare import Comparison, ResourceChange
from gke_llm_inference.diff.values import PropertyChange
from gke_llm_inference.preview.recording import Recording, Resource
from gke_llm_inference.terminal import UNKNOWN

_SECRET = "kubernetes:core/v1:Secret"  # noqa: S105 - a type token


class Verdict(Enum):
    """What a change of one property does to its resource."""

    REPLACED = "replaced"
    ROLLING = "rolling"
    IN_PLACE = "in place"
    IGNORED = "ignored"
    """An `ignoreChanges` of the resource covers it."""
    UNCLEAR = "unclear"
    """The table does not say."""


@dataclass(frozen=True)
class Replacements:
    """What is replaced, by URN of the newer revision."""

    direct: dict[str, tuple[PropertyChange, ...]]
    """Resources that a change of their own replaces, with those changes."""
    following: dict[str, str]
    """Resources that are replaced because one that they refer to is: the URN of that one."""

    def followers(self, urn: str) -> tuple[str, ...]:
        """All that is replaced because this resource is, directly or over others, sorted."""
        found: set[str] = set()
        pending = [urn]
        while pending:
            cause = pending.pop()
            new = {one for one, its_cause in self.following.items() if its_cause == cause} - found
            found |= new
            pending += new
        return tuple(sorted(found))


def replacements(comparison: Comparison, head: Recording) -> Replacements:
    """Everything that the changes replace, as far as the table knows."""
    direct: dict[str, tuple[PropertyChange, ...]] = {}
    mutable = {one.urn for one in head.resources if one.is_provider and one.inputs.get("enableSecretMutable") is True}
    for change in comparison.resources:
        if change.head is None or change.base is None or not change.head.custom:
            continue
        causes = tuple(
            one
            for one in change.properties
            if verdict(change, one) is Verdict.REPLACED and not _is_mutable(change.head, one.keys, mutable)
        )
        if causes:
            direct[change.head.urn] = causes
    new = {change.head.urn for change in comparison.resources if change.action == "added" and change.head}
    following: dict[str, str] = {}
    pending = sorted(direct)
    while pending:
        cause = pending.pop(0)
        for resource in head.resources:
            urn = resource.urn
            if urn not in direct and urn not in following and urn not in new and _follows(resource, cause, mutable):
                following[urn] = cause
                pending.append(urn)
    return Replacements(direct, following)


def verdict(change: ResourceChange, one: PropertyChange) -> Verdict:
    """What one change of a property does."""
    resource = change.head or change.resource
    if _covers(resource.options.get("ignoreChanges"), one):
        return Verdict.IGNORED
    if _covers(resource.options.get("replaceOnChanges"), one):
        return Verdict.REPLACED
    return _by_table(resource.type, one.keys, was_on=one.old is True, grew=_holds(one.new, one.old))


def _by_table(type_: str, keys: tuple[str, ...], *, was_on: bool = False, grew: bool = True) -> Verdict:
    """The table's word for a property; the longest path that matches decides, a replacement where two are equal."""
    best = (0, 0, Verdict.IN_PLACE if type_.startswith("kubernetes:") else Verdict.UNCLEAR)
    for effects in _effects_of(type_):
        lists = (
            (effects.in_place, 1, Verdict.IN_PLACE),
            (effects.rolling, 2, Verdict.ROLLING),
            (effects.replace, 3, Verdict.REPLACED),
            (effects.replace_when_turned_off if was_on else (), 4, Verdict.REPLACED),
            (() if grew else effects.replace_when_not_grown, 4, Verdict.REPLACED),
        )
        for paths, weight, found in lists:
            for path in paths:
                parts = tuple(path.split("."))
                # A whole block that comes or goes is replaced if anything in it would be.
                above = found is Verdict.REPLACED and parts[: len(keys)] == keys
                if keys[: len(parts)] == parts or above:
                    best = max(best, (len(parts), weight, found), key=lambda entry: entry[:2])
    return best[2]


def _holds(wider: Any, narrower: Any) -> bool:
    """Whether one range of addresses holds another; not, where either cannot be read."""
    try:
        first, second = (ipaddress.ip_network(str(one), strict=False) for one in (wider, narrower))
        return bool(first.version == second.version and second.subnet_of(first))  # type: ignore[arg-type]
    except ValueError:
        return False


def _effects_of(type_: str) -> Iterator[PropertyEffects]:
    table = load_replacement_table()
    if type_ in table.types:
        yield table.types[type_]
    if type_.startswith("kubernetes:"):
        yield table.kubernetes_objects


def _is_mutable(resource: Resource, keys: tuple[str, ...], mutable: Collection[str]) -> bool:
    """Whether it is the data of a Secret whose provider updates them in place (`enableSecretMutable`)."""
    return resource.type == _SECRET and resource.provider in mutable and keys[0] in ("data", "stringData")


def _follows(resource: Resource, cause: str, mutable: Collection[str]) -> bool:
    """Whether a property that replaces the resource takes an unknown value from the cause; or an option ties them."""
    tied = resource.provider == cause or cause in (resource.options.get("replaceWith") or ())
    return tied or any(
        _by_table(resource.type, keys) is Verdict.REPLACED and not _is_mutable(resource, keys, mutable)
        for name, urns in resource.property_dependencies.items()
        if cause in urns and resource.custom
        for keys in _unknowns(resource.inputs.get(name), (name,))
    )


def _unknowns(value: Any, keys: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if value == UNKNOWN:
        yield keys
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _unknowns(item, (*keys, key))
    elif isinstance(value, list):
        for item in value:
            yield from _unknowns(item, keys)


def _covers(patterns: Any, one: PropertyChange) -> bool:
    """Whether one of the property paths of a resource option covers a change; items of lists are not told apart."""
    return any(_is_prefix(str(pattern), one.keys) for pattern in patterns or ())


def _is_prefix(pattern: str, keys: tuple[str, ...]) -> bool:
    steps = tuple(quoted or plain for quoted, plain in re.findall(r'\["((?:[^"\\]|\\.)*)"\]|([^.\[\]]+)', pattern))
    steps = tuple(step for step in steps if not step.isdigit())
    if len(steps) > len(keys):
        return False
    return all(step in ("*", key) for step, key in zip(steps, keys, strict=False))
