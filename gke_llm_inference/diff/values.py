"""Semantic comparison of property values: what changed, at which path, without the noise of an order.

Lists are compared by what their items are: containers, variables and volumes by name, command-line arguments by
flag, what is a set to Kubernetes or Google Cloud as a set. Every other list is a sequence whose order counts.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import Enum
from typing import Any, Final

from gke_llm_inference.pulumi_protocol.wire import path_of


class Absent(Enum):
    """What stands for a property that is not there."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT


class Item(str):
    """A step of a path: an item of a list, by its name, flag, value or position."""

    __slots__ = ()


Path = tuple[str, ...]
"""Steps from the resource's properties to a value: keys, and `Item` for items of lists."""

# What identifies an item of a list of objects, the first that every item has and no two share.
_KEYS: Final = ("name", "key", "mountPath", "devicePath", "containerPort", "port", "rangeName", "cidrBlock", "role")

# Lists of objects with names whose order means something nevertheless.
_SEQUENCES: Final = frozenset({"initContainers", "rules", "steps", "priorities"})

# Lists that Kubernetes or Google Cloud take as sets.
_SETS: Final = frozenset(
    {
        *("accessModes", "add", "apiGroups", "cidrBlocks", "drop", "egress", "enableComponents", "finalizers"),
        *("from", "guestAccelerators", "imagePullSecrets", "ingress", "ipFamilies", "loadBalancerSourceRanges"),
        *("matchExpressions", "matchFields", "namespaces", "natIps", "nodeLocations", "nonResourceURLs"),
        *("oauthScopes", "policyTypes", "ports", "resourceNames", "secondaryIpRanges", "sourceRanges", "subjects"),
        *("supplementalGroups", "tags", "taints", "to", "tolerations", "topologySpreadConstraints", "values", "verbs"),
    }
)
_ARGUMENTS: Final = "args"
# Aligning two sequences costs the product of their lengths; beyond this they are compared as sets.
_LONGEST_SEQUENCE: Final = 300


@dataclass(frozen=True, slots=True)
class PropertyChange:
    """One change of a value; `ABSENT` where there was or is none."""

    path: Path
    old: Any
    new: Any
    reordered: bool = False
    """Whether old and new are a list with the same items in another order."""

    @property
    def keys(self) -> Path:
        """The path without the items of lists, as tables of properties name it."""
        return tuple(step for step in self.path if not isinstance(step, Item))

    @property
    def text(self) -> str:
        """The path for reading, such as `spec.containers[server].args[--port]`."""
        return path_text(self.path)

    def as_dict(self) -> dict[str, Any]:
        """The JSON form; `old` or `new` is missing where there is none."""
        document: dict[str, Any] = {"path": self.text}
        if self.old is not ABSENT:
            document["old"] = self.old
        if self.new is not ABSENT:
            document["new"] = self.new
        if self.reordered:
            document["reordered"] = True
        return document


def path_text(path: Path) -> str:
    """A path as text: keys as Pulumi writes them, items of lists in brackets."""
    text = ""
    for step in path:
        text = f"{text}[{step}]" if isinstance(step, Item) else path_of(text, step)
    return text


def differences(old: Any, new: Any, path: Path = ()) -> Iterator[PropertyChange]:
    """The changes from `old` to `new`, in the order of their paths. A null is the same as nothing."""
    old = ABSENT if old is None else old
    new = ABSENT if new is None else new
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from differences(old.get(key), new.get(key), (*path, key))
    elif isinstance(old, list) and isinstance(new, list):
        yield from _lists(old, new, path)
    elif not same(old, new):
        yield PropertyChange(path, old, new)


def same(old: Any, new: Any) -> bool:
    """Whether two values are the same, to the type: true is not 1."""
    if isinstance(old, bool) or isinstance(new, bool):
        return old is new
    if isinstance(old, (dict, list)) or isinstance(new, (dict, list)):
        return canonical(old) == canonical(new)
    return bool(old == new)


