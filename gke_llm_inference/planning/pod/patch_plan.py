"""What a server's podPatch changes, decided."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gke_llm_inference.planning.pod.names import SERVER_CONTAINER
from gke_llm_inference.secret_rules import masked

ARROW = "→"
"""Stands between what was there and what is."""
_LONGEST = 200


@dataclass(frozen=True, kw_only=True)
class PodChange:
    """A place in the pod template that a patch changes.

    Attributes:
        path: where, from the template: items of lists that merge by their key, as in `spec.containers[name].image`.
        before: what the plan has there; None if nothing.
        after: what the patch makes of it; None if it is removed.
        overrides: whether the plan decided on it, and the stack says that it may be changed.

    """

    path: str
    before: Any
    after: Any
    overrides: bool = False

    def __str__(self) -> str:
        return f"{self.path}: {self.values}"

    @property
    def values(self) -> str:
        """What was there and what is, with an arrow between them."""
        return f"{_shown(self.before)} {ARROW} {_shown(self.after)}"


@dataclass(frozen=True, kw_only=True)
class PodPatch:
    """A pod template after its server's patch.

    Attributes:
        template: the template.
        changes: what the patch changes, sorted by path.

    """

    template: dict[str, Any]
    changes: tuple[PodChange, ...]

    @property
    def overrides(self) -> tuple[PodChange, ...]:
        """Those of what the plan decided."""
        return tuple(change for change in self.changes if change.overrides)

    def images(self) -> Iterator[str]:
        """The images of the pod, the server's first."""
        spec = self.template["spec"]
        containers = sorted(spec["containers"], key=lambda one: one["name"] != SERVER_CONTAINER)
        for container in (*containers, *spec.get("initContainers", ())):
            yield container["image"]


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    text = masked(value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
