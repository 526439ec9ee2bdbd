"""The package's Pulumi schema, from which SDKs are generated: the settings models in Pulumi's own terms.

Settings are plain properties, as a plan needs them before the first resource, so SDKs reject Outputs at compile time.
Discriminated unions stay unions. A default is described and not given as the property's `default`: SDKs would send it,
and what a program states itself wins over any preset.
"""

import inspect
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from gke_llm_inference.provider.arguments import COMPONENTS, PACKAGE, Argument, Component
from gke_llm_inference.settings.annotations import discriminator_of, fields_of, is_union, tagged, unwrapped
from gke_llm_inference.settings.descriptions import describe_settings
from gke_llm_inference.version import __version__

_PRIMITIVES = {str: "string", int: "integer", float: "number", bool: "boolean"}
_OUTPUT_TYPES: dict[str, dict[str, Any]] = {
    "string": {"type": "string"},
    "integer": {"type": "integer"},
    "list": {"type": "array", "items": {"type": "string"}},
    "map": {"type": "object", "additionalProperties": {"type": "string"}},
}


def package_schema() -> dict[str, Any]:
    """The schema as Pulumi takes it, everything sorted by name."""
    describe_settings()
    types = _Types()
    resources = {type_: _resource(component, types) for type_, component in COMPONENTS.items()}
    return {
        "name": PACKAGE,
        "displayName": "LLM inference on GKE",
        "version": __version__,
        "description": "Open LLMs on Google Kubernetes Engine with vLLM or TGI, planned before anything is created.",
        "keywords": ["pulumi", "kind/component", "category/infrastructure", "gke", "llm", "vllm"],
        "license": "Apache-2.0",
        # SDKs are packages of their languages, a Go module with its go.mod.
        "meta": {"supportPack": True},
        "language": {
            "csharp": {"respectSchemaVersion": True},
            "go": {"respectSchemaVersion": True},
            "java": {"respectSchemaVersion": True},
            # Else the package would be @pulumi/gke-llm-inference.
            "nodejs": {"packageName": PACKAGE, "respectSchemaVersion": True},
            "python": {"respectSchemaVersion": True},
        },
        "types": dict(sorted(types.found.items())),
        "resources": dict(sorted(resources.items())),
    }


def _resource(component: Component, types: "_Types") -> dict[str, Any]:
    fields = fields_of(component.settings)
    inputs = {key: _argument_of(types.property(component.settings, field)) for key, field in fields.items()}
    inputs |= {argument.name: _argument(argument) for argument in component.others}
    outputs = {
        key: {**_OUTPUT_TYPES[kind.rstrip("?")], "description": text} for key, (kind, text) in component.outputs.items()
    }
    return {
        "isComponent": True,
        "description": component.description,
        "inputProperties": dict(sorted(inputs.items())),
        "requiredInputs": sorted(key for key, field in fields.items() if field.is_required()),
        "properties": dict(sorted(outputs.items())),
        "required": sorted(key for key, (kind, _) in component.outputs.items() if not kind.endswith("?")),
    }


def _argument_of(spec: dict[str, Any]) -> dict[str, Any]:
    """A property as an argument of a component.

    The generator for Go gives a plain map of objects a type that it does not write where it is an argument. A union of
    the type with itself is the same in every other language, and in Go takes the struct, as every other union does.
    """
    values = spec.get("additionalProperties", {})
    if "$ref" not in values:
        return spec
    return {**spec, "additionalProperties": {"oneOf": [values, values], "plain": True}}


def _argument(argument: Argument) -> dict[str, Any]:
    kind = {"secret": True} if argument.secret else {} if argument.output else {"plain": True}
    return {"type": "string", "description": argument.description, **kind}


class _Types:
    """Collects the types that properties refer to."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, Any]] = {}
        self._choices: dict[tuple[str, tuple[str | int, ...]], str] = {}

    def property(self, model: type[BaseModel], field: FieldInfo) -> dict[str, Any]:
        """A field as a property."""
        return {**self._type(model, field, field.annotation), "description": _description(field)}

    def _type(self, model: type[BaseModel], field: FieldInfo, annotation: Any) -> dict[str, Any]:
        annotation = unwrapped(annotation)
        origin = get_origin(annotation)
        kind: dict[str, Any]
        if origin is Literal:
            kind = self._choice(model, field, get_args(annotation))
        elif is_union(annotation):
            members = {tag: self._model(member) for tag, member in tagged(annotation).items()}
            kind = {
                "oneOf": [{"$ref": ref, "plain": True} for ref in members.values()],
                "discriminator": {"propertyName": discriminator_of(annotation), "mapping": members},
            }
        elif origin is dict:
            kind = {"type": "object", "additionalProperties": self._type(model, field, get_args(annotation)[1])}
        elif origin is tuple:
            kind = {"type": "array", "items": self._type(model, field, get_args(annotation)[0])}
        elif annotation is Any:
            kind = {"$ref": "pulumi.json#/Any"}
        elif annotation in _PRIMITIVES:
            kind = {"type": _PRIMITIVES[annotation]}
        else:
            kind = {"$ref": self._model(annotation)}
        return {**kind, "plain": True}

    def _choice(self, model: type[BaseModel], field: FieldInfo, choices: tuple[str | int, ...]) -> dict[str, Any]:
        kind = _PRIMITIVES[type(choices[0])]
        if len(choices) == 1:
            return {"type": kind, "const": choices[0]}
        definition = {"type": kind, "enum": [{"value": choice} for choice in choices]}
        same = self._choices.get((str(field.alias), choices))
        if same is not None:  # one type for ExistingCluster's profile and a single server's
            return {"$ref": same}
        owner = next(base for base in reversed(model.__mro__) if field_name(model, field) in _own_fields(base))
        alias = str(field.alias)
        name = _type_name(owner) + alias[0].upper() + alias[1:]
        ref = self._choices[str(field.alias), choices] = self._keep(name, definition)
        return {"$ref": ref}

    def _model(self, model: type[BaseModel]) -> str:
        token = _token(model.__name__)
        if token not in self.found:
            self.found[token] = {}  # a place, should a model refer to itself
            fields = fields_of(model)
            self.found[token] = {
                "type": "object",
                "description": model.__doc__ or "",
                "properties": {key: self.property(model, field) for key, field in sorted(fields.items())},
                "required": sorted(key for key, field in fields.items() if field.is_required()),
            }
        return f"#/types/{token}"

    def _keep(self, name: str, definition: dict[str, Any]) -> str:
        token = _token(name)
        if self.found.setdefault(token, definition) != definition:
            raise ValueError(f"two types are named {name}")
        return f"#/types/{token}"


def field_name(model: type[BaseModel], field: FieldInfo) -> str:
    """The attribute of a model that a field is."""
    return next(name for name, known in model.model_fields.items() if known.alias == field.alias)


def _own_fields(base: type) -> dict[str, Any]:
    return inspect.get_annotations(base)


def _type_name(model: type) -> str:
    return model.__name__.removeprefix("_").removesuffix("Settings")


def _token(name: str) -> str:
    return f"{PACKAGE}:index:{name}"


def _description(field: FieldInfo) -> str:
    default = _default(field.get_default(call_default_factory=True))
    text = field.description or ""
    return f"{text} Default: `{default}`." if default and not field.is_required() else text


def _default(value: Any) -> str:
    match value:
        case None | "" | () | {} | BaseModel():
            return ""
        case bool():
            return str(value).lower()
        case tuple():
            return f"[{', '.join(map(str, value))}]"
        case _:
            return str(value)
