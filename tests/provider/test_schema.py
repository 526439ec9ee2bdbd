"""The schema that SDKs are generated from: asked as the CLI asks for it, and held against the settings models."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from pulumi.runtime.proto import provider_pb2
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from components import InferenceServer, InferenceStack
from gke_llm_inference.provider.arguments import COMPONENTS, SERVER_TYPE, STACK_TYPE, ServerArguments
from gke_llm_inference.settings import ExistingCluster, StackSettings
from gke_llm_inference.settings.annotations import fields_of, is_union, tagged, unwrapped
from gke_llm_inference.settings.descriptions import describe_settings
from gke_llm_inference.version import __version__
from tests.provider.support import Provider
from tests.support import PROJECT, expect_golden

GOLDEN = Path(__file__).parent / "golden" / "schema.json"
OWN = {
    STACK_TYPE: {"gcpProject", "huggingFaceToken"},
    SERVER_TYPE: {"tokenVersion"},
}
JSON_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}


@pytest.fixture(scope="module")
def schema(provider: Provider) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(provider.stub.GetSchema(provider_pb2.GetSchemaRequest(version=0)).schema)
    return document


def models_of(annotation: Any) -> Iterator[type[BaseModel]]:
    """Every model that an annotation leads to."""
    annotation = unwrapped(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models_of(field.annotation)
    for argument in get_args(annotation):
        yield from models_of(argument)


describe_settings()
MODELS = {model.__name__: model for model in models_of(StackSettings) if model is not StackSettings}
FIELDS = [
    *((STACK_TYPE, StackSettings, key) for key in fields_of(StackSettings)),
    *((SERVER_TYPE, ServerArguments, key) for key in fields_of(ServerArguments)),
    *((f"{PROJECT}:index:{name}", model, key) for name, model in MODELS.items() for key in fields_of(model)),
]


def properties_of(schema: dict[str, Any], token: str) -> dict[str, Any]:
    found: dict[str, Any] = (
        schema["resources"][token]["inputProperties"] if token in COMPONENTS else schema["types"][token]["properties"]
    )
    return found


def shape_of(schema: dict[str, Any], annotation: Any) -> dict[str, Any]:
    """What Pulumi's schema has to say of an annotation, with types by their names."""
    annotation = unwrapped(annotation)
    origin = get_origin(annotation)
    if origin is Literal:
        choices = get_args(annotation)
        kind = JSON_TYPES[type(choices[0])]
        return {"type": kind, "const": choices[0]} if len(choices) == 1 else {"type": kind, "enum": list(choices)}
    if is_union(annotation):
        return {"oneOf": {tag: member.__name__ for tag, member in tagged(annotation).items()}}
    if origin is dict:
        return {"type": "object", "of": shape_of(schema, get_args(annotation)[1])}
    if origin is tuple:
        return {"type": "array", "of": shape_of(schema, get_args(annotation)[0])}
    if annotation is Any:
        return {"any": True}
    if annotation in JSON_TYPES:
        return {"type": JSON_TYPES[annotation]}
    return {"model": annotation.__name__}


