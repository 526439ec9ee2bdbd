"""The JSON schema of stack files and base files, for editors."""

from typing import Any

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.settings.descriptions import json_schema
from gke_llm_inference.settings.known_values import add_known_values
from gke_llm_inference.settings.pulumi_keys import BASE_KEY, PROJECT, TOKEN_KEY
from gke_llm_inference.settings.stack import StackSettings


def stack_schema(project: str = PROJECT) -> dict[str, Any]:
    """JSON schema of a project's `Pulumi.<stack>.yaml` files and of the base files that they name.

    A file with `config:` is a stack's. Where it names a base, no key is required and `null` removes what the base has.

    Args:
        project: name of the Pulumi project, the namespace of the settings.

    """
    settings = json_schema(StackSettings)
    definitions = settings.pop("$defs")
    add_known_values(definitions, load_catalog())
    partial_settings = _partial_model(settings)
    partials = {f"Partial{name}": _partial_model(schema) for name, schema in definitions.items()}
    whole = _config(settings["properties"], settings["required"], project)
    with_base = _config(partial_settings["properties"], [BASE_KEY], project)
    with_base["properties"][f"{project}:{BASE_KEY}"] = {
        "description": "Path of the base file, from the project's directory; this stack's settings are merged over it.",
        "type": "string",
    }
    files = {
        "BaseFile": {**partial_settings, "title": "Settings that several stacks share"},
        "StackConfig": whole,
        "StackConfigOverBase": with_base,
        "StackFile": {
            "title": "A stack of gke-llm-inference",
            "type": "object",
            "properties": {
                "config": {
                    "type": "object",
                    "if": {"required": [f"{project}:{BASE_KEY}"]},
                    "then": {"$ref": "#/$defs/StackConfigOverBase"},
                    "else": {"$ref": "#/$defs/StackConfig"},
                },
                "encryptedkey": {"type": "string"},
                "encryptionsalt": {"type": "string"},
                "environment": {},
                "secretsprovider": {"type": "string"},
            },
            "required": ["config"],
            "additionalProperties": False,
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$defs": {**definitions, **partials, **files},
        "title": "A stack of gke-llm-inference, or a base file of such stacks",
        "type": "object",
        "if": {"required": ["config"]},
        "then": {"$ref": "#/$defs/StackFile"},
        "else": {"$ref": "#/$defs/BaseFile"},
    }


def _config(properties: dict[str, Any], required: list[str], project: str) -> dict[str, Any]:
    """The schema of `config:` with the settings' properties, the token and other namespaces."""
    keys = {f"{project}:{key}": schema for key, schema in properties.items()}
    keys[f"{project}:{TOKEN_KEY}"] = {
        "description": f"The Hugging Face token, encrypted: pulumi config set --secret {TOKEN_KEY}.",
        "type": "object",
        "properties": {"secure": {"type": "string"}},
        "required": ["secure"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": dict(sorted(keys.items())),
        "patternProperties": {f"^(?!{project.replace('.', '[.]')}:)[^:]+:.+$": {}},
        "required": [f"{project}:{key}" for key in required],
        "additionalProperties": False,
    }


def _partial_model(model: dict[str, Any]) -> dict[str, Any]:
    """The schema of a part of a model: nothing is required, and `null` may stand for any value."""
    properties = {key: _or_null(_partial(schema)) for key, schema in model["properties"].items()}
    kept = {key: value for key, value in model.items() if key not in ("properties", "required", "if", "else")}
    return {**kept, "properties": properties}


def _partial(schema: dict[str, Any]) -> dict[str, Any]:
    schema = {key: value for key, value in schema.items() if key not in ("default", "discriminator", "minProperties")}
    if "$ref" in schema:
        return {**schema, "$ref": schema["$ref"].replace("#/$defs/", "#/$defs/Partial")}
    # Which member of a union is meant may be known by the other file alone.
    members = schema.pop("oneOf", None) or schema.pop("anyOf", None)
    if members is not None:
        return {**schema, "anyOf": [_partial(member) for member in members]}
    if isinstance(schema.get("additionalProperties"), dict):
        schema = {**schema, "additionalProperties": _or_null(_partial(schema["additionalProperties"]))}
    if "patternProperties" in schema:
        patterns = {pattern: _or_null(_partial(value)) for pattern, value in schema["patternProperties"].items()}
        schema = {**schema, "patternProperties": patterns}
    return schema


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    if "anyOf" in schema:
        null = {"type": "null"}
        return schema if null in schema["anyOf"] else {**schema, "anyOf": [*schema["anyOf"], null]}
    description = {key: schema[key] for key in ("description",) if key in schema}
    return {**description, "anyOf": [schema, {"type": "null"}]}
