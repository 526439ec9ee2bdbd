"""What the annotations of the settings models say: fields by key, members of unions by tag."""

from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo


def fields_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Fields of a model by the key that YAML has for them."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def unwrapped(annotation: Any) -> Any:
    """The annotation without metadata and without `None`."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif is_union(annotation) and NoneType in get_args(annotation):
            rest = tuple(member for member in get_args(annotation) if member is not NoneType)
            annotation = rest[0] if len(rest) == 1 else Union[rest]  # noqa: UP007 built from a tuple
        else:
            return annotation


def is_union(annotation: Any) -> bool:
    """Whether the annotation allows one of several types."""
    return get_origin(annotation) in (Union, UnionType)


def tagged(annotation: Any) -> dict[str, type[BaseModel]]:
    """Members of a discriminated union by their tag."""
    members = [member for member in get_args(annotation) if isinstance(member, type)]
    return {
        str(choice): member
        for member in members
        if issubclass(member, BaseModel)
        for choice in _literals(member).values()
    }


def discriminator_of(annotation: Any) -> str:
    """The key whose value tells the members of a discriminated union apart; empty for anything else."""
    members = list(tagged(unwrapped(annotation)).values())
    if len(members) < 2:
        return ""
    return min(_literals(members[0]).keys() & _literals(members[1]).keys())


def _literals(model: type[BaseModel]) -> dict[str, Any]:
    """Fields of `model` that allow one value only, which is what a discriminator is."""
    return {
        name: get_args(field.annotation)[0]
        for name, field in fields_of(model).items()
        if get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1
    }
