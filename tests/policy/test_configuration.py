"""Which environment a stack is, and how levels and settings come together."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gke_llm_inference.policy.configuration import (
    configure,
    environment_document,
    environment_of,
    environments,
    read_document,
)
from gke_llm_inference.policy.pack import initial_config, pulumi_policies
from gke_llm_inference.policy.registry import POLICIES
from gke_llm_inference.policy.rules.budget import BudgetSettings
from gke_llm_inference.settings.findings import Refusal

_ORDER = ["disabled", "advisory", "mandatory"]


@pytest.mark.parametrize(
    ("stack", "environment"),
    [
        ("dev", "dev"),
        ("local", "dev"),
        ("my-development", "dev"),
        ("staging", "staging"),
        ("stage_eu", "staging"),
        ("prod", "prod"),
        ("PROD.eu", "prod"),
        ("production", "prod"),
        ("vllm-7b", "prod"),
        ("developer", "prod"),
        ("dev-to-prod", "prod"),
        ("", "prod"),
    ],
)
def test_the_name_of_a_stack_tells_its_environment_or_it_is_the_strictest(stack: str, environment: str) -> None:
    assert environment_of(stack) == environment


def test_what_the_configuration_states_wins() -> None:
    assert environment_of("prod", "dev") == "dev"
    with pytest.raises(Refusal) as refusal:
        environment_of("dev", "prd")
    assert str(refusal.value.problems[0]) == (
        "policy:environment: is not a known environment\n"
        "  why: levels and settings of policies come from the environment's file in policy/config\n"
        "  fix: did you mean prod?"
    )


def test_each_environment_states_every_policy_and_none_is_laxer_than_the_one_before() -> None:
    assert environments() == ["dev", "prod", "staging"]
    levels = []
    for environment in ("dev", "staging", "prod"):
        assert sorted(environment_document(environment)) == [policy.name for policy in POLICIES]
        levels.append([_ORDER.index(one.level) for one in configure(environment_document(environment))])
    assert all(one <= other for lower, upper in pairwise(levels) for one, other in zip(lower, upper, strict=True))
    assert min(levels[2]) >= 1


def test_later_documents_go_over_earlier_ones_setting_by_setting() -> None:
    configured = {
        one.policy.name: one
        for one in configure(
            environment_document("prod"),
            {"gpu-budget": {"monthlyUsd": 5}, "probes": "disabled", "all": "advisory"},
            {"gpu-budget": {"enforcementLevel": "mandatory", "stacks": {"prod-eu": 7}}},
        )
    }
    assert configured["probes"].level == "disabled"
    assert configured["pinned-images"].level == "advisory"
    assert configured["gpu-budget"].level == "mandatory"
    assert configured["gpu-budget"].settings == BudgetSettings(
        monthly_usd=5, stacks={"prod-eu": 7}, allow_unpriced=False
    )


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"probe": "advisory"}, "probe: is not a policy\n  fix: did you mean probes?"),
        ({"probes": "mandatry"}, "probes: does not have a known level\n  fix: did you mean mandatory?"),
        ({"probes": 3}, "probes: does not have a known level\n  fix: use one of: advisory, disabled, mandatory"),
        ({"probes": {"period": 3}}, "probes.period: is not a known key\n  fix: use one of: "),
        ({"gpu-budget": {"monthlyUsd": "9"}}, "gpu-budget.monthlyUsd: is not a number\n  fix: write a number"),
        (
            {"gpu-budget": {"monthlyUSD": 9}},
            "gpu-budget.monthlyUSD: is not a known key\n  fix: did you mean monthlyUsd?",
        ),
        ({"gpu-budget": {"stacks": {"prod": -1}}}, "gpu-budget.stacks.prod: input should be greater than 0"),
        ({"all": {"maxNodes": 3}}, "all: has settings\n  fix: move maxNodes to the policy that it is for"),
    ],
)
def test_every_mistake_is_refused(document: dict[str, Any], problem: str) -> None:
    with pytest.raises(Refusal) as refusal:
        configure(environment_document("dev"), document)
    what, _, fix = problem.partition("\n  fix: ")
    (found,) = refusal.value.problems
    assert f"{found.path}: {found.what}" == what
    assert found.fix.startswith(fix)


def test_all_mistakes_are_reported_together() -> None:
    with pytest.raises(Refusal) as refusal:
        configure(environment_document("dev"), {"a": 1, "probes": "x", "gpu-budget": {"b": 1}})
    assert [problem.path for problem in refusal.value.problems] == ["a", "gpu-budget.b", "probes"]


@pytest.mark.parametrize(
    ("text", "what"), [("{", "is not JSON"), ("[]", "is not a JSON object"), ("[" * 100_000, "is not JSON")]
)
def test_a_file_that_is_no_document_is_refused(text: str, what: str, tmp_path: Path) -> None:
    path = tmp_path / "levels.json"
    path.write_text(text)
    with pytest.raises(Refusal, match=what):
        read_document(path)
    with pytest.raises(Refusal, match="cannot be read: No such file"):
        read_document(tmp_path / "other.json")


def test_the_files_are_plain_json() -> None:
    for environment in environments():
        document = environment_document(environment)
        assert document == json.loads(json.dumps(document))


def test_the_files_fit_the_schemas_that_the_pulumi_cli_validates_them_by() -> None:
    for environment in environments():
        configured = configure(environment_document(environment))
        stated = initial_config(configured)
        for one in pulumi_policies(configured):
            assert stated[one.name]["enforcementLevel"] is one.enforcement_level
            settings = {key: value for key, value in stated[one.name].items() if key != "enforcementLevel"}
            if one.config_schema is None:
                assert not settings
                continue
            schema = {"properties": one.config_schema.properties, "required": one.config_schema.required}
            jsonschema.Draft7Validator.check_schema(schema)
            jsonschema.validate(settings, schema, jsonschema.Draft7Validator)