def canonical(value: Any) -> str:
    """A text that is equal for equal values, whatever the order of keys."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def _lists(old: list[Any], new: list[Any], path: Path) -> Iterator[PropertyChange]:
    name = next((step for step in reversed(path) if not isinstance(step, Item)), "")
    if name == _ARGUMENTS and all(isinstance(item, str) for item in (*old, *new)):
        yield from _arguments(old, new, path)
        return
    key = _identity(old, new)
    if key is not None:
        yield from _by_key(old, new, key, path, ordered=name in _SEQUENCES)
    elif name in _SETS or len(old) * len(new) > _LONGEST_SEQUENCE**2:
        yield from _sets(old, new, path)
    else:
        yield from _sequences(old, new, path)


def _identity(old: list[Any], new: list[Any]) -> str | None:
    items = [*old, *new]
    if not items or not all(isinstance(item, dict) for item in items):
        return None
    for key in _KEYS:
        if all(isinstance(item.get(key), (str, int)) and not isinstance(item.get(key), bool) for item in items) and all(
            len({str(item[key]) for item in side}) == len(side) for side in (old, new)
        ):
            return key
    return None


def _by_key(old: list[Any], new: list[Any], key: str, path: Path, *, ordered: bool) -> Iterator[PropertyChange]:
    before = {str(item[key]): item for item in old}
    after = {str(item[key]): item for item in new}
    for name in sorted(before.keys() | after.keys()):
        yield from differences(before.get(name), after.get(name), (*path, Item(name)))
    if ordered:
        kept = [name for name in before if name in after]
        moved = [name for name in after if name in before]
        if kept != moved:
            yield PropertyChange(path, kept, moved, reordered=True)


def _sets(old: list[Any], new: list[Any], path: Path) -> Iterator[PropertyChange]:
    removed, added = _rest(old, new), _rest(new, old)
    paired = min(len(removed), len(added))
    nested = bool(paired) and all(isinstance(item, dict) for item in (*removed, *added))
    pairs: list[tuple[Any, Any]] = list(zip(removed, added, strict=False)) if nested else []
    for before, after in pairs:
        yield from differences(before, after, (*path, Item(new.index(after))))
    rest = paired if nested else 0
    for item in removed[rest:]:
        yield PropertyChange((*path, _label(item, old)), item, ABSENT)
    for item in added[rest:]:
        yield PropertyChange((*path, _label(item, new)), ABSENT, item)


def _label(item: Any, items: list[Any]) -> Item:
    return Item(items.index(item) if isinstance(item, (dict, list)) else item)


def _rest(items: list[Any], others: list[Any]) -> list[Any]:
    """What of `items` has no equal in `others`, one for one."""
    left = Counter(map(canonical, others))
    rest = []
    for item in items:
        text = canonical(item)
        if left[text]:
            left[text] -= 1
        else:
            rest.append(item)
    return rest


def _sequences(old: list[Any], new: list[Any], path: Path) -> Iterator[PropertyChange]:
    before, after = [canonical(item) for item in old], [canonical(item) for item in new]
    if before == after:
        return
    if sorted(before) == sorted(after):
        yield PropertyChange(path, old, new, reordered=True)
        return
    for tag, start, end, new_start, new_end in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        paired = min(end - start, new_end - new_start)
        for offset in range(paired):
            index = new_start + offset
            yield from differences(old[start + offset], new[index], (*path, Item(index)))
        for index in range(start + paired, end):
            yield PropertyChange((*path, Item(index)), old[index], ABSENT)
        for index in range(new_start + paired, new_end):
            yield PropertyChange((*path, Item(index)), ABSENT, new[index])


def _arguments(old: list[str], new: list[str], path: Path) -> Iterator[PropertyChange]:
    """Command lines: `--flag=value` and `--flag value` are the same, and flags have no order among each other."""
    before, after = parse_arguments(old), parse_arguments(new)
    for flag in sorted(before.keys() | after.keys()):
        first, second = before.get(flag, []), after.get(flag, [])
        where = (*path, Item(flag)) if flag else path
        if flag and len(first) <= 1 and len(second) <= 1:
            yield from differences(_only(first), _only(second), where)
        else:
            yield from _sequences(list(first), list(second), where)


def _only(values: Sequence[Any]) -> Any:
    return values[0] if values else ABSENT


def parse_arguments(arguments: Iterable[str]) -> dict[str, list[str | bool]]:
    """Values of a command line by flag, in order; positional arguments under the empty flag, bare flags as True."""
    parsed: dict[str, list[str | bool]] = {}
    waiting: str | None = None
    for argument in arguments:
        if argument.startswith("--") and len(argument) > 2:
            if waiting is not None:
                parsed.setdefault(waiting, []).append(True)
            flag, equals, value = argument.partition("=")
            waiting = None if equals else flag
            if equals:
                parsed.setdefault(flag, []).append(value)
        else:
            parsed.setdefault(waiting or "", []).append(argument)
            waiting = None
    if waiting is not None:
        parsed.setdefault(waiting, []).append(True)
    return parsed
