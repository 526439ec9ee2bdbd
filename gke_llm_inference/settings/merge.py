"""Merges a stack's own values over those of its base file, and remembers which file each came from.

* Mappings merge key by key, to any depth; so do entries of the same name.
* Lists and scalars replace what the base has.
* `null` removes what the base has; where it has nothing, `null` is refused.
* Where a key decides which other keys there are (`cluster.mode`, `huggingFace.tokenSource`, `servers.NAME.server`, …)
  and stack and base give it different values, the stack's mapping replaces the base's as a whole.
* What is marked as `Whole` is taken from one file, with the nulls in it: `podPatch.patch`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from gke_llm_inference.settings.annotations import discriminator_of, fields_of, tagged, unwrapped
from gke_llm_inference.settings.findings import Finding, Refusal
from gke_llm_inference.settings.pod_patch import Whole
from gke_llm_inference.settings.stack import StackSettings


@dataclass(frozen=True)
class Origins:
    """Which file each value of a merged configuration came from.

    Attributes:
        own: the stack's own file.
        files: files by path, for every mapping, entry and scalar; of a mapping, all that gave a part of it.

    """

    own: str
    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def of(self, path: str) -> str:
        """The file or files of the value at a path, or of the nearest mapping around it."""
        while path and path not in self.files:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return ", ".join(self.files.get(path, (self.own,)))

    def located(self, refusal: Refusal) -> Refusal:
        """The refusal with each problem's file; as it is for a stack without a base."""
        return Refusal(map(self.located_finding, refusal.problems))

    def located_finding(self, finding: Finding) -> Finding:
        """The finding with its file; as it is for a stack without a base."""
        if not self.files or finding.file:
            return finding
        return Finding(
            path=finding.path, what=finding.what, why=finding.why, fix=finding.fix, file=self.of(finding.path)
        )


@dataclass(frozen=True)
class Merged:
    """A merged configuration: its values, where they are from, and what is wrong with the merge itself."""

    values: dict[str, Any]
    origins: Origins
    problems: tuple[Finding, ...]


def merged(base: Mapping[str, Any], base_file: str, own: Mapping[str, Any], own_file: str) -> Merged:
    """The values of a stack: its own over those of its base.

    Args:
        base: values of the base file, by key without namespace.
        base_file: how the base file is called in messages.
        own: values of the stack, likewise.
        own_file: how the stack's file is called in messages.

    """
    merge = _Merge(base_file, own_file)
    values = merge.mapping(StackSettings, base, own, "")
    files = {path: tuple(sorted(found)) for path, found in merge.files.items()}
    return Merged(values, Origins(own_file, files), tuple(merge.problems))


class _Merge:
    def __init__(self, base_file: str, own_file: str) -> None:
        self.base_file = base_file
        self.own_file = own_file
        self.files: dict[str, set[str]] = {}
        self.problems: list[Finding] = []

    def mapping(self, annotation: Any, base: Mapping[str, Any], own: Mapping[str, Any], path: str) -> dict[str, Any]:
        model = _model(annotation, base, own)
        result = {}
        for key in sorted({*base, *own}):
            where = f"{path}.{key}" if path else key
            inner = _annotation_of(model, key)
            if key not in own:
                value = self.taken(inner, base[key], self.base_file, where)
            elif key not in base:
                value = self.taken(inner, own[key], self.own_file, where)
            else:
                value = self.both(inner, base[key], own[key], where)
            if value is not None:
                result[key] = value
        if path:
            parts = {file for key in result for file in self.files[f"{path}.{key}"]}
            self.files[path] = parts or {self.own_file}
        return result

    def both(self, annotation: Any, base: Any, own: Any, path: str) -> Any:
        if own is None:
            return None
        if not isinstance(base, Mapping) or not isinstance(own, Mapping) or annotation is Whole:
            return self.taken(annotation, own, self.own_file, path)
        tag = discriminator_of(annotation)
        if tag in own and tag in base and own[tag] != base[tag]:
            return self.taken(annotation, own, self.own_file, path)
        return self.mapping(annotation, base, own, path)

    def taken(self, annotation: Any, value: Any, file: str, path: str) -> Any:
        """The value of one file alone."""
        self.files[path] = {file}
        if value is None:
            self.problems.append(
                Finding(
                    path=path,
                    what="is null, but there is nothing to remove",
                    why="null removes a value of the base file, and the base has none here",
                    fix="remove the line, or correct the key",
                    file=file,
                )
            )
        if isinstance(value, Mapping) and annotation is not Whole:
            model = _model(annotation, {}, value)
            items = {
                key: self.taken(_annotation_of(model, key), item, file, f"{path}.{key}")
                for key, item in sorted(value.items())
            }
            return {key: item for key, item in items.items() if item is not None}
        self._note(value, file, path)
        return value

    def _note(self, value: Any, file: str, path: str) -> None:
        self.files[path] = {file}
        if isinstance(value, Mapping):
            for key, item in value.items():
                self._note(item, file, f"{path}.{key}")
        elif isinstance(value, list):
            for index, item in enumerate(value):
                self._note(item, file, f"{path}[{index}]")


def _model(annotation: Any, base: Mapping[str, Any], own: Mapping[str, Any]) -> Any:
    """What the mapping is read as: of a union, the member that the tag names."""
    plain = unwrapped(annotation)
    tag = discriminator_of(annotation)
    return tagged(plain).get(str(own.get(tag, base.get(tag)))) if tag else plain


def _annotation_of(model: Any, key: str) -> Any:
    if isinstance(model, type) and issubclass(model, BaseModel):
        found = fields_of(model).get(key)
        if found is not None and any(isinstance(one, Whole) for one in found.metadata):
            return Whole
        return found.annotation if found else None
    return get_args(model)[1] if get_origin(model) is dict else None
