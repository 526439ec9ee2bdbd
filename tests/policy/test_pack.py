"""The pack under `pulumi_policy`'s own server says exactly what the offline check says."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gke_llm_inference.policy.configuration import environment_of
from gke_llm_inference.policy.preview_check import check_recording
from gke_llm_inference.policy.registry import POLICIES
from tests.policy.analyzer import Analyzer, analyzer, said_offline
from tests.policy.cases import CASES, STACK, TOKEN
from tests.support import GUIDE, STACKS, Recordings

pytestmark = pytest.mark.processes

_DEV = {"policy:environment": "dev"}


@pytest.fixture(scope="module")
def production() -> Iterator[Analyzer]:
    with analyzer(STACK) as running:
        running.configure()
        yield running


@pytest.fixture(scope="module")
def development() -> Iterator[Analyzer]:
    with analyzer("anything", _DEV) as running:
        running.configure()
        yield running


def test_the_same_is_said_of_every_case(production: Analyzer) -> None:
    violations = 0
    for case in CASES:
        said = production.check(case.recording)
        assert said == said_offline(check_recording(case.recording)), case
        assert TOKEN not in repr(said)
        violations += len(said)
    assert violations >= sum(len(case.expected) for case in CASES)


@pytest.mark.parametrize("name", STACKS)
def test_the_same_is_said_of_every_stack(name: str, recordings: Recordings, production: Analyzer) -> None:
    recording = recordings.stack(name)
    expected = said_offline(check_recording(recording))
    if environment_of(name) == "prod":
        assert production.check(recording) == expected
        return
    with analyzer(name) as running:
        running.configure()
        assert running.check(recording) == expected


@pytest.mark.parametrize("path", sorted(GUIDE.glob("Pulumi.*.yaml")), ids=lambda path: path.stem)
def test_the_same_is_said_of_every_example(path: Path, recordings: Recordings, development: Analyzer) -> None:
    recording = recordings.file(path)
    assert development.check(recording) == said_offline(check_recording(recording, "dev"))


def test_a_file_of_levels_and_settings_does_the_same(recordings: Recordings, tmp_path: Path) -> None:
    given = {
        "all": "advisory",
        "image-digests": "disabled",
        "model-revisions": "disabled",
        "gpu-budget": {"enforcementLevel": "mandatory", "stacks": {"prod": 100}},
        "gpu-pool-maximum": {"maxNodes": 2},
    }
    (tmp_path / "levels.json").write_text(json.dumps(given))
    recording = recordings.stack("prod")
    expected = said_offline(check_recording(recording, config_file=tmp_path / "levels.json"))
    with analyzer("prod") as running:
        running.configure(given)
        said = running.check(recording)
    assert said == expected
    assert [(policy, level) for policy, level, _, _ in said] == [
        ("gpu-budget", "mandatory"),
        ("gpu-pool-maximum", "advisory"),
        ("gpu-pool-maximum", "advisory"),
    ]


def test_without_configuration_the_pack_takes_its_environments(recordings: Recordings) -> None:
    recording = recordings.stack("staging")
    with analyzer("staging") as running:
        assert running.check(recording) == said_offline(check_recording(recording))


def test_what_the_pack_tells_about_itself() -> None:
    with analyzer("eu-prod") as running:
        info = running.configure()
    assert info.name == "gke-llm-inference"
    assert info.description == "Policies for LLM inference on GKE, with the levels of prod"
    assert [policy.name for policy in info.policies] == [policy.name for policy in POLICIES]
    budget = next(policy for policy in info.policies if policy.name == "gpu-budget")
    assert list(budget.configSchema.required) == ["monthlyUsd", "stacks", "allowUnpriced"]
    assert budget.remediation_steps.startswith("lower maxNodes, replicas or maxReplicas")


def test_an_unknown_environment_keeps_the_pack_from_starting() -> None:
    with (
        pytest.raises(AssertionError, match="did you mean prod") as error,
        analyzer("dev", {"policy:environment": "prud"}),
    ):
        pass
    assert "policy:environment: is not a known environment" in str(error.value)
