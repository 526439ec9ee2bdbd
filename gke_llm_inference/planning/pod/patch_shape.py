"""Whether a patch of a pod template has the form of one: known fields, values of their types, directives that act."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gke_llm_inference.catalog.pod_fields import ROOT, FieldType, PodFields
from gke_llm_inference.planning.pod.strategic_merge import DIRECTIVE, RETAIN_KEYS
from gke_llm_inference.settings import Finding, suggestion

# https://github.com/kubernetes/apimachinery/blob/v0.36.3/pkg/api/resource/quantity.go
_QUANTITY = re.compile(r"[+-]?[0-9.]+(?:[KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?")
_ORDERS = ("$setElementOrder/", "$deleteFromPrimitiveList/")
_KINDS = {
    "boolean": "true or false",
    "integer": "a whole number",
    "intOrString": "text or a whole number",
    "number": "a number",
    "quantity": "a quantity such as 500m or 2Gi",
    "text": "text",
}


def shape_findings(path: str, patch: Mapping[str, Any], fields: PodFields) -> Iterator[Finding]:
    """Problems of a patch by itself, whatever it is merged into.

    Args:
        path: where the patch stands in the configuration.
        patch: the patch.
        fields: the fields of pod templates.

    """
    if DIRECTIVE in patch:
        yield Finding(
            path=f"{path}.{DIRECTIVE}",
            what="is for the whole template",
            why="nothing would be left of what the plan decided",
            fix="patch the fields that have to change",
        )
        return
    yield from _Shape(fields).object(path, patch, ROOT, merges=True)


class _Shape:
    def __init__(self, fields: PodFields) -> None:
        self._fields = fields

    def object(
        self, path: str, value: Any, of: str, *, merges: bool, merge_key: str | None = None
    ) -> Iterator[Finding]:
        """Problems of an object; `merges` tells whether it meets one that is there, `merge_key` that it is an item."""
        if not isinstance(value, Mapping):
            yield _mistyped(path, "a mapping of keys to values")
            return
        known = self._fields.types[of]
        yield from _directives(path, value, tuple(known.fields), merges=merges, merge_key=merge_key)
        within = merges and value.get(DIRECTIVE) is None
        for key, item in value.items():
            if key.startswith("$"):
                continue
            kind = known.types.get(key)
            if kind is None:
                yield Finding(
                    path=f"{path}.{key}",
                    what="is not a known key",
                    why=f"{_article(of)} of Kubernetes has no such field",
                    fix=suggestion(key, known.fields),
                )
            elif item is not None:
                yield from self._field(f"{path}.{key}", item, kind, merges=within)
            elif not within:
                yield _nothing_to_remove(f"{path}.{key}")

    def _field(self, path: str, value: Any, kind: FieldType, *, merges: bool) -> Iterator[Finding]:
        if kind.is_list:
            yield from self._list(path, value, kind, merges=merges)
        elif kind.is_map:
            if not isinstance(value, Mapping):
                yield _mistyped(path, "a mapping of names to values")
                return
            for name, item in value.items():
                if item is None and not merges:
                    yield _nothing_to_remove(f"{path}.{name}")
                elif item is not None:
                    yield from self._one(f"{path}.{name}", item, kind.item, merges=merges)
        else:
            yield from self._one(path, value, kind.item, merges=merges)

    def _list(self, path: str, value: Any, kind: FieldType, *, merges: bool) -> Iterator[Finding]:
        if not isinstance(value, Sequence) or isinstance(value, str):
            yield _mistyped(path, "a list")
            return
        seen: dict[Any, int] = {}
        for index, item in enumerate(value):
            where = f"{path}[{index}]"
            if kind.merge_key is None or not isinstance(item, Mapping):
                yield from self._one(where, item, kind.item, merges=False)
                continue
            yield from self.object(where, item, kind.item, merges=merges, merge_key=kind.merge_key)
            name = item.get(kind.merge_key)
            if name is None and item.get(DIRECTIVE) != "replace":
                yield Finding(
                    path=f"{where}.{kind.merge_key}",
                    what="is missing",
                    why="items of this list are told apart by it",
                    fix="add it",
                )
            elif isinstance(name, str | int) and seen.setdefault(name, index) != index:
                yield Finding(
                    path=f"{where}.{kind.merge_key}",
                    what=f"is that of item {seen[name]} too",
                    why="items of this list are told apart by it",
                    fix="merge the two",
                )

    def _one(self, path: str, value: Any, kind: str, *, merges: bool) -> Iterator[Finding]:
        if kind in self._fields.types:
            yield from self.object(path, value, kind, merges=merges)
        elif not _fits(value, kind):
            yield _mistyped(path, _KINDS[kind])


def _directives(
    path: str, value: Mapping[str, Any], fields: Sequence[str], *, merges: bool, merge_key: str | None
) -> Iterator[Finding]:
    """Problems of the directives of an object."""
    for key in value:
        where = f"{path}.{key}"
        if not key.startswith("$"):
            continue
        if key.startswith(_ORDERS):
            yield Finding(
                path=where,
                what="is not for a patch that is written by hand",
                why="clients compute it, and the order of what a pod has decides nothing",
                fix="remove it",
            )
        elif key not in (DIRECTIVE, RETAIN_KEYS):
            yield Finding(
                path=where,
                what="is not a directive",
                why="only $patch and $retainKeys are",
                fix=suggestion(key, (DIRECTIVE, RETAIN_KEYS)),
            )
        elif not merges:
            yield Finding(
                path=where,
                what="has nothing to act on",
                why="what it stands in is taken as a whole, not merged",
                fix="remove it",
            )
    if not merges:
        return
    directive = value.get(DIRECTIVE)
    if DIRECTIVE in value and directive not in ("delete", "replace"):
        yield Finding(
            path=f"{path}.{DIRECTIVE}",
            what="is not a known choice",
            why="a patch deletes or replaces what it meets, and merges otherwise",
            fix=suggestion(str(directive or ""), ("delete", "replace")),
        )
    alone = {DIRECTIVE} if merge_key and directive == "replace" else {DIRECTIVE, merge_key}
    ignored = sorted(value.keys() - alone)
    if ignored and (directive == "delete" or (directive == "replace" and merge_key)):
        yield Finding(
            path=f"{path}.{ignored[0]}",
            what=f"stands beside $patch: {directive}",
            why="it would be ignored"
            if directive == "delete"
            else "in a list, $patch: replace is an item of its own, and what stands beside it would be ignored",
            fix="remove it" if directive == "delete" else "give it an item of its own",
        )
    if RETAIN_KEYS in value:
        yield from _retained(path, value, fields)


def _retained(path: str, value: Mapping[str, Any], fields: Sequence[str]) -> Iterator[Finding]:
    where, kept = f"{path}.{RETAIN_KEYS}", value[RETAIN_KEYS]
    if not isinstance(kept, Sequence) or isinstance(kept, str) or not all(isinstance(key, str) for key in kept):
        yield _mistyped(where, "a list")
        return
    for index, key in enumerate(kept):
        if key not in fields:
            yield Finding(
                path=f"{where}[{index}]",
                what="is not a known key",
                why="it lists fields of the object that it stands in",
                fix=suggestion(key, fields),
            )
    left_out = sorted(key for key, item in value.items() if not key.startswith("$") and item is not None)
    for key in left_out:
        if key not in kept:
            yield Finding(
                path=where, what=f"does not list {key}", why="Kubernetes rejects such a patch", fix=f"add {key}"
            )


def _fits(value: Any, kind: str) -> bool:
    match kind:
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "intOrString":
            return isinstance(value, int | str) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "quantity":
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            return is_number or (isinstance(value, str) and _QUANTITY.fullmatch(value) is not None)
        case _:
            return isinstance(value, str)


def _mistyped(path: str, kind: str) -> Finding:
    quote = " (put it in quotes)" if kind == "text" else ""
    why = "values are taken as they are, never converted"
    return Finding(path=path, what=f"is not {kind}", why=why, fix=f"write {kind}{quote}")


def _nothing_to_remove(path: str) -> Finding:
    return Finding(
        path=path,
        what="is null, but there is nothing to remove",
        why="what it stands in is taken as a whole, not merged",
        fix="remove the line",
    )


def _article(name: str) -> str:
    return f"{'an' if name[0] in 'AEIO' else 'a'} {name}"
