"""The tool that holds predictions against cases, and how good they are on what was measured."""

import json
from pathlib import Path
from typing import Any

import pytest

from gke_llm_inference.catalog.performance_facts import (
    api_server_path,
    experts_path,
    measurements_path,
    published_path,
    read_performance_facts,
    speculation_path,
)
from gke_llm_inference.settings import Refusal
from tools.memory_accuracy import read_cases
from tools.performance_accuracy import case_of, compare, gpu_name, main, predict_case, report, spread, summarize
from tools.performance_goals import GOALS, L4_GOALS
from tools.performance_reference import QWEN3_8B
from tools.performance_repeats import averaged
from tools.performance_roofline import roofline

CASES = read_cases(measurements_path().read_text("utf-8"))


def decode(**changes: Any) -> dict[str, Any]:
    case = {
        "kind": "decode",
        "id": "a step",
        "gpu": "nvidia-h100-80gb",
        "model": "llama-3.1-8b",
        "weights_format": "bf16",
        "kv_cache_dtype": "auto (bf16)",
        "max_model_len": 6144,
        "sequences": 8,
        "context_tokens": 148.0,
        "step_ms": 6.726,
    }
    return {**case, **changes}


def serve(**changes: Any) -> dict[str, Any]:
    case = {
        key: value
        for key, value in decode(kind="serve").items()
        if key not in ("sequences", "context_tokens", "step_ms")
    }
    case.update(
        arrival="closed", concurrency=4, requests=16, input_tokens=256, output_tokens_mean=32, kv_tokens=100_000
    )
    return {**case, **changes}


def predicted(case: dict[str, Any]) -> Any:
    return predict_case(case_of(case))


@pytest.mark.parametrize("quantity", GOALS)
def test_measured_cases_are_predicted_within(quantity: str) -> None:
    errors = {entry.line: entry.errors for entry in compare(CASES)}
    found = spread([one[quantity] for one in averaged(CASES, errors) if quantity in one])
    median, p90 = GOALS[quantity]
    assert found["median"] <= median
    assert found["p90"] <= p90


@pytest.mark.parametrize("quantity", GOALS)
def test_models_that_were_left_out_are_predicted_within(quantity: str) -> None:
    found = read_performance_facts().residuals[quantity]
    median, p90 = GOALS[quantity]
    assert found.median <= median
    assert found.p90 <= p90


@pytest.mark.parametrize("quantity", L4_GOALS)
def test_an_l4_is_predicted_within_by_what_others_published(quantity: str) -> None:
    cases = read_cases(published_path().read_text("utf-8"))
    found = summarize(compare([case for case in cases.values() if case["default_kernels"]]))[quantity]
    median, p90 = L4_GOALS[quantity]
    assert found["median"] <= median
    assert found["p90"] <= p90


def test_what_was_measured_of_kernels_is_worth_something() -> None:
    plain = summarize(compare(CASES, roofline(read_performance_facts())))
    assert plain["step_ms"]["median"] > 20


def test_what_was_measured_is_not_read() -> None:
    for case in (decode(), serve(ttft_ms={"p50": 1}, tpot_ms={"p50": 1}, output_tokens_per_second=1)):
        changed = {**case, "step_ms": 1.0, "ttft_ms": {"p50": 9e9}, "tpot_ms": {"p50": 0.0}, "steps": 3, "seconds": 1}
        assert predicted(case) == predicted(changed)


@pytest.mark.parametrize(
    ("text", "name"),
    [("fp8 block (Marlin)", "fp8"), ("fp16/bf16", "bf16"), ("BF16", "bf16"), ("w4a16", "ctw4a16"), ("gptq", "gptq")],
)
def test_a_weights_format_is_known_by_its_first_word(text: str, name: str) -> None:
    assert case_of(decode(weights_format=text)).request.weights_format == name


