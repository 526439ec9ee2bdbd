"""Memory plans against what vLLM 0.26.0 did under an L4's memory, and what they say of the guide's statements."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.catalog.memory_facts import constants_path, measurements_path
from gke_llm_inference.planning.alternatives import alternatives
from gke_llm_inference.planning.memory import MemoryPlan, MemoryRequest, plan_memory
from tools.fit_memory import fitted_yaml, leave_one_out
from tools.memory_accuracy import Comparison, compare, predict_case, read_cases
from tools.memory_reference import page

if TYPE_CHECKING:
    from collections.abc import Iterable

FACTS = load_catalog().memory
L4 = 22561.0
GEMMA = "google/gemma-7b-it"
LLAMA_13B = "meta-llama/Llama-2-13b-hf"


@cache
def cases() -> tuple[dict[str, Any], ...]:
    return tuple(read_cases(measurements_path().read_text("utf-8")).values())


@cache
def compared() -> tuple[Comparison, ...]:
    return tuple(compare(cases()))


@cache
def left_out() -> tuple[Comparison, ...]:
    return tuple(leave_one_out(cases()))


def request(model: str, **given: Any) -> MemoryRequest:
    entry = load_catalog().models[model]
    settings: dict[str, Any] = {
        "architecture": entry,
        "family": entry.family,
        "gpu_memory_mib": L4,
        "gpu_memory_utilization": 0.9,
        "accelerator": "nvidia-l4",
    }
    return MemoryRequest(**{**settings, **given})


def plan(model: str, **given: Any) -> MemoryPlan:
    return plan_memory(request(model, **given), FACTS)


def token_errors(entries: Iterable[Comparison], *, windowed: bool) -> list[float]:
    return [
        abs(entry.tokens_error)
        for entry in entries
        if entry.tokens_error is not None
        and not entry.set_aside
        and str(cases()[entry.line - 1]["model"]).startswith(("gemma-2", "gemma-3")) == windowed
    ]


@pytest.mark.parametrize("case", cases(), ids=lambda case: str(case["id"]))
def test_verdict_of_every_measured_case(case: dict[str, Any]) -> None:
    if case.get("patch"):
        pytest.skip("torch was changed for this run")
    entry = compare([case])[0]
    assert not entry.wrong
    assert entry.prediction.starts == case["started"]


@pytest.mark.parametrize("entries", [compared, left_out], ids=["all models", "models left out"])
def test_errors_are_within_the_promised_figures(entries: Any) -> None:
    dense, windowed = token_errors(entries(), windowed=False), token_errors(entries(), windowed=True)
    assert max(dense) < 3
    assert statistics.median(dense) < 1
    assert max(windowed) < 7
    assert not [entry for entry in entries() if entry.wrong and not entry.set_aside]


def test_refusals_have_the_cause_that_vllm_states() -> None:
    causes = {
        "one request": "profile",
        "Free memory on device": "start",
        "To serve at least one": "profile",
    }
    for case in cases():
        if case["started"] or case.get("patch"):
            continue
        prediction = predict_case(case)
        expected = next((cause for words, cause in causes.items() if words in case["error"]), None)
        if expected is None:
            expected = "load" if "weights_mib" not in case else "runtime"
        assert prediction.cause == expected, case["id"]


def test_prediction_reads_no_measured_field() -> None:
    settings = [
        *("model", "weights_format", "kv_cache_dtype", "max_model_len", "enforce_eager", "max_num_seqs"),
        *("max_num_batched_tokens", "gpu_memory_utilization", "model_runner", "compile_cache", "emulated_total_mib"),
    ]
    for case in cases():
        assert predict_case({key: case[key] for key in settings if key in case}) == predict_case(case)


def test_constants_are_those_of_the_measurements() -> None:
    facts = load_catalog().memory.vllm
    text = fitted_yaml(measurements_path().read_text("utf-8"), facts.date)
    assert text == constants_path().read_text("utf-8")


def test_gemma_7b_at_its_default_context_does_not_fit_one_l4() -> None:
    whole = plan(GEMMA)
    assert whole.limits.max_model_len == 8192
    assert (whole.verdict, whole.cold.cause) == ("does not fit", "profile")
    assert whole.largest_context == 5504
    assert "3.50 GiB" in whole.reason


def test_gemma_7b_with_a_limited_context_fits_one_l4() -> None:
    assert [plan(GEMMA, max_model_len=tokens).verdict for tokens in (640, 1200, 4096)] == ["fits"] * 3


def test_gemma_7b_starts_on_a_used_node_and_not_on_a_new_one() -> None:
    whole = plan(GEMMA)
    assert whole.cold.kv_cache_tokens == 5504
    assert whole.warm.kv_cache_tokens == 8224
    assert whole.cold.verdict == "does not fit"
    assert whole.warm.verdict == "tight"
    eager = plan(GEMMA, enforce_eager=True)
    assert eager.cold == eager.warm
    assert eager.largest_context == 8176


def test_quantized_models_of_the_guide_need_one_l4() -> None:
    assert plan(GEMMA, weights_format="awq").verdict == "fits"
    assert plan(LLAMA_13B, weights_format="gptq").verdict == "fits"
    assert plan(LLAMA_13B).cold.cause == "load"
    assert plan(LLAMA_13B, tensor_parallel=2).verdict == "fits"


def test_fp8_cache_doubles_the_tokens() -> None:
    assert plan(GEMMA, kv_cache_dtype="fp8").cold.kv_cache_tokens == 2 * plan(GEMMA).cold.kv_cache_tokens
    assert plan(GEMMA, kv_cache_dtype="fp8_e5m2").verdict == "fits"


def test_what_passes_the_profile_and_dies_of_memory() -> None:
    for given in ({"gpu_memory_utilization": 0.95}, {"max_num_seqs": 512}):
        warm = plan(GEMMA, compile_cache="warm", **given)
        assert (warm.verdict, warm.warm.cause) == ("does not fit", "runtime")
    assert plan(GEMMA, gpu_memory_utilization=0.98).cold.cause == "start"


def test_alternatives_are_verified_and_cheapest_first() -> None:
    catalog = load_catalog()
    found = alternatives(request(GEMMA), catalog, model=GEMMA)
    assert all(entry.plan.starts for entry in found)
    prices = [entry.usd_per_hour if entry.usd_per_hour is not None else float("inf") for entry in found]
    assert prices == sorted(prices)
    kinds = {entry.kind for entry in found}
    assert {"FP8 KV cache", "4-bit checkpoint", "shorter context", "more GPUs", "larger GPU"} <= kinds
    shorter = next(entry for entry in found if entry.kind == "shorter context")
    assert dict(shorter.changes)["maxModelLen"] == 5312
    two = next(entry for entry in alternatives(request(LLAMA_13B), catalog) if entry.kind == "more GPUs")
    assert (two.gpus, two.machine_type) == (2, "g2-standard-24")


def test_other_versions_say_that_they_are_not_measured() -> None:
    measured = plan(GEMMA, max_model_len=2048)
    assert measured.calibrated
    assert not measured.notes
    for server, version in (("vllm", "0.10.0"), ("vllm", "0.33.0"), ("tgi", "2.3.1"), ("tgi", "3.3.7")):
        other = plan(GEMMA, max_model_len=2048, server=server, version=version)
        assert not other.calibrated
        assert other.error_margin_mib > 4 * measured.error_margin_mib
        assert version in other.notes[0]


def test_default_utilization_follows_the_version() -> None:
    for version, share in (("0.10.0", 0.9), ("0.25.1", 0.9), ("0.26.0", 0.92), ("0.33.0", 0.92)):
        assert plan(GEMMA, version=version, gpu_memory_utilization=None).limits.utilization == share


def test_kv_heads_are_copied_where_gpus_exceed_them() -> None:
    one = plan("Qwen/Qwen2.5-7B-Instruct", max_model_len=1024)
    four = plan("Qwen/Qwen2.5-7B-Instruct", max_model_len=1024, tensor_parallel=4)
    assert four.kv_bytes_per_token * 4 == one.kv_bytes_per_token
    model = load_catalog().models["google/gemma-3-1b-it"]
    assert model.kv_heads == 1
    single = plan("google/gemma-3-1b-it", max_model_len=1024)
    assert plan("google/gemma-3-1b-it", max_model_len=1024, tensor_parallel=4).kv_bytes_per_token == (
        single.kv_bytes_per_token
    )


def test_a_pipeline_splits_layers() -> None:
    two = plan(LLAMA_13B, max_model_len=2048, pipeline_parallel=2)
    assert two.kv_bytes_per_token * 2 == plan(LLAMA_13B, weights_format="gptq").kv_bytes_per_token
    assert two.verdict != "does not fit"


def test_latent_attention_caches_one_entry_per_layer() -> None:
    dense = request("meta-llama/Llama-3.1-8B-Instruct", max_model_len=4096)
    assert plan_memory(replace(dense, mla_width=576), FACTS).kv_bytes_per_token == 576 * 2 * 32


def test_a_plan_is_quick() -> None:
    asked = request(GEMMA)
    plan_memory(asked, FACTS)
    started = time.perf_counter()
    for _ in range(100):
        plan_memory(asked, FACTS)
    assert (time.perf_counter() - started) / 100 < 0.005


def test_the_page_about_planning_is_generated() -> None:
    text = (measurements_path().parents[3] / "docs" / "planning.md").read_text("utf-8")
    assert page(load_catalog().memory) == text


def test_a_vision_tower_is_not_measured() -> None:
    seeing = plan("google/gemma-3-4b-it", max_model_len=8192)
    assert not seeing.calibrated
    assert "vision" in seeing.notes[0]
