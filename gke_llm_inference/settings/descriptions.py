"""What settings, and facts that stacks may state, say of their fields: the text that stands below each.

Pydantic would read it at every start, from the source of every class, which takes as long as reading the catalog; only
schemas and the words of a problem need it.
"""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from inspect import cleandoc, get_annotations, getsource
from itertools import pairwise
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import ModelSchema

from gke_llm_inference.catalog.facts import DescribedFacts
from gke_llm_inference.settings.base import Settings


def describe_settings() -> None:
    """Give the fields of all settings, and of facts that stacks may state, their docstrings as `description`."""
    for base in (Settings, DescribedFacts):
        for model in _models(base):
            _describe(model)


def json_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of a model, keys as in YAML, with the descriptions of its fields."""
    describe_settings()
    return model.model_json_schema(by_alias=True, schema_generator=_Described)


class _Described(GenerateJsonSchema):
    """JSON schemas with the descriptions that fields have now, and not those of when their models were built."""

    def model_schema(self, schema: ModelSchema) -> JsonSchemaValue:
        """A model's schema."""
        made = super().model_schema(schema)
        properties = made.get("properties", {})
        for name, field in schema["cls"].model_fields.items():
            if field.description is not None:
                properties[field.alias or name]["description"] = field.description
        return made


def _models(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield base
    for model in base.__subclasses__():
        yield from _models(model)


def _describe(model: type[BaseModel]) -> None:
    for name, field in model.model_fields.items():
        if field.description is None:
            owner = next((base for base in model.__mro__ if name in get_annotations(base)), model)
            field.description = _texts(owner.__module__).get(owner.__qualname__, {}).get(name)


@cache
def _texts(module: str) -> dict[str, dict[str, str]]:
    """The texts below the fields of a module's classes, by qualified name; nothing where there is no source."""
    try:
        source = getsource(sys.modules[module])
    except (OSError, TypeError):
        return {}
    return dict(_classes(ast.parse(source).body, ""))


def _classes(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, dict[str, str]]]:
    for statement in body:
        if isinstance(statement, ast.ClassDef):
            yield f"{prefix}{statement.name}", dict(_fields(statement.body))
            yield from _classes(statement.body, f"{prefix}{statement.name}.")
        elif isinstance(statement, ast.FunctionDef):
            yield from _classes(statement.body, f"{prefix}{statement.name}.<locals>.")


def _fields(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for statement, below in pairwise(body):
        match statement, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield name, cleandoc(text)
