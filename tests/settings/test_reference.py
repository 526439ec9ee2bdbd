"""The JSON schema of stack files and the reference are those of the settings, and the stack files keep to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from pydantic import BaseModel

from gke_llm_inference import settings as settings_package
from gke_llm_inference.settings import StackSettings, parse_settings
from gke_llm_inference.settings.descriptions import describe_settings
from gke_llm_inference.settings.pulumi_keys import PROJECT, TOKEN_KEY
from gke_llm_inference.settings.schema import stack_schema
from tests.settings.strategies import RAW_STACKS
from tests.settings.support import (
    PROPERTY,
    TOKEN,
    Raw,
    autopilot_stack,
    changed,
    dotted,
    full_stack,
    mappings,
    only_problem,
    variants,
    without,
)
from tools.settings_reference import markdown_reference

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[2]
STACK_FILES = sorted(REPOSITORY.glob("Pulumi.*.yaml"))
VALIDATOR = jsonschema.Draft202012Validator(stack_schema())


def stack_file(raw: Raw) -> Raw:
    """A stack file with the settings `raw`."""
    return {"config": {f"{PROJECT}:{key}": value for key, value in raw.items()}}


def errors_of(document: Any) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(document)]


# Names that settings take, and the schema and every plan refuse; with a name for each that both know.
UNKNOWN = {"nvidia-l40": "nvidia-l4", "n2-standard-8": "g2-standard-8", "nobody/knows-this": "google/gemma-7b-it"}


def known(value: Any) -> Any:
    """The configuration with names of the catalog in the place of others."""
    if isinstance(value, dict):
        return {key: known(item) for key, item in value.items()}
    if isinstance(value, list):
        return [known(item) for item in value]
    return UNKNOWN.get(value, value) if isinstance(value, str) else value


def settings_models() -> Iterator[type[BaseModel]]:
    for name in settings_package.__all__:
        exported = getattr(settings_package, name)
        if isinstance(exported, type) and issubclass(exported, BaseModel):
            yield exported


def test_the_committed_schema_is_that_of_the_settings() -> None:
    text = (REPOSITORY / "schemas" / "stack.schema.json").read_text("utf-8")
    assert text == json.dumps(stack_schema(), indent=2) + "\n", "run: make generate"


def test_the_committed_reference_is_that_of_the_settings() -> None:
    text = (REPOSITORY / "docs" / "configuration.md").read_text("utf-8")
    assert text == markdown_reference(), "run: make generate"


def test_the_schema_is_a_valid_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(stack_schema())


def test_there_is_a_file_for_each_stack() -> None:
    assert [path.name for path in STACK_FILES] == [
        f"Pulumi.{stack}.yaml" for stack in ("dev", "local", "prod", "staging")
    ]


@pytest.mark.parametrize("path", STACK_FILES, ids=lambda path: path.name)
def test_a_stack_file_of_the_repository_keeps_to_the_schema(path: Path) -> None:
    assert errors_of(yaml.safe_load(path.read_text("utf-8"))) == []


@pytest.mark.parametrize("path", STACK_FILES, ids=lambda path: path.name)
def test_a_stack_file_of_the_repository_points_editors_to_the_schema(path: Path) -> None:
    first = path.read_text("utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=schemas/stack.schema.json"
    assert (path.parent / first.partition("$schema=")[2]).is_file()


@pytest.mark.parametrize("path", STACK_FILES, ids=lambda path: path.name)
def test_a_stack_file_of_the_repository_holds_no_secret(path: Path) -> None:
    text = path.read_text("utf-8")
    assert "secure:" not in text
    assert "hf_" not in text


def test_the_base_file_keeps_to_the_schema_and_points_editors_to_it() -> None:
    text = (REPOSITORY / "stack-base.yaml").read_text("utf-8")
    assert errors_of(yaml.safe_load(text)) == []
    assert text.splitlines()[0] == "# yaml-language-server: $schema=schemas/stack.schema.json"


@given(raw=RAW_STACKS)
@PROPERTY
def test_the_schema_takes_every_part_of_a_configuration_as_a_base_or_over_one(raw: Raw) -> None:
    raw = known(raw)
    assert errors_of(raw) == []
    for path in [(), *mappings(raw)]:
        part = without(raw, path) if path else {}
        assert errors_of(part) == []
        assert errors_of(stack_file({"base": "stack-base.yaml", **part})) == []


def test_over_a_base_null_removes_and_without_one_it_is_rejected() -> None:
    removing = {"servers": {"gemma": None, "other": {"maxModelLen": None}}, "cluster": {"labels": {"a": None}}}
    assert errors_of(stack_file({"base": "stack-base.yaml", **removing})) == []
    assert errors_of(stack_file({**autopilot_stack(), "servers": {"gemma": None}}))


@pytest.mark.parametrize("raw", variants().values(), ids=variants())
def test_the_schema_rejects_an_unknown_key_in_a_base_and_over_one(raw: Raw) -> None:
    for path in [("cluster",), ("servers", "gemma")]:
        wrong = changed(raw, (*path, "unheardOf"), 1)
        assert errors_of(wrong), path
        assert errors_of(stack_file({"base": "stack-base.yaml", **wrong})), path
    assert errors_of({**raw, "base": "other.yaml"})


@given(raw=RAW_STACKS)
@PROPERTY
def test_the_schema_takes_every_configuration_that_the_settings_take(raw: Raw) -> None:
    assert errors_of(stack_file(known(raw))) == []


@pytest.mark.parametrize("raw", variants().values(), ids=variants())
def test_the_schema_rejects_an_unknown_key_in_every_mapping(raw: Raw) -> None:
    for path in mappings(raw):
        if path and path[-1] in ("labels", "nodePools", "servers"):
            continue
        assert errors_of(stack_file(changed(raw, (*path, "unheardOf"), 1))), path


@pytest.mark.parametrize(
    "extra",
    [
        {f"{PROJECT}:{TOKEN_KEY}": TOKEN},
        {f"{PROJECT}:{TOKEN_KEY}": {"secure": "v1:x", "plain": TOKEN}},
        {f"{PROJECT}:{TOKEN_KEY}": {}},
        {f"{PROJECT}:namespace": {"secure": "v1:x"}},
        {f"{PROJECT}:nameSpace": "x"},
        {"cluster": {}},
    ],
    ids=["clear token", "clear token beside", "empty token", "encrypted setting", "misspelled key", "no namespace"],
)
def test_the_schema_rejects_what_does_not_belong_under_config(extra: Raw) -> None:
    document = stack_file(autopilot_stack())
    document["config"] |= extra
    assert errors_of(document)


@pytest.mark.parametrize(
    "extra",
    [
        {f"{PROJECT}:{TOKEN_KEY}": {"secure": "v1:x"}},
        {"gcp:project": "p", "kubernetes:context": "c"},
    ],
    ids=["encrypted token", "other namespaces"],
)
def test_the_schema_takes_the_encrypted_token_and_the_config_of_providers(extra: Raw) -> None:
    document = stack_file(autopilot_stack())
    document["config"] |= extra
    document |= {"encryptionsalt": "v1:x", "secretsprovider": "gcpkms://x"}
    assert errors_of(document) == []


@pytest.mark.parametrize("value", [0.26, True, "v0.26.0"])
def test_the_schema_rejects_a_version_that_is_not_quoted_or_not_plain(value: object) -> None:
    assert errors_of(stack_file(autopilot_stack(version=value)))


@pytest.mark.parametrize(
    "path",
    [("cluster", "network"), ("huggingFace",), ("nodePools", "l4", "provisioning")],
    ids=dotted,
)
def test_neither_schema_nor_parser_takes_a_block_without_the_choice_that_decides_its_keys(
    path: tuple[str, ...],
) -> None:
    raw = changed(full_stack(), path, {})
    assert errors_of(stack_file(raw))
    assert only_problem(raw).what == "is missing"


@pytest.mark.parametrize(
    "path",
    [("cluster", "network"), ("huggingFace",), ("nodePools", "l4", "provisioning")],
    ids=dotted,
)
def test_both_schema_and_parser_take_a_stack_without_such_a_block(path: tuple[str, ...]) -> None:
    raw = without(full_stack(), path)
    assert errors_of(stack_file(raw)) == []
    parse_settings(raw)


@pytest.mark.parametrize(
    ("model", "field"),
    [
        pytest.param(model, field, id=f"{model.__name__}.{field}")
        for model in settings_models()
        for field in model.model_fields
    ],
)
def test_every_field_of_the_settings_is_described(model: type[BaseModel], field: str) -> None:
    describe_settings()
    description = model.model_fields[field].description
    assert description
    assert len(description) > 3


def test_the_reference_has_a_table_for_every_model_and_a_row_for_every_key() -> None:
    reference = markdown_reference()
    for model in settings_models():
        if model is not StackSettings:
            assert f"\n## {model.__name__}\n" in reference
        for name, field in model.model_fields.items():
            assert f"| `{field.alias or name}` |" in reference


def test_every_link_of_the_reference_has_a_target() -> None:
    reference = markdown_reference()
    targets = {line.removeprefix("## ").lower() for line in reference.splitlines() if line.startswith("## ")}
    links = {part.partition(")")[0] for part in reference.split("](#")[1:]}
    assert links
    assert links <= targets


# Names of the catalog

MISSPELT = {
    "a GPU of a server": (("servers", "gemma", "accelerator"), {"type": "nvidia-14"}),
    "a GPU of a pool": (("nodePools", "l4", "accelerator", "type"), "nvidia-l44"),
    "a machine": (("nodePools", "l4", "machineType"), "g2-standard-9"),
    "a machine of the system": (("cluster", "systemPool"), {"machineType": "e2-standart-4"}),
    "a preset": (("servers", "gemma", "presets"), ["latancy"]),
    "a version": (("servers", "gemma", "version"), "v0.26.0"),
    "a region": (("cluster", "location"), "us-centrall1"),
    "a region of another cloud": (("cluster", "location"), "eu-west-1"),
    "a zone": (("cluster", "location"), "us-central-a"),
    "a zone of a pool": (("nodePools", "l4", "zones"), ["us-cental1-a"]),
}
BEYOND = {
    "a newer version": (("servers", "gemma", "version"), "99.1.0"),
    "a version without a patch": (("servers", "gemma", "version"), "0.26"),
    "a new region": (("cluster", "location"), "southamerica-west9"),
    "a zone of it": (("nodePools", "l4", "zones"), ["us-central1-z"]),
    "a GPU with its memory": (("servers", "gemma", "accelerator"), {"type": "nvidia-new", "memoryMib": 90_000}),
}


@pytest.mark.parametrize(("path", "value"), MISSPELT.values(), ids=MISSPELT)
def test_an_editor_marks_a_misspelled_name(path: tuple[str, ...], value: Any) -> None:
    raw = known(full_stack())
    assert errors_of(stack_file(raw)) == []
    assert errors_of(stack_file(changed(raw, path, value)))


@pytest.mark.parametrize(("path", "value"), BEYOND.values(), ids=BEYOND)
def test_an_editor_takes_what_a_plan_takes_beyond_the_catalog(path: tuple[str, ...], value: Any) -> None:
    assert errors_of(stack_file(changed(known(full_stack()), path, value))) == []


@pytest.mark.parametrize("key", ["configFile", "architecture"])
def test_an_editor_takes_a_model_that_the_stack_describes_and_marks_another(key: str) -> None:
    given = {"configFile": "model.json", "architecture": full_stack()["servers"]["gemma"]["architecture"]}[key]
    raw = changed(autopilot_stack(), ("servers", "gemma", "model"), "acme/own-7b")
    assert errors_of(stack_file(raw))
    raw["servers"]["gemma"][key] = given
    assert errors_of(stack_file(raw)) == []


@pytest.mark.parametrize(
    ("model", "key"),
    [
        ("AcceleratorSettings", "type"),
        ("NodePoolSettings", "machineType"),
        ("SystemPool", "machineType"),
        ("ServerAccelerator", "type"),
        ("AutopilotCluster", "location"),
        ("StandardCluster", "location"),
        ("ExistingCluster", "location"),
        ("VllmSettings", "version"),
        ("TgiSettings", "version"),
        ("VllmSettings", "model"),
        ("TgiSettings", "presets"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "Partial"])
def test_an_editor_completes_the_names_of_the_catalog(model: str, key: str, prefix: str) -> None:
    schema = stack_schema()["$defs"][prefix + model]["properties"][key]
    found = json.dumps(schema)
    assert '"enum": [' in found
    name = {"type": "nvidia-l4", "location": "europe-west4", "presets": "latency", "model": "google/gemma-7b-it"}.get(
        key, {"SystemPool": "e2-standard-4", "NodePoolSettings": "g2-standard-8", "TgiSettings": "3.3.7"}.get(model)
    )
    assert f'"{name or "0.26.0"}"' in found


@pytest.mark.parametrize("path", sorted((REPOSITORY / "examples").rglob("Pulumi.*.yaml")), ids=lambda path: path.name)
def test_an_example_keeps_to_the_schema(path: Path) -> None:
    document = yaml.safe_load(path.read_text("utf-8"))
    if any(key.startswith(f"{PROJECT}:") for key in document["config"]):
        assert errors_of(document) == []
