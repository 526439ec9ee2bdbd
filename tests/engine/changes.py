"""The differences between two sets of inputs, by property path."""

from collections.abc import Iterator
from enum import Enum
from typing import Any

from gke_llm_inference.pulumi_protocol.wire import path_of


class Change(Enum):
    """What happened at a path."""

    ADD = "add"
    DELETE = "delete"
    UPDATE = "update"


def changes(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, Change]]:
    """Every path where `new` differs from `old`; in lists of the same length, item by item."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            below = path_of(path, key)
            if key not in new:
                yield below, Change.DELETE
            elif key not in old:
                yield below, Change.ADD
            else:
                yield from changes(old[key], new[key], below)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, pair in enumerate(zip(old, new, strict=True)):
            yield from changes(*pair, path_of(path, index))
    elif old != new or isinstance(old, bool) != isinstance(new, bool):
        yield path, Change.UPDATE


def adopted(inputs: Any, live: Any) -> Any:
    """The inputs that would have made what is live: the shape of the inputs, the values of the live object."""
    if isinstance(inputs, dict) and isinstance(live, dict):
        return {key: adopted(value, live[key]) for key, value in inputs.items() if key in live}
    if isinstance(inputs, list) and isinstance(live, list) and len(inputs) == len(live):
        return [adopted(*pair) for pair in zip(inputs, live, strict=True)]
    return live
