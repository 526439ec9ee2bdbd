"""Kubernetes' strategic merge patch, for pod templates.

The same as the API server does to an object with a patch of type `application/strategic-merge-patch+json`, as
https://github.com/kubernetes/apimachinery/blob/v0.36.3/pkg/util/strategicpatch/patch.go has it: objects merge field by
field, lists by the merge key of their items where Kubernetes gives them one, and null removes a field. Lists of
anything else are replaced. What does nothing there, such as a removal of what is not there, is told here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gke_llm_inference.catalog.pod_fields import ROOT, FieldType, PodFields

DIRECTIVE = "$patch"
"""What a patch does to the object that it stands in: delete or replace."""
RETAIN_KEYS = "$retainKeys"
"""Fields that are kept of the object that it stands in."""


@dataclass(frozen=True)
class Merged:
    """A template after a patch.

    Attributes:
        template: the template.
        idle: where the patch removes, replaces or retains what is not there; paths below the patch.

    """

    template: dict[str, Any]
    idle: tuple[str, ...]


def strategic_merge(template: Mapping[str, Any], patch: Mapping[str, Any], fields: PodFields) -> Merged:
    """A pod template with a patch merged into it; neither is changed.

    Args:
        template: the template.
        patch: a patch in which `shape_findings` found nothing.
        fields: the fields of pod templates.

    """
    merge = _Merge(fields)
    result = merge.object(ROOT, template, patch, "")
    return Merged(result, tuple(merge.idle))


class _Merge:
    def __init__(self, fields: PodFields) -> None:
        self._fields = fields
        self.idle: list[str] = []

    def object(self, of: str, original: Mapping[str, Any], patch: Mapping[str, Any], path: str) -> dict[str, Any]:
        match patch.get(DIRECTIVE):
            case "delete":
                return {}
            case "replace":
                return {key: self.copy(value, _below(path, key)) for key, value in patch.items() if key != DIRECTIVE}
        kept = patch.get(RETAIN_KEYS)
        result = {key: value for key, value in original.items() if kept is None or key in kept}
        types = self._fields.types[of].types
        for key, value in patch.items():
            if not key.startswith("$"):
                self._set(types[key], result, key, value, _below(path, key))
        return result

    def _set(self, kind: FieldType, result: dict[str, Any], key: str, value: Any, path: str) -> None:
        if value is None:
            if key not in result:
                self.idle.append(path)
            result.pop(key, None)
        elif key not in result:
            result |= self.copy({key: value}, path.removesuffix(key).rstrip("."))
        elif kind.is_map:
            values = dict(result[key])
            for name, item in value.items():
                self._set(kind.one, values, name, item, _below(path, name))
            result[key] = values
        elif kind.is_list:
            result[key] = (
                self._items(kind.item, kind.merge_key, result[key], value, path)
                if kind.merge_key
                else self.copy(value, path)
            )
        elif kind.item in self._fields.types:
            result[key] = self.object(kind.item, result[key], value, path)
        else:
            result[key] = value

    def _items(
        self, of: str, key: str, original: Sequence[Mapping[str, Any]], patch: Sequence[Mapping[str, Any]], path: str
    ) -> list[dict[str, Any]]:
        """A list that merges by the key of its items, in the order that Kubernetes gives it."""
        numbered = list(enumerate(patch))
        given = [(f"{path}[{index}]", item) for index, item in numbered if item.get(DIRECTIVE) is None]
        if any(item.get(DIRECTIVE) == "replace" for item in patch):
            return [self.copy(item, where) for where, item in given]
        gone = {item[key]: f"{path}[{index}]" for index, item in numbered if item.get(DIRECTIVE) == "delete"}
        present = {item[key] for item in original}
        self.idle += [where for name, where in gone.items() if name not in present]
        left = {item[key]: dict(item) for item in original if item[key] not in gone}
        touched = {
            item[key]: self.object(of, left[item[key]], item, where) if item[key] in left else self.copy(item, where)
            for where, item in given
        }
        return _in_order(left, touched)

    def copy(self, value: Any, path: str) -> Any:
        """A value that nothing is merged into: without nulls and directives, which do nothing there."""
        if isinstance(value, Mapping):
            places = {key: _below(path, key) for key in value}
            self.idle += [places[key] for key, item in value.items() if key.startswith("$") or _does_nothing(item)]
            return {
                key: self.copy(item, places[key])
                for key, item in value.items()
                if not key.startswith("$") and not _does_nothing(item)
            }
        if isinstance(value, Sequence) and not isinstance(value, str):
            placed = [(f"{path}[{index}]", item) for index, item in enumerate(value)]
            self.idle += [where for where, item in placed if _does_nothing(item)]
            return [self.copy(item, where) for where, item in placed if not _does_nothing(item)]
        return value


def _does_nothing(value: Any) -> bool:
    """Whether it is there to change what is not there."""
    return value is None or (isinstance(value, Mapping) and DIRECTIVE in value)


def _in_order(left: Mapping[Any, dict[str, Any]], touched: Mapping[Any, dict[str, Any]]) -> list[dict[str, Any]]:
    """Items of the patch in its order, and before each of them the others that were before it (`mergeSortedSlice`)."""
    place = {name: index for index, name in enumerate(left)}
    others = [name for name in left if name not in touched]
    names: list[Any] = []
    for name in touched:
        while others and name in place and place[others[0]] < place[name]:
            names.append(others.pop(0))
        names.append(name)
    return [touched[name] if name in touched else left[name] for name in (*names, *others)]


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
