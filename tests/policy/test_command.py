"""`python -m gke_llm_inference preview --policy`: what it prints and how it ends."""

import json
from pathlib import Path

import pytest

from tests.policy.cases import TOKEN
from tests.support import preview_command, project_with

_PROGRAM = f'''
import pulumi

class Thing(pulumi.CustomResource):
    def __init__(self, type_, name, properties):
        super().__init__(type_, name, properties)

Thing("kubernetes:core/v1:Service", "web", {{"spec": {{"type": "LoadBalancer"}}}})
Thing("kubernetes:core/v1:ConfigMap", "map", {{"data": {{"token": pulumi.Output.secret("{TOKEN}")}}}})
Thing("kubernetes:core/v1:ConfigMap", "plain", {{"data": {{"{TOKEN}": "{TOKEN}"}}}})
Thing("gcp:storage/bucket:Bucket", "models", {{"location": "MARS-EAST1", "labels": {{"environment": "prod"}}}})
'''

_TEXT = """\
Policies: 22 checked with the levels of dev, 4 violations, 3 mandatory

  mandatory: authenticated-entry
    ! web: is a public load balancer without authentication
      why: Whoever finds the address can use the GPUs and read the answers.
      Inference servers ask for a key only where they have one, and only on some
      of their paths.
      fix: set apiKeys of the server, and let a Gateway through to paths that
      the key guards; or keep Services internal
      (networking.gke.io/load-balancer-type: Internal), or put Identity-Aware
      Proxy in front of them

  mandatory: token-from-secret
    ! map: data.token holds a credential in plain text
    ! plain: data.[secret] holds a credential in plain text
      why: What is there can be read by everybody who may look at pods, previews
      and the state.
      fix: take the variable from a secretKeyRef; huggingFace.tokenSource has
      three ways for the Hugging Face token

  advisory: allowed-regions
    - models: location: mars-east1 is not an allowed region; allowed:
      us-central1, europe-west4
      why: Prompts and answers are processed where the GPUs are; contracts and
      quota hold for certain regions.
      fix: move it to an allowed region, or add the region to this policy's
      regions
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    program = tmp_path / "program.py"
    program.write_text(_PROGRAM)
    directory = tmp_path / "project"
    directory.mkdir()
    return project_with(directory, program)


def test_violations_are_printed_after_the_preview_and_fail_the_command(project: Path) -> None:
    (project / "Pulumi.test.yaml").write_text("config: {policy:environment: dev}\n")
    result = preview_command(["--project-dir", project, "--stack", "test", "--policy"])
    assert result.returncode == 1
    assert result.stdout.startswith("gke-llm-inference/test: 5 resources")
    assert result.stdout.endswith(_TEXT)
    assert TOKEN not in result.stdout + result.stderr


def test_json_has_the_violations_and_levels_can_be_changed(project: Path) -> None:
    levels = project / "levels.json"
    levels.write_text('{"all": "disabled", "allowed-regions": {"enforcementLevel": "mandatory", "regions": ["us-*"]}}')
    result = preview_command(["--project-dir", project, "--stack", "test", "--policy-config", levels, "--json"])
    assert result.returncode == 1
    assert json.loads(result.stdout)["policies"] == {
        "environment": "prod",
        "passed": False,
        "checked": [{"policy": "allowed-regions", "level": "mandatory"}],
        "violations": [
            {
                "policy": "allowed-regions",
                "level": "mandatory",
                "urn": "urn:pulumi:test::gke-llm-inference::gcp:storage/bucket:Bucket::models",
                "message": "location: mars-east1 is not an allowed region; allowed: us-*",
                "why": "Prompts and answers are processed where the GPUs are; "
                "contracts and quota hold for certain regions.",
                "fix": "move it to an allowed region, or add the region to this policy's regions",
            }
        ],
    }


def test_advice_alone_does_not_fail_the_command(project: Path) -> None:
    levels = project / "levels.json"
    levels.write_text('{"all": "advisory"}')
    result = preview_command(
        ["--project-dir", project, "--stack", "test", "--policy", "--policy-config", levels, "--json"]
    )
    assert result.returncode == 0
    policies = json.loads(result.stdout)["policies"]
    assert policies["passed"]
    assert len(policies["violations"]) == 4


def test_without_the_option_nothing_is_checked(project: Path) -> None:
    result = preview_command(["--project-dir", project, "--stack", "test", "--json"])
    assert result.returncode == 0
    assert "policies" not in json.loads(result.stdout)


def test_a_wrong_file_of_levels_is_refused_before_anything_is_printed(project: Path) -> None:
    levels = project / "levels.json"
    levels.write_text('{"probe": "advisory"}')
    result = preview_command(["--project-dir", project, "--stack", "test", "--policy-config", levels])
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr == (
        "error: the configuration has 1 problem:\n"
        "probe: is not a policy\n  why: a misspelled name would be ignored silently\n  fix: did you mean probes?\n"
    )


def test_an_unknown_environment_is_refused(project: Path) -> None:
    (project / "Pulumi.test.yaml").write_text("config: {policy:environment: prd}\n")
    result = preview_command(["--project-dir", project, "--stack", "test", "--policy"])
    assert result.returncode == 1
    assert result.stdout == ""
    assert "policy:environment: is not a known environment" in result.stderr
    assert "did you mean prod?" in result.stderr
