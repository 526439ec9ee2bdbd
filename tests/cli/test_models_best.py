"""`models --best`: for each model what serves it for the least, and what answers soonest."""

from __future__ import annotations

import json

import pytest

from gke_llm_inference.cli.main import main

pytestmark = pytest.mark.searches

BEST = ("models", "--best")
GEMMA = ("--model", "google/gemma-7b-it")


def test_the_choices_are_those_of_the_two_goals(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*BEST, *GEMMA, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["model"], found["holder"], found["why"]) == ("google/gemma-7b-it", None, "")
    for key, goal in (("cheapest", "cost"), ("fastest", "latency")):
        assert main(["optimize", *GEMMA, "--goal", goal, "--json"]) == 0
        assert found[key] == json.loads(capsys.readouterr().out)["best"]
    assert found["cheapest"]["usdPerHour"] < found["fastest"]["usdPerHour"] <= 5 * found["cheapest"]["usdPerHour"]
    assert found["fastest"]["tpotMs"]["p50"] < found["cheapest"]["tpotMs"]["p50"]


def test_the_text_has_a_line_for_each_choice(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*BEST, *GEMMA]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "google/gemma-7b-it"
    assert " ".join(lines[2].split()) == "cheapest 1 × nvidia-l4, FP8 on load 8,192 0.85 40.0 ± 14 %"
    assert lines[3].startswith("  fastest  1 × nvidia-tesla-a100, ")
    assert lines[4].startswith("1 of 1 have a choice.")
    assert max(map(len, lines)) <= 80


def test_what_only_gpus_without_a_known_speed_hold_is_told_by_its_memory(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*BEST, "--model", "deepseek-ai/DeepSeek-V3"]) == 0
    _, model, holder, why, *rest = capsys.readouterr().out.splitlines()
    assert model == "deepseek-ai/DeepSeek-V3"
    assert " ".join(holder.split()) == "by memory 8 × nvidia-rtx-pro-6000 68,224 ? not known"
    assert why == "  deepseek-ai/DeepSeek-V3 does not fit any of the GPUs whose speed is known"
    assert rest[0].startswith("0 of 1 have a choice.")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "google/gemma-7b-ti"), "did you mean google/gemma-7b-it?"),
        (("--region", "us-central9"), "did you mean us-central1?"),
    ],
)
def test_names_that_nobody_knows_are_refused_with_the_nearest(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*BEST, *arguments]) == 2
    shown = capsys.readouterr()
    assert (shown.out, message in shown.err) == ("", True)
