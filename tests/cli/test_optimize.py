"""The subcommand `optimize`: text, JSON, picture and what it refuses."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
import yaml

from gke_llm_inference.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

ASKED = [
    *("optimize", "--model", "Qwen/Qwen2.5-7B-Instruct", "--gpus", "nvidia-l4"),
    *("--input", "500", "--output", "100", "--rate", "2", "--tpot-p95", "80"),
]


def test_the_fragment_is_a_stack_file_that_is_planned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(ASKED) == 0
    shown = capsys.readouterr().out
    assert "Best: " in shown
    assert max(map(len, shown.splitlines())) <= 80
    stated = yaml.safe_load(shown[shown.index("config:") :])
    stated["config"]["gcp:project"] = "my-project"
    stated["config"]["gke-llm-inference:cluster"] = {"mode": "standard", "location": "us-central1"}
    file = tmp_path / "Pulumi.found.yaml"
    file.write_text(yaml.safe_dump(stated))
    assert main(["plan", "--config-file", str(file), "--json"]) == 0
    (server,) = json.loads(capsys.readouterr().out)["servers"].values()
    assert server["verdict"] == "fits"
    assert re.search(rf"Best: {server['replicas']} replicas? of", shown)


def test_the_document_has_the_same_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ASKED, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    best = document["best"]
    assert best in document["options"]
    assert best["tpotMs"]["p95"] <= 80
    assert document["settings"]["servers"]["qwen2-5-7b-instruct"]["replicas"] == best["replicas"]
    assert document["workload"]["requestRate"] == 2


def test_nothing_fast_enough_is_a_failure_that_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ASKED[:-1], "2"]) == 1
    shown = capsys.readouterr().out
    assert "Nothing meets the objectives." in shown
    assert "a lone request takes" in shown


def test_a_picture_has_the_same_bytes_each_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = []
    for name in ("one.svg", "two.svg"):
        assert main([*ASKED, "--plot", str(tmp_path / name)]) == 0
        assert f"wrote {tmp_path / name}" in capsys.readouterr().err
        pictures.append((tmp_path / name).read_bytes())
    assert pictures[0] == pictures[1]
    assert main([*ASKED, "--plot", str(tmp_path / "absent" / "one.svg")]) == 1
    assert "the picture cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "Qwen/Qwen2.5-7B-Instrct"], "did you mean Qwen/Qwen2.5-7B-Instruct?"),
        (["--model", "google/gemma-7b-it", "--gpus", "nvidia-l44"], "did you mean nvidia-l4?"),
        (["--model", "google/gemma-7b-it", "--gpus", ","], "--gpus names none"),
        (["--model", "google/gemma-7b-it", "--workload", "chatt"], "did you mean chat?"),
        (["--model", "google/gemma-7b-it", "--rate", "0"], "--rate 0: use a number above 0"),
        (["--model", "google/gemma-7b-it", "--rate", "inf"], "--rate inf: use a number above 0"),
        (["--model", "google/gemma-7b-it", "--tpot-p95", "-1"], "--tpot-p95 -1: use a number above 0"),
        (["--model", "google/gemma-7b-it", "--region", "us-centrall1"], "did you mean us-central1?"),
    ],
)
def test_usage(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["optimize", *arguments]) == 2
    assert message in capsys.readouterr().err