@pytest.mark.parametrize(
    ("changes", "kernels"),
    [
        ({"weights_format": "bf16"}, None),
        ({"weights_format": "fp8"}, None),
        ({"weights_format": "fp8 w8a8 dynamic"}, None),
        ({"weights_format": "fp8 block 128x128", "version": "0.29.0"}, "marlin"),
        ({"weights_format": "fp8 block 128x128", "version": "0.26.0"}, "triton"),
        ({"weights_format": "fp8 block (Marlin)", "version": "0.26.0"}, "marlin"),
        ({"weights_format": "fp8 block", "linear_backend": "humming"}, "marlin"),
        ({"weights_format": "fp8", "engine_args": "--linear-backend cutlass --seed 1"}, "fp8"),
        ({"weights_format": "fp8 block", "note": "A1: linear prefill Triton tuned, decode Marlin"}, "triton"),
        ({"weights_format": "fp8 block", "note": "linear Marlin, attention TRITON_ATTN"}, "marlin"),
        ({"weights_format": "fp8", "note": "time is linear in tokens"}, None),
    ],
)
def test_kernels_of_fp8_weights_are_those_that_a_case_tells(changes: dict[str, Any], kernels: str | None) -> None:
    assert case_of(decode(gpu="nvidia-l4", **changes)).linear == kernels


def test_a_step_with_guesses_takes_longer_and_accepted_ones_make_more_tokens() -> None:
    assert predicted(decode(speculative_tokens=4)) > predicted(decode())
    guessing = serve(speculative_tokens=4)
    assert predicted(guessing).tpot_ms.p50 > predicted(serve()).tpot_ms.p50
    accepted = predicted({**guessing, "tokens_per_step": 2.5})
    assert accepted.tpot_ms.p50 < 0.6 * predicted(guessing).tpot_ms.p50


def test_measured_steps_with_guesses_are_predicted_within() -> None:
    found = summarize(compare(read_cases(speculation_path().read_text("utf-8"))))
    assert found["step_ms"]["median"] <= 9
    assert found["step_ms"]["worst"] <= 17
    assert found["output_tokens_per_second"]["worst"] <= 12


def test_the_api_server_that_was_measured_is_predicted_within() -> None:
    found = summarize(compare(read_cases(api_server_path().read_text("utf-8"))))
    assert found["ttft_ms.p50"]["median"] <= 12
    assert found["tpot_ms.p50"]["median"] <= 5
    assert found["output_tokens_per_second"]["median"] <= 5


def test_an_architecture_stands_for_a_model_that_the_catalog_lacks() -> None:
    step = predicted(decode(model="qwen3-8b", architecture=QWEN3_8B))
    assert predicted(decode()) < step < 1.2 * predicted(decode())
    nested = {"model_type": "gemma3", "text_config": QWEN3_8B}
    assert predicted(decode(architecture=nested)) > 0


def test_an_architecture_need_not_say_how_long_a_context_may_be() -> None:
    silent = {key: value for key, value in QWEN3_8B.items() if key != "max_position_embeddings"}
    assert predicted(decode(architecture=silent)) == predicted(decode(architecture=QWEN3_8B))


def test_prompts_may_be_given_one_by_one() -> None:
    load = case_of(serve(input_tokens=[100, 200, 300], output_tokens=[4, 5, 6], requests=3)).load
    assert load is not None
    assert load.prompts == (100, 200, 300)
    with pytest.raises(Refusal, match="as many as output_tokens"):
        case_of(serve(input_tokens=[100, 200], output_tokens=[4, 5, 6], requests=3))


def test_recorded_arrivals_and_lengths_are_replayed() -> None:
    case = serve(arrival="poisson", request_rate=5.0, arrivals_s=[0.0, 0.1, 2.0], output_tokens=[4, 5, 6], requests=3)
    case.pop("concurrency")
    load = case_of(case).load
    assert load is not None
    assert load.arrivals_ms == (0.0, 100.0, 2000.0)
    assert load.outputs == (4, 5, 6)
    assert load.concurrency is None


