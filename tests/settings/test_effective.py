"""The effective settings of a stack, and where each is from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

from gke_llm_inference.cli.main import main
from gke_llm_inference.settings.effective import DEFAULT
from tests.support import STACKS

if TYPE_CHECKING:
    from pathlib import Path


def output(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["settings", "effective", *arguments]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("stack", STACKS)
def test_the_effective_configuration_is_a_stack_file_that_means_the_same(
    stack: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = output(capsys, "--stack", stack)
    assert "base" not in yaml.safe_load(text)["config"]
    path = tmp_path / f"Pulumi.{stack}.yaml"
    path.write_text(text, encoding="utf-8")
    assert output(capsys, "--config-file", str(path)) == text
    document = json.loads(output(capsys, "--stack", stack, "--json"))
    assert document == json.loads(output(capsys, "--config-file", str(path), "--json"))


def test_every_value_has_an_origin(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(output(capsys, "--stack", "prod", "--origin", "--json"))
    assert {entry["origin"] for entry in found.values()} == {DEFAULT, "stack-base.yaml", "Pulumi.prod.yaml"}
    picked = {
        "cluster.location": ("us-central1", "stack-base.yaml"),
        "cluster.releaseChannel": ("STABLE", "Pulumi.prod.yaml"),
        "cluster.deletionProtection": (True, DEFAULT),
        "servers.gemma.replicas": (3, "Pulumi.prod.yaml"),
        "servers.gemma.maxModelLen": (4096, "stack-base.yaml"),
        "huggingFace.tokenSource": ("secretManager", "Pulumi.prod.yaml"),
    }
    assert {path: (found[path]["value"], found[path]["origin"]) for path in picked} == picked


def test_origins_are_shown_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    lines = output(capsys, "--stack", "dev", "--origin").splitlines()
    (line,) = (line for line in lines if line.startswith("cluster.deletionProtection"))
    assert " ".join(line.split()) == "cluster.deletionProtection: false # Pulumi.dev.yaml"
    assert len({line.rindex("  # ") for line in lines}) == 1
    assert max(map(len, lines)) <= 80


def test_a_stack_without_a_base_has_its_own_file_and_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(output(capsys, "--stack", "local", "--origin", "--json"))
    assert {entry["origin"] for entry in found.values()} == {DEFAULT, "Pulumi.local.yaml"}


def test_text_that_reads_like_a_number_stays_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "Pulumi.test.yaml"
    env = {"A": "1e3", "B": "0o17", "C": "yes", "D": "1_000", "E": "12:30:45", "F": "~", "G": "2026-01-01", "H": ""}
    path.write_text(
        json.dumps(
            {
                "config": {
                    "gke-llm-inference:cluster": {"mode": "existing", "kubeconfigContext": "c"},
                    "gke-llm-inference:servers": {"q": {"server": "vllm", "model": "a/b", "extraEnv": env}},
                }
            }
        )
    )
    text = output(capsys, "--config-file", str(path))
    again = tmp_path / "Pulumi.again.yaml"
    again.write_text(text, encoding="utf-8")
    assert json.loads(output(capsys, "--config-file", str(again), "--json"))["servers"]["q"]["extraEnv"] == env
    assert yaml.safe_load(text)["config"]["gke-llm-inference:servers"]["q"]["extraEnv"] == env


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["effective"], 2, "name a stack with --stack"),
        (["effective", "--stack", "prd"], 1, "did you mean 'prod'?"),
    ],
)
def test_a_stack_that_is_not_there_is_said(
    arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["settings", *arguments]) == code
    assert message in capsys.readouterr().err
