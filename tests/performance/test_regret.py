"""What choosing by prediction costs, on groups that can be followed by hand."""

from typing import Any

import pytest

from gke_llm_inference.catalog.performance_facts import measurements_path
from tools.memory_accuracy import read_cases
from tools.performance_goals import GOALS, MEAN_REGRET, verdict
from tools.performance_regret import choices, left_out_errors, mean_regret


def loop(weights: str, rate: float, **changes: Any) -> dict[str, Any]:
    case = {
        "model": "a",
        "gpu": "b",
        "concurrency": 16,
        "input_tokens": 1024,
        "output_tokens_mean": 128,
        "requests": 64,
        "weights_format": weights,
        "kv_cache_dtype": "auto (bf16)",
        "max_num_batched_tokens": 2048,
        "output_tokens_per_second": rate,
    }
    return {**case, **changes}


def errors(*percent: float) -> dict[int, dict[str, float]]:
    return {line: {"output_tokens_per_second": error} for line, error in enumerate(percent, 1)}


def test_the_chosen_one_costs_more_where_prediction_errs() -> None:
    cases = {1: loop("bf16", 1000.0), 2: loop("fp8", 1200.0), 3: loop("awq", 900.0)}
    (right,) = choices(cases, errors(0, 0, 0))
    assert (right.chosen, right.regret) == (right.cheapest, 0.0)
    (wrong,) = choices(cases, errors(25, 0, 0))
    assert wrong.chosen == "bf16, 2,048 tokens a step"
    assert wrong.cheapest == "fp8, 2,048 tokens a step"
    assert wrong.regret == pytest.approx(20.0)
    assert wrong.load == "16 at once, 1,024 in, 128 out"
    assert wrong.configurations == 3
    assert mean_regret([right, wrong]) == pytest.approx(10.0)


def test_runs_of_one_configuration_count_as_their_mean() -> None:
    cases = {1: loop("bf16", 1000.0), 2: loop("bf16", 1400.0), 3: loop("fp8", 1100.0)}
    (choice,) = choices(cases, errors(0, 0, 0))
    assert choice.cheapest == "bf16, 2,048 tokens a step"
    assert choice.configurations == 2


@pytest.mark.parametrize(
    "other",
    [
        loop("fp8", 1200.0, gpu="c"),
        loop("fp8", 1200.0, model="c"),
        loop("fp8", 1200.0, concurrency=64),
        loop("fp8", 1200.0, concurrency=None),
    ],
)
def test_what_did_not_serve_the_same_load_is_no_choice(other: dict[str, Any]) -> None:
    assert choices({1: loop("bf16", 1000.0), 2: other}, errors(0, 0)) == []


def test_caches_and_limits_are_configurations() -> None:
    cases = {
        1: loop("bf16", 1000.0),
        2: loop("bf16", 1200.0, kv_cache_dtype="fp8"),
        3: loop("bf16", 900.0, max_num_batched_tokens=8192),
    }
    (choice,) = choices(cases, errors(0, 0, 50))
    assert choice.chosen == "bf16, 8,192 tokens a step"
    assert choice.cheapest == "bf16, FP8 cache, 2,048 tokens a step"


def test_choosing_by_prediction_costs_little_more() -> None:
    measured = read_cases(measurements_path().read_text("utf-8"))
    found = choices(measured, left_out_errors("model"))
    assert len(found) >= 10
    assert mean_regret(found) <= MEAN_REGRET


def test_a_verdict_is_of_both_figures() -> None:
    assert verdict("step_ms", {"median": 4.0, "p90": 13.0}, GOALS) == "within 4 / 13"
    assert verdict("step_ms", {"median": 4.1, "p90": 1.0}, GOALS) == "BEYOND 4 / 13"
    assert verdict("step_ms", {"median": 1.0, "p90": 13.1}, GOALS) == "BEYOND 4 / 13"
    assert verdict("ttft_ms.p90", {"median": 1.0, "p90": 1.0}, GOALS) == ""
