"""Runs of the same server under the same load, averaged, and how far chance sets them apart."""

from typing import Any

import pytest

from gke_llm_inference.catalog.performance_facts import measurements_path
from tools.memory_accuracy import read_cases
from tools.performance_repeats import averaged, by_own_mean, chance, repeated


def loop(**changes: Any) -> dict[str, Any]:
    case = {"kind": "serve", "model": "m", "gpu": "g", "concurrency": 16, "input_tokens": 512, "requests": 64}
    return {**case, **changes}


def test_another_machine_pool_or_hour_is_the_same_load_and_another_server_is_not() -> None:
    cases = {
        1: loop(id="a", host_launch_us=8.0, kv_tokens=90_000, output_tokens=[1, 2]),
        2: loop(id="b", host_launch_us=12.0, kv_tokens=80_000, output_tokens=[2, 1]),
        3: loop(kv_cache_dtype="fp8"),
        4: loop(concurrency=64),
        5: loop(gpu="h"),
    }
    assert repeated(cases) == [[1, 2], [3], [4], [5]]


def test_steps_whose_contexts_differ_by_a_token_are_the_same() -> None:
    cases = {
        line: {"kind": "decode", "context_tokens": tokens} for line, tokens in ((1, 148.0), (2, 149.0), (3, 1044.0))
    }
    assert repeated(cases) == [[1, 2], [3]]


def test_errors_are_averaged_with_their_sign() -> None:
    cases = {1: loop(), 2: loop(), 3: loop(concurrency=64), 4: loop(concurrency=1)}
    errors = {1: {"a": 10.0, "b": 1.0}, 2: {"a": -4.0}, 3: {"a": -2.0}}
    assert averaged(cases, errors) == [{"a": 3.0, "b": 1.0}, {"a": -2.0}]


def test_chance_is_what_sets_runs_apart_whatever_is_predicted() -> None:
    cases = {1: loop(), 2: loop(), 3: loop(concurrency=64)}
    for predicted in (80.0, 100.0, 150.0):
        errors = {line: {"a": 100 * (predicted / measured - 1)} for line, measured in ((1, 90.0), (2, 110.0), (3, 7.0))}
        assert chance(cases, errors, "a") == pytest.approx([-10.0, 10.0])
    assert chance(cases, {}, "a") == []


def test_the_mean_of_its_own_runs_is_the_best_that_is_known_of_a_load() -> None:
    cases = {1: loop(), 2: loop(), 3: loop(concurrency=64), 4: loop(concurrency=1)}
    for predicted in (80.0, 150.0):
        errors = {line: {"a": 100 * (predicted / measured - 1)} for line, measured in ((1, 80.0), (2, 120.0), (3, 7.0))}
        assert by_own_mean(cases, errors, "a") == pytest.approx([25.0, 100 * (100 / 120 - 1), 0.0])


def test_loops_of_small_models_were_run_more_than_twice() -> None:
    cases = read_cases(measurements_path().read_text("utf-8"))
    counts = {
        (cases[lines[0]]["model"], cases[lines[0]].get("concurrency"), cases[lines[0]]["gpu"]): len(lines)
        for lines in repeated(cases)
        if cases[lines[0]].get("concurrency")
    }
    assert counts["gemma-3-1b", 16, "nvidia-h200-141gb"] == 6
    assert counts["qwen2.5-1.5b", 64, "nvidia-h200-141gb"] == 3
