"""What the fit of constants of speed makes of errors, and which constants follow others."""

import math
from typing import Any

import pytest

from gke_llm_inference.catalog.performance_facts import measurements_path
from tests.performance.support import FACTS
from tools.fit_performance import (
    CONSTANTS,
    LeftOut,
    Problem,
    _with_arrivals,
    bands_of,
    read_steps,
    refit,
    residuals_of,
    unknown_host,
    value_at,
    with_constants,
    with_relatives,
)
from tools.memory_accuracy import read_cases
from tools.performance_accuracy import compare, summarize

CASES = read_cases(measurements_path().read_text("utf-8"))
QUANTITIES = ("step_ms", "tpot_ms.p50", "output_tokens_per_second", "ttft_ms.p50")


def left_out(without: str, *sizes: float) -> list[LeftOut]:
    return [
        LeftOut(line=line, without=without, errors=dict.fromkeys(QUANTITIES, size)) for line, size in enumerate(sizes)
    ]


def test_constants_are_set_by_their_path() -> None:
    changed = with_constants(FACTS, {"kernels.fp8.host": 0.5, "attention.prefill.128": 0.3})
    assert changed.kernels["fp8"].host == value_at(changed, "kernels.fp8.host") == 0.5
    assert changed.attention.prefill[128] == value_at(changed, "attention.prefill.128") == 0.3
    assert FACTS.kernels["fp8"].host != 0.5


def test_what_nobody_measured_follows_what_it_resembles() -> None:
    values = {
        "kernels.fp8.large_compute": 0.8,
        "kernels.bf16.compute": 0.7,
        "overhead.family_kernels.qwen3": 0.25,
        "overhead.family_kernels.gemma2": 0.5,
    }
    found = with_relatives(with_constants(FACTS, values))
    assert found.kernels["int8"].large_compute == 0.8
    assert found.kernels["triton"].large_compute == pytest.approx(0.8 * 0.73)
    assert found.kernels["triton"].multiprocessor_gb_per_s is None
    assert found.kernels["bitsandbytes"].compute == 0.7
    assert found.kernels["bitsandbytes"].bandwidth == FACTS.kernels["bitsandbytes"].bandwidth
    assert found.overhead.family_kernels["gemma3"] == 0.75


def test_bands_are_nine_of_ten_errors_of_what_was_left_out() -> None:
    found = bands_of([*left_out("model", *range(11)), *left_out("gpu", *range(0, 22, 2))])
    assert {name: band["step_ms"] for name, band in found.items()} == {
        "measured": 9.0,
        "transferred": 18.0,
        "estimated": 36.0,
    }


def test_residuals_are_of_models_alone_and_runs_of_a_load_count_as_one() -> None:
    cases = {line: {"kind": "decode", "sequences": max(1, line)} for line in range(3)}
    found = residuals_of([*left_out("model", -4.0, 2.0, 7.0), *left_out("gpu", 50.0)], cases)
    assert (found["step_ms"].samples, found["step_ms"].median, found["step_ms"].worst) == (2, 4.0, 7.0)


def test_a_host_that_is_not_known_has_errors_of_its_own() -> None:
    few = {line: case for line, case in CASES.items() if str(case["id"]).startswith("N-q38")}
    known = summarize(compare(few, FACTS))
    unknown = unknown_host(few, FACTS)
    assert set(unknown) == set(QUANTITIES)
    assert unknown["ttft_ms.p50"] != pytest.approx(known["ttft_ms.p50"]["p90"], abs=1)


def test_a_fit_comes_back_to_constants_that_it_left() -> None:
    lines = [line for line, case in CASES.items() if case["id"] == "H-l318-bf16" and case["kind"] == "decode"]
    problem = Problem({line: CASES[line] for line in lines}, FACTS)
    logs = [math.log(value_at(FACTS, one.path)) for one in CONSTANTS]
    now = problem.errors(logs, lines)
    column = next(index for index, one in enumerate(CONSTANTS) if one.path == "kernels.bf16.bandwidth")
    moved = list(logs)
    moved[column] += 1e-3
    slopes = {
        line: ((found - now[line]) / 1e-3)[:, None] * [index == column for index in range(len(CONSTANTS))]
        for line, found in problem.errors(moved, lines).items()
    }
    away = list(logs)
    away[column] += 0.2
    fitted = refit(problem, away, slopes, lines)
    assert abs(fitted[column] - logs[column]) < 0.03


def test_stretches_of_steps_are_unbroken_and_of_the_runs_that_are_asked_for() -> None:
    found = read_steps({"H-l318-bf16-t512"})
    assert {steps.id for steps in found} == {"H-l318-bf16-t512"}
    assert all(len(steps.rows) == 10 for steps in found)
    assert {steps.prompt for steps in found} >= {512, 1024, 2048}


@pytest.mark.parametrize(
    ("run", "came"),
    [
        # Two at once, of 100 tokens each: what begins after them came meanwhile.
        (["fixed", 2, 100, 8, 4], [0, 0, 0, 1, 0, 1]),
        (["rate", 2, 100, 8, 4], [1, 1, 0, 1, 0, 1]),
        (["decode", 4, 100], [0, 0, 0, 0, 0, 0]),
    ],
)
def test_requests_come_before_the_step_that_begins_them(run: list[Any], came: list[int]) -> None:
    steps = [[0.1 * index, 1, 50, tokens, 0, 1] for index, tokens in enumerate((80, 120, 0, 60, 40, 100))]
    assert [row[6] for row in _with_arrivals({"run": run, "steps": steps})] == came