def shape_in(schema: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    """The same of a property in the schema; every part of it is plain."""
    assert spec["plain"] is True
    if "oneOf" in spec and "discriminator" not in spec:
        one, other = spec["oneOf"]
        assert one == other
        return shape_in(schema, one)
    if "oneOf" in spec:
        mapping = spec["discriminator"]["mapping"]
        assert [member["$ref"] for member in spec["oneOf"]] == list(mapping.values())
        return {"oneOf": {tag: ref.rpartition(":")[2] for tag, ref in mapping.items()}}
    if spec.get("$ref") == "pulumi.json#/Any":
        return {"any": True}
    if "$ref" in spec:
        token = spec["$ref"].removeprefix("#/types/")
        definition = schema["types"][token]
        if "enum" in definition:
            return {"type": definition["type"], "enum": [choice["value"] for choice in definition["enum"]]}
        return {"model": token.rpartition(":")[2]}
    if "const" in spec:
        return {"type": spec["type"], "const": spec["const"]}
    inner = spec.get("additionalProperties") or spec.get("items")
    return {"type": spec["type"], "of": shape_in(schema, inner)} if inner else {"type": spec["type"]}


def test_the_schema_is_the_committed_one(schema: dict[str, Any]) -> None:
    expect_golden(GOLDEN, json.dumps(schema, indent=2) + "\n")


def test_the_schema_has_the_packages_name_and_version(schema: dict[str, Any]) -> None:
    assert (schema["name"], schema["version"]) == (PROJECT, __version__)


def test_the_schema_has_the_components_and_every_model_of_the_settings(schema: dict[str, Any]) -> None:
    assert set(schema["resources"]) == {STACK_TYPE, SERVER_TYPE} == {InferenceStack.TYPE, InferenceServer.TYPE}
    objects = {token for token, definition in schema["types"].items() if "properties" in definition}
    assert objects == {f"{PROJECT}:index:{name}" for name in MODELS}


@pytest.mark.parametrize(("token", "model", "key"), FIELDS, ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_property_is_the_field_of_the_settings(
    schema: dict[str, Any], token: str, model: type[BaseModel], key: str
) -> None:
    spec, field = properties_of(schema, token)[key], fields_of(model)[key]
    assert shape_in(schema, spec) == shape_of(schema, field.annotation)
    required = (
        schema["resources"][token]["requiredInputs"] if token in COMPONENTS else schema["types"][token]["required"]
    )
    assert (key in required) == field.is_required()
    assert spec["description"] == described(field)


def described(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    if field.is_required() or default in (None, "", (), {}) or isinstance(default, BaseModel):
        return field.description or ""
    text = json.dumps(default) if isinstance(default, bool) else str(default)
    if isinstance(default, tuple):
        text = f"[{', '.join(default)}]"
    return f"{field.description} Default: `{text}`."


def test_there_are_no_other_properties(schema: dict[str, Any]) -> None:
    for token, component in COMPONENTS.items():
        assert set(properties_of(schema, token)) == set(fields_of(component.settings)) | OWN[token]
    for name, model in MODELS.items():
        assert set(properties_of(schema, f"{PROJECT}:index:{name}")) == set(fields_of(model))


def test_no_sdk_states_a_default_that_presets_would_have_to_give_way_to(schema: dict[str, Any]) -> None:
    places = [*schema["resources"].values(), *schema["types"].values()]
    properties = [
        spec for place in places for spec in place.get("inputProperties", place.get("properties", {})).values()
    ]
    assert len(properties) > 150
    assert not [spec for spec in properties if "default" in spec]


def test_what_may_be_an_output_is_not_plain_and_the_token_is_secret(schema: dict[str, Any]) -> None:
    stack, server = (properties_of(schema, token) for token in (STACK_TYPE, SERVER_TYPE))
    assert stack["huggingFaceToken"].items() >= {"type": "string", "secret": True}.items()
    assert "plain" not in stack["huggingFaceToken"]
    assert "plain" not in server["tokenVersion"]
    assert stack["gcpProject"]["plain"] is True


@pytest.mark.parametrize(
    ("own", "model", "key"),
    [
        ("profile", ExistingCluster, "profile"),
        ("namespace", StackSettings, "namespace"),
        ("huggingFace", StackSettings, "huggingFace"),
    ],
)
def test_a_servers_arguments_are_those_of_a_stack(own: str, model: type[BaseModel], key: str) -> None:
    mine, theirs = fields_of(ServerArguments)[own], fields_of(model)[key]
    assert mine.description == theirs.description
    assert mine.default == theirs.default
    if own != "huggingFace":  # where a server has a choice of what needs nothing made
        assert mine.annotation == theirs.annotation


def test_the_outputs_are_what_the_components_register(provider: Provider, schema: dict[str, Any]) -> None:
    server = {"server": "vllm", "model": "Qwen/Qwen2.5-7B-Instruct", "maxModelLen": 4096}
    reached = {
        **server,
        "exposure": "external",
        "hostname": "llm.example.com",
        "apiKeys": {"source": "existingSecret", "secretName": "keys"},
    }
    stack = {
        "cluster": {"mode": "autopilot", "location": "us-central1"},
        "gateway": {"tls": {"source": "certificateManager", "managed": True}},
        "servers": {"qwen": reached},
    }
    for token, inputs in ((STACK_TYPE, {**stack, "gcpProject": "my-project"}), (SERVER_TYPE, {"server": server})):
        resource = schema["resources"][token]
        made = provider.construct(token, inputs)
        registered = {key for one in made.recording.resources if one.urn == made.urn for key in one.outputs or {}}
        assert set(resource["properties"]) == registered
        assert set(resource["required"]) <= set(made.state) <= registered