def test_recorded_arrivals_need_neither_a_rate_nor_recorded_lengths() -> None:
    case = serve(arrivals_s=[0.0, 0.1, 2.0])
    for key in ("arrival", "concurrency", "requests"):
        case.pop(key)
    load = case_of(case).load
    assert load is not None
    assert load.arrivals_ms == (0.0, 100.0, 2000.0)
    assert all(16 <= output <= 48 for output in load.outputs)


def test_a_case_without_what_was_measured_is_known_by_its_load() -> None:
    step, loop = decode(), serve()
    for case in (step, loop):
        case.pop("kind")
    step.pop("step_ms")
    assert [case_of(case).kind for case in (step, loop)] == ["decode", "serve"]


def test_arrivals_and_lengths_are_drawn_where_none_are_recorded() -> None:
    case = serve(arrival="poisson", request_rate=5.0)
    first, second = case_of(case).load, case_of(case).load
    assert first == second
    assert first is not None
    assert first.arrivals_ms is not None
    assert len(first.arrivals_ms) == 16
    assert all(16 <= output <= 48 for output in first.outputs)


def test_lengths_are_as_far_apart_as_the_case_says() -> None:
    def outputs(**changes: Any) -> set[int]:
        case = serve(requests=64, **changes)
        if "output_tokens" in changes:
            case.pop("output_tokens_mean")
        load = case_of(case).load
        assert load is not None
        return set(load.outputs)

    assert outputs(output_tokens=100, output_tokens_spread="none") == {100}
    assert 90 <= min(outputs(output_tokens=100)) < max(outputs(output_tokens=100)) <= 110
    assert min(outputs(output_tokens_mean=100)) < 60
    assert outputs(output_tokens=1) == {1}


def test_a_slow_host_takes_longer_to_the_first_token() -> None:
    usual = read_performance_facts().host.launch_us
    slow = predicted(serve(host_launch_us=2 * usual))
    assert slow.ttft_ms.p50 > 1.2 * predicted(serve()).ttft_ms.p50
    assert predicted(serve(host_launch_us=usual)) == predicted(serve())


def test_without_a_pool_the_memory_plan_gives_one_and_the_api_server_is_asked() -> None:
    case = serve()
    case.pop("kv_tokens")
    assert case_of(case).api_server
    api = read_performance_facts().api
    assert predicted(case).ttft_ms.p50 > predicted(serve()).ttft_ms.p50 + 0.5 * api.request_ms
    assert not case_of({**case, "api_server": False}).api_server


def test_a_server_that_ran_had_room_for_its_requests() -> None:
    case = serve(gpu="nvidia-l4", model="llama-2-13b", max_model_len=4096, input_tokens=3000)
    case.pop("kv_tokens")
    assert predicted(case).output_tokens_per_second > 0


def test_cached_prefixes_shorten_the_first_token() -> None:
    long = serve(input_tokens=4096)
    half = predicted({**long, "prefix_cache_hit_rate": 0.5})
    assert half.ttft_ms.p50 < 0.7 * predicted(long).ttft_ms.p50
    assert predicted({**long, "shared_prefix_tokens": 2048}) == half


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("nvidia-l4", "nvidia-l4"),
        ("L4", "nvidia-l4"),
        ("NVIDIA H200", "nvidia-h200-141gb"),
        ("H100-SXM", "nvidia-h100-80gb"),
        ("L40S", None),
        (4, None),
    ],
)
def test_a_gpu_is_known_by_its_name_or_model(given: object, name: str | None) -> None:
    assert gpu_name(given) == name


