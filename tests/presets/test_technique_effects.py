"""What techniques change: every figure by its function, every technique with an effect or a reason."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.catalog.performance_facts import measurements_path, read_performance_facts
from gke_llm_inference.cli.optimize import _workload
from gke_llm_inference.planning.machines import gpu_counts
from gke_llm_inference.planning.performance.load import Load
from gke_llm_inference.planning.performance.prediction import predict
from gke_llm_inference.planning.performance.workload import workload_of
from gke_llm_inference.settings import Finding, Refusal, WorkloadSettings
from tests.presets.expected import EXPECTED, Gives, Refuses
from tests.presets.support import VLLM
from tests.support import REPOSITORY
from tools.measured_effects import CHANGES, pairs, pool_pairs
from tools.preset_effects import NOT_PREDICTED, Effect, effect, reference, slower_from, techniques
from tools.preset_effects_page import measured_step, milliseconds, times
from tools.reference_servers import (
    IN_FLIGHT,
    LIMITS,
    Server,
    band,
    chat,
    first_token_ms,
    known_gpus,
    kv_tokens,
    longest_at_once,
    planned_server,
    price,
    profile_load,
    prompt_tokens,
    request_tokens,
    requests_at_once,
    step_ms,
    tokens_per_second,
)

L4, A100, H100 = "nvidia-l4", "nvidia-a100-80gb", "nvidia-h100-80gb"
PREDICTED = [name for name in techniques() if name not in NOT_PREDICTED]
FP8_CACHES = ("fp8-kv-cache-e4m3", "fp8-kv-cache-e5m2")
AMPERE = ("nvidia-tesla-a100", A100)
WEIGHTS = ("awq", "gptq", "fp8", "bitsandbytes", "bitsandbytes-nf4", "compressed-tensors")
ALWAYS_ON = ("flash-attention", "paged-attention")
ON_BY_DEFAULT = ("chunked-prefill", "prefix-caching")


# Without what the planner refuses; planning them all while tests are collected would cost each worker a second.
PASSED = [(name, gpu) for name in PREDICTED for gpu in known_gpus() if name not in FP8_CACHES or gpu not in AMPERE]


def known(technique: str, gpu: str) -> Effect:
    found = effect(technique, gpu)
    assert isinstance(found, Effect), str(found)
    return found


def document() -> str:
    """The page, which another test holds against what is generated."""
    return (REPOSITORY / "docs" / "presets.md").read_text(encoding="utf-8")


def section(technique: str) -> str:
    """What the page says of a technique, below its arguments."""
    return document().partition(f"\n### {technique}\n")[2].partition("\n### ")[0]


def summary() -> str:
    return document().partition("\n## What the techniques change\n")[2].partition("\n## ")[0]


def row(text: str, start: str) -> list[str]:
    """The cells of the first row of a table that begins so."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {start} |"))
    return [cell.strip() for cell in line.strip("| ").split(" | ")]


def test_every_technique_has_an_effect_on_every_gpu_or_a_stated_reason() -> None:
    assert set(NOT_PREDICTED) < set(techniques())
    for name in techniques():
        text = section(name)
        if name in NOT_PREDICTED:
            assert "\nEffect not predicted: " in text
            continue
        assert "\nPredicted:\n" in text
        for gpu in known_gpus():
            assert f"`{gpu}` | " in text or f"Refused on `{gpu}`: " in text


def test_the_gpus_are_all_that_are_offered_one_by_one_and_whose_speed_is_known() -> None:
    assert known_gpus() == (L4, "nvidia-tesla-a100", A100, H100)
    assert set(read_performance_facts().gpus) - set(known_gpus()) == {"nvidia-h200-141gb"}
    assert gpu_counts("nvidia-h200-141gb", load_catalog()) == [8]


@pytest.mark.parametrize("name", NOT_PREDICTED)
def test_a_reason_is_true(name: str) -> None:
    version = load_catalog().servers[VLLM].default_version
    assert version == read_performance_facts().version
    cell = EXPECTED[name, VLLM, version]
    if "cannot do it" in NOT_PREDICTED[name]:
        assert isinstance(cell, Refuses)
    elif name in ALWAYS_ON:
        assert all(one == Gives(()) for key, one in EXPECTED.items() if key[0] == name)
    elif name in ON_BY_DEFAULT:
        assert planned_server(accelerator={"type": L4}, presets=[name], **LIMITS).plan == reference(L4).plan
    else:
        assert name == "ngram-speculation"
        assert isinstance(cell, Gives)


def test_a_technique_that_the_planner_refuses_says_why() -> None:
    found = effect("fp8-kv-cache-e4m3", A100)
    assert isinstance(found, Finding)
    assert found.what == "fp8-kv-cache-e4m3 needs a GPU of compute capability 8.9"
    assert (
        "Refused on `nvidia-a100-80gb`: fp8-kv-cache-e4m3 needs a GPU of compute capability 8.9, and nvidia-a100-80gb "
        "has 8.0." in " ".join(section("fp8-kv-cache-e4m3").split())
    )
    assert row(summary(), "`fp8-kv-cache-e4m3`")[2:4] == ["refused", "refused"]


