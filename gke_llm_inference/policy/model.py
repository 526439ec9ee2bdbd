"""What a policy is, and what it finds."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gke_llm_inference.policy.resources import Resource
from gke_llm_inference.settings.base import Settings

Level = Literal["advisory", "mandatory", "disabled"]
"""What a violation does: it is shown, it stops the deployment, or it is not looked for."""


class NoSettings(Settings):
    """The settings of a policy that has none."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What every policy states about itself.

    Attributes:
        name: its name in configuration, in kebab case.
        what: what must hold, as one sentence.
        why: what goes wrong otherwise.
        fix: the cheapest change that makes it hold.
        settings: what can be configured besides the level.

    """

    name: str
    what: str
    why: str
    fix: str
    settings: type[Settings] = NoSettings

    @property
    def description(self) -> str:
        """What must hold and why."""
        return f"{self.what} {self.why}"


@dataclass(frozen=True, kw_only=True)
class ResourcePolicy(Rule):
    """A policy about one resource, checked before that resource is created.

    Attributes:
        check: gives a message for everything that is wrong with a resource; never raises, never echoes a value that
            could be secret.

    """

    check: Callable[[Resource, Any], Iterable[str]]


@dataclass(frozen=True, kw_only=True)
class StackPolicy(Rule):
    """A policy about several resources together, checked when all of them are known.

    Attributes:
        check: the same for a stack, each message with the URN that it is about; None for the stack itself.

    """

    check: Callable[[Sequence[Resource], Any], Iterable[tuple[str | None, str]]]


Policy = ResourcePolicy | StackPolicy


@dataclass(frozen=True, order=True)
class Violation:
    """Something that breaks a policy.

    Attributes:
        policy: name of the policy.
        urn: the resource; empty for the stack as a whole.
        message: what is wrong.

    """

    policy: str
    urn: str
    message: str
