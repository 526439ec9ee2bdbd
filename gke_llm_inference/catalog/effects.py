"""What each flag and variable of a server does to a plan: one class for every name, as data in `servers/classes/`.

A flag is planned by a setting, sets what a setting sets, breaks the pod, changes what the plan does not model, or does
nothing to it.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Literal

from gke_llm_inference.catalog.facts import Facts, ServerKind
from gke_llm_inference.catalog.files import directory, read

_DIRECTORY = directory("servers") / "classes"

EffectClass = Literal["planned", "secret", "refused", "settings", "modeled", "needs", "changes", "harmless"]


class Amount(Facts):
    """Memory of one GPU: a sum of parts, each a share of what the plan counts, or MiB."""

    mib: float = 0.0
    """MiB."""
    weights: float = 0.0
    """Share of the loaded weights."""
    kv: float = 0.0
    """Share of the KV cache of one request of the longest context."""
    activation: float = 0.0
    """Share of the activation's peak."""
    lora: float = 0.0
    """Share of the buffers of all adapters that are loaded at once."""
    window: float = 0.0
    """Share of what layers with a sliding window take more where they keep the whole context."""
    logits: float = 0.0
    """Share of the logits of all prompt tokens of a step."""
    latent: float = 0.0
    """Share of the keys and values that latent attention unpacks at once: 64 Ki tokens of every head, in 16 bits."""
    per_unit: float = 0.0
    """MiB for each unit of the value."""


class Group(Facts):
    """Names that do the same to a plan."""

    names: tuple[str, ...]
    excepted: tuple[str, ...] = ()
    """Values with which they do nothing, as regular expressions of the whole value."""

    def concerns(self, value: str | None) -> bool:
        """Whether a value, or none, is one with which the group's names do something."""
        return not any(re.fullmatch(pattern, value or "") for pattern in self.excepted)


class RefusedGroup(Group):
    """Names that break the pod, or need what the plan does not give."""

    why: str
    fix: str
    unless_volume: bool = False
    """Whether they are right for a server that reads its model from a volume."""


class ChangesGroup(Group):
    """Names that change memory or routes in a way that the plan does not model, with bounds of it."""

    what: str
    at_least: Amount = Amount()
    at_most: Amount = Amount()
    host_per_unit: float = 0.0
    """MiB of the pod's own memory for each unit of the value."""


class VariableEffects(Facts):
    """What variables do to a plan; a name that ends in * stands for all that begin so."""

    planned: dict[str, str] = {}
    secret: tuple[str, ...] = ()
    refused: tuple[RefusedGroup, ...] = ()
    changes: tuple[ChangesGroup, ...] = ()
    harmless: tuple[str, ...] = ()

    def classes(self) -> Iterator[tuple[str, EffectClass]]:
        """Every name with each class that it is listed in."""
        yield from ((name, "planned") for name in self.planned)
        yield from ((name, "secret") for name in self.secret)
        yield from ((name, "refused") for group in self.refused for name in group.names)
        yield from ((name, "changes") for group in self.changes for name in group.names)
        yield from ((name, "harmless") for name in self.harmless)

    def knows(self, name: str) -> bool:
        """Whether the variable has a class."""
        return _pattern_of(name, self._names) is not None

    def refusal(self, name: str) -> RefusedGroup | None:
        """Why the variable is refused; None if it is not."""
        return self._refused.get(_pattern_of(name, self._names) or "")

    def change(self, name: str) -> ChangesGroup | None:
        """What the variable changes beyond the plan; None if nothing."""
        return self._changes.get(_pattern_of(name, self._names) or "")

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(name for name, _ in self.classes())

    @cached_property
    def _refused(self) -> dict[str, RefusedGroup]:
        return {name: group for group in self.refused for name in group.names}

    @cached_property
    def _changes(self) -> dict[str, ChangesGroup]:
        return {name: group for group in self.changes for name in group.names}


class ServerEffects(VariableEffects):
    """What the flags of a server do to a plan, whatever the version, and its variables."""

    source: str
    date: str
    settings: dict[str, str]
    """Flags that set what a setting of ours sets, with the setting."""
    modeled: tuple[str, ...]
    """Flags without a setting that the memory plan takes into account."""
    needs: dict[str, str]
    """Flags with which the server does not start unless another flag stands beside them."""
    variables: VariableEffects

    def classes(self) -> Iterator[tuple[str, EffectClass]]:
        """Every flag with each class that it is listed in."""
        yield from super().classes()
        yield from ((name, "settings") for name in self.settings)
        yield from ((name, "modeled") for name in self.modeled)
        yield from ((name, "needs") for name in self.needs)


class Effects(Facts):
    """What flags and variables do to a plan: of each server, and variables that mean the same to all."""

    servers: dict[ServerKind, ServerEffects]
    common: VariableEffects

    def variables(self, server: ServerKind) -> tuple[VariableEffects, VariableEffects]:
        """What variables do to a server: its own, then those of all."""
        return self.servers[server].variables, self.common


def read_effects() -> Effects:
    """What ships with the package."""
    servers: Mapping[ServerKind, ServerEffects] = {
        kind: ServerEffects.model_validate(_renamed(read(_DIRECTORY / f"{kind}.yaml"))) for kind in ("vllm", "tgi")
    }
    common = _renamed(read(_DIRECTORY / "common.yaml"))["variables"]
    return Effects.model_validate({"servers": servers, "common": common})


def _renamed(document: dict[str, object]) -> dict[str, object]:
    """The document with `except`, a word of Python's, under the name of its field."""
    renamed: dict[str, object] = {}
    for key, value in document.items():
        if isinstance(value, dict):
            value = _renamed(value)
        elif isinstance(value, list):
            value = [_renamed(one) if isinstance(one, dict) else one for one in value]
        renamed["excepted" if key == "except" else key] = value
    return renamed


def _pattern_of(name: str, names: frozenset[str]) -> str | None:
    """The name itself among the names, else the longest that ends in * and begins it."""
    if name in names:
        return name
    begun = [one for one in names if one.endswith("*") and name.startswith(one[:-1])]
    return max(begun, key=len, default=None)
