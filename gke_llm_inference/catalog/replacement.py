"""The shape of the table of properties that cannot be changed in place."""

from functools import cache

from gke_llm_inference.catalog.facts import Facts
from gke_llm_inference.catalog.files import directory, read


class PropertyEffects(Facts):
    """What a change of a property does to a resource of one type; paths as in the resource's inputs."""

    replace: tuple[str, ...] = ()
    """The resource is replaced."""
    replace_when_turned_off: tuple[str, ...] = ()
    """The resource is replaced when the value was true."""
    replace_when_not_grown: tuple[str, ...] = ()
    """The resource is replaced unless the new range of addresses holds the old one."""
    rolling: tuple[str, ...] = ()
    """Changed in place, by making its parts again a few at a time."""
    in_place: tuple[str, ...] = ()
    """Changed in place, without a break."""


class ReplacementTable(Facts):
    """Effects of changes, by type token of the resource."""

    source: str
    date: str
    kubernetes_objects: PropertyEffects
    """Of every Kubernetes object, besides those of its type."""
    types: dict[str, PropertyEffects]


@cache
def load_replacement_table() -> ReplacementTable:
    """The table that ships with the package.

    Raises:
        pydantic.ValidationError: the file does not have the shape that is stated here.

    """
    return ReplacementTable.model_validate(read(directory() / "replacement.yaml"))