def test_a_server_that_is_refused_raises_every_problem() -> None:
    with pytest.raises(Refusal) as caught:
        planned_server(accelerator={"type": A100}, presets=["fp8-kv-cache-e4m3", "fp8-kv-cache-e5m2"], **LIMITS)
    assert len(caught.value.problems) > 1


def test_the_cells_of_memory_are_exact() -> None:
    assert kv_tokens(reference(L4)) == 34_128
    assert row(section("awq"), f"`{L4}`")[3:5] == ["112,816 ± 480 (×3.31)", "80 / 13.8"]
    assert row(section("fp8-kv-cache-e4m3"), f"`{H100}`")[3] == "928,624 ± 960 (×2.00)"
    assert row(summary(), f"`{L4}`")[3:5] == ["34,128 ± 480", "24 / 4.2"]


def test_the_cells_of_speed_are_those_of_the_model() -> None:
    one = known("awq", L4)
    context = chat().mean_input + chat().mean_output / 2
    before, after = (server.timer.gpu_ms(1, context, 0, 0, 0) for server in (one.before, one.after))
    assert row(section("awq"), f"`{L4}`")[1] == f"{after:.1f} (×{after / before:.2f})"
    lone = Load(prompts=(prompt_tokens(),), outputs=(1,), concurrency=1)
    first = [predict(server.timer, server.limits(), lone).ttft_ms.p50 for server in (one.before, one.after)]
    assert row(section("awq"), f"`{L4}`")[5] == f"{milliseconds(first[1])} (×{first[1] / first[0]:.2f})"


def test_a_price_is_the_machines_over_its_tokens() -> None:
    server = reference(L4)
    assert (server.machine_type, server.usd_per_hour, server.spot) == ("g2-standard-8", 0.8536, False)
    assert price(server) == pytest.approx(0.8536 / (tokens_per_second(server) * 3600) * 1_000_000)
    busy = Load(prompts=7 * chat().prompts, outputs=7 * chat().answers, concurrency=IN_FLIGHT)
    assert tokens_per_second(server) == predict(server.timer, server.limits(), busy).output_tokens_per_second


def test_a_machine_that_is_not_sold_on_demand_has_the_price_of_spot() -> None:
    server = reference(H100)
    listed, region = load_catalog().price("a3-highgpu-1g", "us-central1")
    assert listed is not None
    assert (server.machine_type, server.spot, region) == ("a3-highgpu-1g", True, "us-central1")
    assert server.usd_per_hour == listed.spot
    assert "`a3-highgpu-1g` is not sold on demand: its price is that of Spot." in " ".join(summary().split())


def test_the_load_is_what_optimize_takes_for_the_profile() -> None:
    stated = WorkloadSettings.model_validate(dict(_workload("chat", None, None, 4.0, None, load_catalog())))
    assert profile_load(4.0) == workload_of(stated, load_catalog().workloads)
    assert max(prompt + answer for prompt, answer in zip(chat().prompts, chat().answers, strict=True)) <= 4096


@pytest.mark.parametrize(("name", "gpu"), PASSED)
def test_figures_are_positive_and_their_bands_are_those_of_the_gpu(name: str, gpu: str) -> None:
    after = known(name, gpu).after
    assert min(step_ms(after, 1), first_token_ms(after), price(after), requests_at_once(after)) > 0
    own = read_performance_facts().gpus[gpu].basis
    less = {"tensor-parallel": "estimated", "bitsandbytes": "transferred", "bitsandbytes-nf4": "transferred"}
    weakest = max(own, less.get(name, own), key=["measured", "transferred", "estimated"].index)
    assert band(after, "step_ms").basis == weakest


@pytest.mark.parametrize("gpu", [L4, H100])
@pytest.mark.parametrize("name", FP8_CACHES)
def test_an_fp8_cache_never_holds_fewer_tokens(name: str, gpu: str) -> None:
    found = known(name, gpu)
    assert kv_tokens(found.after) >= kv_tokens(found.before)
    assert longest_at_once(found.after) >= longest_at_once(found.before)


@pytest.mark.parametrize("gpu", known_gpus())
@pytest.mark.parametrize("name", [*WEIGHTS, "tensor-parallel"])
def test_smaller_weights_never_hold_fewer_tokens(name: str, gpu: str) -> None:
    found = known(name, gpu)
    assert kv_tokens(found.after) > kv_tokens(found.before)
    assert found.after.gpus == (2 if name == "tensor-parallel" else 1)


