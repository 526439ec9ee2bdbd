"""The subcommand `optimize`: text, JSON, picture and what it refuses."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
import yaml

from gke_llm_inference.cli.main import main

pytestmark = pytest.mark.searches

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


def test_what_only_may_meet_the_objectives_is_not_said_to_meet_them(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["optimize", "--model", "google/gemma-7b-it", "--workload", "chat", "--rate", "4", "--tpot-p95", "60"]
    assert main([*asked, "--ttft-p95", "500", "--gpus", "nvidia-tesla-a100", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    best = document["best"]
    assert best["ttftMs"]["p95"] < 500 < best["ttftMs"]["p95"] * (1 + best["errorPercent"]["ttft"] / 100)
    assert best["verdict"] == "may meet"
    sure = min(
        (one for one in document["options"] if one["verdict"] == "meets"), key=lambda option: option["usdPerMonth"]
    )
    assert main([*asked, "--ttft-p95", "500", "--gpus", "nvidia-tesla-a100"]) == 0
    shown = capsys.readouterr().out
    assert "may meet the objectives: the error band of the first token reaches beyond" in shown
    said = " ".join(shown.split())
    gpus = f"{sure['gpus']} × nvidia-tesla-a100"
    assert re.search(rf"meets them with its band to spare: {gpus}, .*{sure['usdPerMonth']:,.0f} USD a month", said)
    assert re.search(rf" {best['ttftMs']['p95']:,.0f}\? ", shown)
    assert "?: may meet its objective; the error band reaches beyond" in shown


def test_what_meets_the_objectives_with_its_band_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ASKED[:-1], "200"]) == 0
    shown = capsys.readouterr().out
    assert "meets the objectives with its error band to spare" in shown
    assert "?" not in shown


def test_without_objectives_there_is_no_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ASKED[:-2], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["best"]["verdict"] is None


def test_a_load_that_no_number_of_replicas_serves_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["optimize", "--model", "google/gemma-7b-it", "--gpus", "nvidia-l4", "--rate", "100000"]
    assert main([*asked, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["best"] is None
    assert {one["why"] for one in document["refused"]} == {"needs more than the 1,000 replicas that a server may have"}
    assert main(asked) == 1
    shown = capsys.readouterr().out
    assert "Nothing serves the load." in shown
    assert "100,000 requests a second" in shown


def test_requests_beyond_the_models_context_are_refused_or_counted(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["optimize", "--model", "google/gemma-7b-it", "--gpus", "nvidia-l4"]
    assert main([*asked, "--workload", "agents"]) == 1
    said = capsys.readouterr().err
    assert "a request of agents has 11,656 tokens at the median, and the context 8,192" in said
    assert "the model's own limit is 8,192; or state shorter requests" in said
    assert main([*asked, "--workload", "chat"]) == 0
    assert "0.6% of the requests do not fit the context, and are cut to it." in capsys.readouterr().out


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
