"""The fields of a pod template, and how a strategic merge patch merges them.

The file is made by `tools/extract_pod_fields.py` of Kubernetes' own description of its API. What merges by which key is
stated there as in the Go types of `k8s.io/api`; how is told in
https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/
"""

import re
from dataclasses import dataclass
from functools import cache, cached_property

from gke_llm_inference.catalog.facts import Facts
from gke_llm_inference.catalog.files import directory, read

FILE = directory() / "kubernetes" / "pod_template.yaml"
SCALARS = ("boolean", "integer", "intOrString", "number", "quantity", "text")
"""What a value can be that is no object, list or map."""
ROOT = "PodTemplateSpec"
"""The type of the template itself."""

_FORM = re.compile(r"(?:(list|map) of )?([A-Za-z]+)(?: by ([A-Za-z]+))?")


@dataclass(frozen=True)
class FieldType:
    """What a field holds.

    Attributes:
        item: a scalar or a type: the field's own, or that of each of its items or values.
        is_list: whether it is a list.
        is_map: whether it is a map of names to values.
        merge_key: the field of an item that tells it apart in a list that merges; None where a patch's list replaces.

    """

    item: str
    is_list: bool = False
    is_map: bool = False
    merge_key: str | None = None

    @property
    def one(self) -> "FieldType":
        """The type of an item of the list, or of a value of the map."""
        return FieldType(self.item)


class ObjectType(Facts):
    """An object: its fields and which of them it must have."""

    fields: dict[str, str]
    required: tuple[str, ...] = ()

    @cached_property
    def types(self) -> dict[str, FieldType]:
        """What each field holds."""
        return {name: _field_type(text) for name, text in self.fields.items()}


class PodFields(Facts):
    """The fields of a pod template."""

    source: str
    date: str
    types: dict[str, ObjectType]
    """Objects by the name of their type."""

    def field(self, of: str, name: str) -> FieldType | None:
        """What a field of a type holds; None if it has no such field."""
        return self.types[of].types.get(name)


@cache
def read_pod_fields() -> PodFields:
    """The fields that ship with the package.

    Raises:
        pydantic.ValidationError: the file does not have the shape that this module states.

    """
    return PodFields.model_validate(read(FILE))


def _field_type(text: str) -> FieldType:
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError(f"{text} is no type of a field")
    kind, item, key = found.groups()
    return FieldType(item, is_list=kind == "list", is_map=kind == "map", merge_key=key)