@pytest.mark.parametrize(
    ("case", "path"),
    [
        (decode(gpu="TPU"), "case.gpu"),
        (decode(sequences=0), "case.sequences"),
        (decode(context_tokens=-1), "case.context_tokens"),
        (decode(weights_format="float3"), "case.weights_format"),
        (decode(model="nothing"), "case.model"),
        (serve(input_tokens="long"), "case.input_tokens"),
        (serve(concurrency=None), "case.concurrency"),
        (serve(output_tokens_mean=0), "case.output_tokens"),
        (serve(arrival="poisson", request_rate=2, arrivals_s=[1.0]), "case.arrivals_s"),
        (serve(arrival="poisson", request_rate=2, requests=2, arrivals_s=[1.0, 0.5]), "case.arrivals_s"),
        (serve(kv_tokens=100), "case.input_tokens"),
        (serve(kind="guess"), "case.kind"),
        (serve(concurrency=2.5), "case.concurrency"),
        (serve(requests=10**8), "case.requests"),
        (serve(speculative_tokens=0.5), "case.speculative_tokens"),
        (serve(tokens_per_step=-1), "case.tokens_per_step"),
    ],
)
def test_a_case_that_makes_no_sense_is_refused_where_it_is_wrong(case: dict[str, Any], path: str) -> None:
    with pytest.raises(Refusal) as refusal:
        compare({3: case})
    assert [found.path for found in refusal.value.problems] == [f"line 3: {path}"]


def test_the_report_has_a_case_a_line_and_a_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "cases.jsonl"
    measured = serve(ttft_ms={"p50": 30.0}, tpot_ms={"p50": 7.0}, output_tokens_per_second=500.0)
    file.write_text(f"{json.dumps(decode())}\n\n{json.dumps(measured)}\n")
    assert main(["--cases", str(file), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [case["id"] for case in document["cases"]] == ["a step", "a step"]
    assert set(document["cases"][0]["predicted"]) == {"step_ms"}
    assert set(document["cases"][1]["predicted"]) == {"ttft_ms", "tpot_ms", "output_tokens_per_second"}
    assert set(document["cases"][1]["predicted"]["ttft_ms"]) == {"p50", "p90", "p99"}
    assert set(document["summary"]) == {"step_ms", "ttft_ms.p50", "tpot_ms.p50", "output_tokens_per_second"}
    assert main(["--cases", str(file)]) == 0
    assert "step_ms: median" in capsys.readouterr().out


def test_a_file_that_is_wrong_ends_with_its_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "cases.jsonl"
    file.write_text("[]\n")
    assert main(["--cases", str(file)]) == 1
    assert "line 1" in capsys.readouterr().err


def test_cases_that_cannot_be_predicted_keep_no_other_from_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cases.jsonl"
    file.write_text(f"{json.dumps(decode(gpu='TPU'))}\n{json.dumps(decode())}\n")
    assert main(["--cases", str(file), "--json"]) == 1
    shown = capsys.readouterr()
    assert [case["line"] for case in json.loads(shown.out)["cases"]] == [2]
    assert "line 1: case.gpu: not one of nvidia-" in shown.err


def test_the_same_cases_give_the_same_bytes() -> None:
    few = dict(list(CASES.items())[:20])
    assert report(few, True) == report(few, True)


def test_the_throughput_of_an_open_loop_is_not_scored() -> None:
    case = serve(arrival="poisson", request_rate=5.0, output_tokens_per_second=1.0, ttft_ms={"p50": 30.0})
    (entry,) = compare({1: case})
    assert set(entry.errors) == {"ttft_ms.p50"}


def test_spreads_are_of_sizes() -> None:
    assert spread([-4.0, 1.0, 2.0]) == {"samples": 3, "median": 2.0, "p90": 3.6, "worst": 4.0, "bias": 1.0}


def test_steps_of_models_with_experts_are_predicted_without_a_fit_to_them() -> None:
    cases = list(read_cases(experts_path().read_text("utf-8")).values())
    errors = sorted(abs(one.errors["step_ms"]) for one in compare(cases))
    assert len(errors) == 22
    assert errors[10] < 6.5
    assert errors[-2] < 17
