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
    assert errors_of(stack_file(raw)) == []


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
    ids=["clear token", "clear token beside", "empty token", "encrypted setting", "misspelt key", "no namespace"],
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