@pytest.mark.parametrize("gpu", known_gpus())
def test_token_limits_change_only_how_many_of_the_longest_run_at_once(gpu: str) -> None:
    found = known("token-limits", gpu)
    for figure in (kv_tokens, requests_at_once, first_token_ms, price):
        assert figure(found.after) == figure(found.before)
    assert longest_at_once(found.after) == pytest.approx(2 * longest_at_once(found.before), rel=0.001)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(known_gpus()), st.floats(0, 1), st.floats(0, 1))
def test_more_hits_never_delay_the_first_token(gpu: str, one: float, other: float) -> None:
    fewer, more = sorted((one, other))
    assert first_token_ms(reference(gpu), more) <= first_token_ms(reference(gpu), fewer)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(PASSED), st.integers(1, 255))
def test_a_step_is_never_faster_with_a_request_more_beyond_a_wave_of_blocks(which: tuple[str, str], count: int) -> None:
    server = known(*which).after
    assert step_ms(server, count + 1) > 0.97 * step_ms(server, count)


@pytest.mark.parametrize(("name", "gpu"), PASSED)
def test_the_turning_point_is_the_first_slower_step(name: str, gpu: str) -> None:
    found = known(name, gpu)
    count = slower_from(found)
    counts = range(1, (count or LIMITS["maxNumSeqs"] + 1))
    assert all(step_ms(found.after, one) <= step_ms(found.before, one) for one in counts)
    assert count is None or step_ms(found.after, count) > step_ms(found.before, count)


def test_the_larger_batch_is_a_power_of_two_that_the_cache_holds() -> None:
    for gpu in known_gpus():
        one = Effect(gpu=gpu, before=reference(gpu), after=reference(gpu))
        assert one.batch & (one.batch - 1) == 0
        assert one.batch <= requests_at_once(one.before) < 2 * one.batch or one.batch == LIMITS["maxNumSeqs"]
        assert requests_at_once(one.before) * request_tokens() <= kv_tokens(one.before)


# What was measured.


def measurement(run: str, sequences: int) -> float:
    """The step of a run with so many requests at a short context."""
    cases = map(json.loads, measurements_path().read_text("utf-8").splitlines())
    return next(
        float(case["step_ms"])
        for case in cases
        if case["id"] == run and case.get("sequences") == sequences and case["context_tokens"] < 200
    )


@pytest.mark.parametrize(
    ("technique", "run", "sequences"), [("awq", "H-l318-awq", 1), ("awq", "H-l318-awq", 256), ("fp8", "H-l318-fp8", 64)]
)
def test_a_measured_cell_is_the_ratio_of_its_two_runs(technique: str, run: str, sequences: int) -> None:
    ratio = measurement(run, sequences) / measurement("H-l318-bf16", sequences)
    assert measured_step(technique, sequences).measured == ratio
    column = 1 + (1, 16, 64, 128, 256).index(sequences)
    assert row(section(technique), f"`{H100}`, llama-3.1-8b")[column].startswith(f"×{ratio:.2f} (×")


def test_four_bits_are_much_faster_for_one_request_and_slower_for_many_and_the_page_says_so() -> None:
    assert 1 / measured_step("awq", 1).measured == pytest.approx(1.81, abs=0.005)
    assert measured_step("awq", 256).measured == pytest.approx(1.247, abs=0.0005)
    page = " ".join(document().split())
    assert "4-bit weights takes ×0.55 of the time in bf16 with one request, and ×1.25 of it with 256." in page
    assert "No preset promises a speed-up" not in page


@pytest.mark.parametrize("name", CHANGES)
def test_a_measured_effect_on_a_step_is_predicted_within_two_bands(name: str) -> None:
    percent = read_performance_facts().bands["measured"]["step_ms"]
    for pair in pairs(name):
        if pair.quantity == "step_ms":
            assert pair.predicted / pair.measured == pytest.approx(1, abs=2 * percent / 100), pair


@pytest.mark.parametrize("name", CHANGES)
def test_pools_in_an_l4s_memory_are_planned_as_they_were_measured(name: str) -> None:
    for pair in pool_pairs(name):
        assert list(pair.planned) == [pytest.approx(tokens, rel=0.005) for tokens in pair.measured]


def test_pairs_differ_in_one_technique_of_the_catalog() -> None:
    assert set(CHANGES) <= set(techniques())
    assert [len(change) for changes in CHANGES.values() for change in changes.values()] == [1] * 10
    published = [pair for name in CHANGES for pair in pairs(name) if pair.published]
    assert [(pair.gpu, pair.model, times(pair.measured)) for pair in published] == [(L4, "mistral-7b-v0.3", "×0.29")]


def test_a_technique_that_no_runs_differ_in_says_so() -> None:
    for name in ("tensor-parallel", "token-limits", "gptq", "bitsandbytes"):
        assert pairs(name) == ()
        assert "No pair of runs differs in it alone" in section(name)


def test_servers_are_told_apart_by_identity() -> None:
    server = reference(L4)
    assert isinstance(server, Server)
    assert server != replace(server)
