"""Which resource of one revision is which of the other: by URN, or by an alias, as the Pulumi engine finds it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gke_llm_inference.preview.recording import Recording, Resource
from gke_llm_inference.pulumi_protocol.urn import STACK_TYPE, make_urn, qualified_type


@dataclass(frozen=True)
class Matches:
    """Resources of two recordings, paired."""

    pairs: tuple[tuple[Resource, Resource], ...]
    """Base and head, sorted by the head's URN."""
    added: tuple[Resource, ...]
    removed: tuple[Resource, ...]
    renamed: dict[str, str]
    """New URNs by old ones, where they differ."""


def match(base: Recording, head: Recording) -> Matches:
    """Pairs the resources of two recordings; a URN beats an alias, and no resource is paired twice."""
    before = {resource.urn: resource for resource in base.resources}
    after = {resource.urn: resource for resource in head.resources}
    aliases = _Aliases(head, after)
    pairs: list[tuple[Resource, Resource]] = []
    added: list[Resource] = []
    taken = before.keys() & after.keys()
    for urn, resource in sorted(after.items()):
        old = (
            urn if urn in before else next((one for one in aliases.of(urn) if one in before and one not in taken), None)
        )
        if old is None:
            added.append(resource)
            continue
        taken.add(old)
        pairs.append((before[old], resource))
    return Matches(
        pairs=tuple(pairs),
        added=tuple(added),
        removed=tuple(resource for urn, resource in sorted(before.items()) if urn not in taken),
        renamed={old.urn: new.urn for old, new in pairs if old.urn != new.urn},
    )


class _Aliases:
    """The URNs that a resource may have had: its own aliases, and those that follow from its parents'."""

    def __init__(self, recording: Recording, resources: dict[str, Resource]) -> None:
        self._recording = recording
        self._resources = resources
        self._known: dict[str, tuple[str, ...]] = {}

    def of(self, urn: str) -> tuple[str, ...]:
        """Former URNs, without repetition, nearest first."""
        if urn not in self._known:
            self._known[urn] = ()  # ends a cycle of parents, which only a broken recording has
            self._known[urn] = tuple(dict.fromkeys(one for one in self._of(self._resources[urn]) if one != urn))
        return self._known[urn]

    def _of(self, resource: Resource) -> Iterator[str]:
        parent = resource.parent
        for alias in resource.aliases:
            yield from self._resolve(resource, alias, parent)
        for former in self.of(parent) if parent in self._resources else ():
            yield self._urn(former, resource.type, _follow(resource.name, parent or "", former))
            for alias in resource.aliases:
                yield from self._resolve(resource, alias, former)

    def _resolve(self, resource: Resource, alias: str | dict[str, Any], parent: str | None) -> Iterator[str]:
        if isinstance(alias, str):
            yield alias
            return
        former = None if alias.get("noParent") else alias.get("parentUrn") or parent
        name = alias.get("name")
        if name is None:
            name = _follow(resource.name, resource.parent or "", former or "")
        yield self._urn(
            former,
            str(alias.get("type") or resource.type),
            str(name),
            str(alias.get("stack") or self._recording.stack),
            str(alias.get("project") or self._recording.project),
        )

    def _urn(
        self, parent: str | None, type_: str, name: str, stack: str | None = None, project: str | None = None
    ) -> str:
        return make_urn(
            stack or self._recording.stack, project or self._recording.project, _proper(parent), type_, name
        )


def _proper(parent: str | None) -> str | None:
    """A parent as URNs count it: neither the stack nor what is not a URN is one."""
    try:
        return None if not parent or qualified_type(parent) == STACK_TYPE else parent
    except ValueError:
        return None


def _follow(name: str, parent: str, former_parent: str) -> str:
    """The former name of a child: `new-suffix` was `old-suffix` when its parent was `old`."""
    now, then = parent.rpartition("::")[2], former_parent.rpartition("::")[2]
    return then + name[len(now) :] if now and then and name.startswith(now) else name
