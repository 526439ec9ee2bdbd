"""The one view of a resource that policies have, whoever runs them."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Opaque(Enum):
    """What stands in a tree of properties for a value that a policy cannot look at."""

    UNKNOWN = "unknown"
    """Known only once it is deployed; no policy may fail because of it."""
    SECRET = "secret"  # noqa: S105 what stands for one
    """Marked as a secret; only an offline preview still tells."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource as it was registered.

    Attributes:
        urn: its URN.
        type: its type token, such as `kubernetes:apps/v1:Deployment`.
        name: its name in Pulumi.
        properties: its inputs by wire name; in a stack policy of the Pulumi CLI, its outputs, which hold them too.
        protect: whether Pulumi refuses to delete it.

    """

    urn: str
    type: str
    name: str
    properties: dict[str, Any]
    protect: bool = False

    @property
    def stack(self) -> str:
        """Name of the stack."""
        parts = self.urn.split("::")[0].split(":")
        return parts[2] if len(parts) > 2 else ""

    @property
    def package(self) -> str:
        """The provider package, such as `gcp`."""
        return self.type.partition(":")[0]

    @property
    def kind(self) -> str:
        """The last part of the type: a Kubernetes kind, or the name of a cloud resource's type."""
        return self.type.rpartition(":")[2]

    @property
    def group(self) -> str:
        """The API group of a Kubernetes object, `core` for what has none; empty for anything else."""
        parts = self.type.split(":")
        return parts[1].partition("/")[0] if len(parts) == 3 and parts[0] == "kubernetes" else ""

    def at(self, *keys: str | int) -> Any:
        """The property at a path; see `at`."""
        return at(self.properties, *keys)


def at(value: Any, *keys: str | int) -> Any:
    """What stands at a path below `value`: None if nothing does, `Opaque` if it, or what holds it, cannot be seen."""
    for key in keys:
        if isinstance(value, Opaque):
            return value
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
        else:
            return None
    return value


def items(value: Any) -> list[Any]:
    """The items of a list; none of anything else."""
    return value if isinstance(value, list) else []


def fields(value: Any) -> dict[str, Any]:
    """The fields of an object; none of anything else."""
    return value if isinstance(value, dict) else {}


def number(value: Any) -> float | None:
    """A number, written as one or as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if abs(found) < float("inf") else None


def texts(value: Any, path: str = "") -> Iterator[tuple[str, str | Opaque]]:
    """Every text below `value` with its path, keys and secrets included; what is unknown has none."""
    if isinstance(value, dict):
        for key, item in sorted(value.items()):
            where = f"{path}.{key}" if path else key
            yield where, key
            yield from texts(item, where)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from texts(item, f"{path}[{index}]")
    elif isinstance(value, str) or value is Opaque.SECRET:
        yield path, value
