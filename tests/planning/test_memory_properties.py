"""What holds for every memory plan, and what becomes of requests that make no sense."""

from __future__ import annotations

import contextlib
import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.catalog.facts import Experts, ModelArchitecture, SlidingWindow
from gke_llm_inference.planning.alternatives import alternatives
from gke_llm_inference.planning.memory import WEIGHTS_FORMATS, MemoryPlan, MemoryRequest
from gke_llm_inference.settings import Finding, Refusal
from tools.memory_accuracy import case_request, plan_request, predict_case, read_cases, report

QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def order(plan: MemoryPlan) -> int:
    """How well a plan fits: not, perhaps, for certain."""
    return plan.starts + plan.has_room


VERSIONS = [("vllm", "0.26.0"), ("vllm", "0.6.0"), ("vllm", "0.10.0"), ("vllm", "0.25.1"), ("tgi", "3.3.7")]


def answered(request: MemoryRequest) -> MemoryPlan:
    return plan_request(request, load_catalog().memory)


@st.composite
def architectures(draw: st.DrawFn) -> ModelArchitecture:
    kv_heads = draw(st.sampled_from([1, 2, 4, 8, 16]))
    heads = kv_heads * draw(st.sampled_from([1, 2, 4, 7]))
    layers = draw(st.integers(1, 80))
    hidden = draw(st.sampled_from([256, 1024, 2560, 4096, 8192]))
    vocabulary = draw(st.integers(1000, 300000))
    tied = draw(st.booleans())
    width = draw(st.integers(256, 30000))
    linear = layers * 3 * hidden * width
    windowed = draw(st.integers(0, layers))
    return ModelArchitecture(
        parameters=vocabulary * hidden * (1 if tied else 2) + linear,
        layers=layers,
        hidden_size=hidden,
        intermediate_size=width,
        attention_heads=heads,
        kv_heads=kv_heads,
        head_dim=draw(st.sampled_from([64, 96, 128, 256])),
        vocab_size=vocabulary,
        max_positions=draw(st.sampled_from([512, 4096, 8192, 131072])),
        tied_embeddings=tied,
        sliding_window=SlidingWindow(size=draw(st.integers(16, 8192)), layers=windowed) if windowed else None,
        experts=Experts(count=8, per_token=2) if draw(st.booleans()) else None,
    )


@st.composite
def requests(draw: st.DrawFn) -> MemoryRequest:
    model = draw(architectures())
    server, version = draw(st.sampled_from(VERSIONS))
    return MemoryRequest(
        architecture=model,
        family=draw(st.sampled_from(["gemma", "gemma2", "gemma3", "llama", "qwen2", "other"])),
        gpu_memory_mib=draw(st.floats(4000, 60000)),
        weights_format=draw(st.sampled_from(sorted(WEIGHTS_FORMATS))),
        kv_cache_dtype=draw(st.sampled_from(["auto", "fp8"])),
        max_model_len=draw(st.integers(1, model.max_positions)),
        gpu_memory_utilization=draw(st.floats(0.3, 1.0)),
        max_num_seqs=draw(st.integers(1, 512)),
        max_num_batched_tokens=draw(st.integers(512, 8192)),
        enforce_eager=draw(st.booleans()),
        model_runner=draw(st.sampled_from([None, "V1", "V2"])) if version == "0.26.0" else None,
        compile_cache=draw(st.sampled_from([None, "cold", "warm"])),
        server=server,  # type: ignore[arg-type]
        version=version,
    )


@QUICK
@given(requests(), st.floats(1.0, 2.0))
def test_more_memory_never_fits_less(request: MemoryRequest, more: float) -> None:
    plan = answered(request)
    larger = answered(replace(request, gpu_memory_mib=request.gpu_memory_mib * more))
    assert order(larger) >= order(plan)
    assert larger.state.kv_cache_tokens >= plan.state.kv_cache_tokens
    assert larger.largest_context >= plan.largest_context


@QUICK
@given(requests())
def test_a_cache_of_lower_precision_never_holds_fewer_tokens(request: MemoryRequest) -> None:
    own = answered(replace(request, kv_cache_dtype="auto"))
    eight = answered(replace(request, kv_cache_dtype="fp8"))
    assert eight.state.kv_cache_tokens >= own.state.kv_cache_tokens


@QUICK
@given(requests(), st.integers(1, 131072))
def test_a_longer_context_never_fits_better(request: MemoryRequest, context: int) -> None:
    asked = request.max_model_len or 1
    longer = max(asked, min(context, request.architecture.max_positions))
    plan, other = answered(request), answered(replace(request, max_model_len=longer))
    assert order(other) <= order(plan)
    assert plan.starts == (asked <= plan.largest_context)
    assert plan.comfortable_context <= plan.largest_context <= request.architecture.max_positions
    assert plan.has_room == (asked <= plan.comfortable_context)


@QUICK
@given(requests())
def test_the_parts_of_a_plan_add_up(request: MemoryRequest) -> None:
    plan = answered(request)
    for state in (plan.cold, plan.warm):
        parts = plan.weights_mib + state.activation_mib + state.non_torch_mib + state.cuda_graphs_mib
        if state.kv_cache_mib > 0:
            assert parts + state.kv_cache_mib == pytest.approx(plan.budget_mib)
        else:
            assert parts >= plan.budget_mib - 1e-6
    assert plan.warm.kv_cache_mib >= plan.cold.kv_cache_mib
    assert all(value >= 0 for value in plan.gib().values())


@QUICK
@given(requests())
def test_alternatives_hold_what_they_promise(request: MemoryRequest) -> None:
    for found in alternatives(request, load_catalog()):
        assert answered(found.plan.request).starts


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=20),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
)
CONFIG_KEYS = [
    "num_hidden_layers",
    "hidden_size",
    "intermediate_size",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
    "max_position_embeddings",
    "model_type",
    "sliding_window",
    "sliding_window_pattern",
    "layer_types",
    "rope_scaling",
    "num_experts",
    "moe_intermediate_size",
    "num_experts_per_tok",
    "tie_word_embeddings",
    "torch_dtype",
    "text_config",
    "quantization_config",
    "kv_lora_rank",
    "qk_rope_head_dim",
]
CONFIG = {
    "model_type": "llama",
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
}
CASE_KEYS = [
    "model",
    "architecture",
    "weights_format",
    "kv_cache_dtype",
    "max_model_len",
    "enforce_eager",
    "max_num_seqs",
    "max_num_batched_tokens",
    "gpu_memory_utilization",
    "model_runner",
    "compile_cache",
    "emulated_total_mib",
    "env",
    "patch",
    "started",
    "l4_used_peak_est_mib",
    "kv_tokens_logged",
    "available_kv_mib",
]
CASE: dict[str, Any] = {
    "model": "gemma-7b",
    "weights_format": "bf16",
    "max_model_len": 1024,
    "emulated_total_mib": 22561,
}


@QUICK
@given(st.dictionaries(st.sampled_from(CASE_KEYS), JUNK, max_size=4))
def test_no_case_raises_anything_but_a_refusal(junk: dict[str, Any]) -> None:
    problems: tuple[Finding, ...] = ()
    text = "{}"
    try:
        text = report([{**CASE, **junk}], as_json=True)
    except Refusal as refusal:
        problems = refusal.problems
    assert bool(problems) != bool(json.loads(text).get("cases"))
    assert all(problem.path.startswith("line 1: ") for problem in problems)


@QUICK
@given(st.dictionaries(st.sampled_from(CONFIG_KEYS), JUNK, max_size=3))
def test_no_configuration_raises_anything_but_a_refusal(junk: dict[str, Any]) -> None:
    case = {**CASE, "architecture": {**CONFIG, **junk}}
    try:
        prediction = predict_case(case)
    except Refusal:
        return
    assert prediction.kv_tokens >= 0


@QUICK
@given(st.sampled_from([field.name for field in fields(MemoryRequest)]), JUNK)
def test_no_request_raises_anything_but_a_refusal(name: str, junk: Any) -> None:
    if name in ("architecture", "family", "path", "version", "accelerator", "server", "model_runner", "compile_cache"):
        return
    model = load_catalog().models["google/gemma-3-4b-it"]
    request = MemoryRequest(architecture=model, family="gemma3", gpu_memory_mib=22561)
    with contextlib.suppress(Refusal):
        answered(replace(request, **{name: junk}))


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"max_model_len": 8193}, "server.maxModelLen"),
        ({"max_model_len": 0}, "server.maxModelLen"),
        ({"max_num_seqs": 512, "max_num_batched_tokens": 256}, "server.maxNumBatchedTokens"),
        ({"gpu_memory_utilization": 1.5}, "server.gpuMemoryUtilization"),
        ({"gpu_memory_utilization": float("nan")}, "server.gpuMemoryUtilization"),
        ({"gpu_memory_mib": -1.0}, "server.accelerator.memoryMib"),
        ({"weights_format": "gptq3"}, "server.quantization"),
        ({"kv_cache_dtype": "int2"}, "server.kvCacheDtype"),
        ({"tensor_parallel": 3}, "server.accelerator.count"),
        ({"pipeline_parallel": 29}, "server.pipelineParallelSize"),
        ({"version": "newest"}, "server.version"),
    ],
)
def test_impossible_requests_are_refused_with_their_path(changes: dict[str, Any], path: str) -> None:
    model = load_catalog().models["google/gemma-7b-it"]
    request = MemoryRequest(architecture=model, family="gemma", gpu_memory_mib=22561)
    with pytest.raises(Refusal) as refused:
        answered(replace(request, **changes))
    assert [problem.path for problem in refused.value.problems] == [path]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"kv_heads": 3}, "server.architecture.kvHeads"),
        ({"layers": 0}, "server.architecture.layers"),
        ({"parameters": 1000}, "server.architecture.parameters"),
        ({"sliding_window": SlidingWindow(size=1024, layers=99)}, "server.architecture.slidingWindow.layers"),
    ],
)
def test_impossible_architectures_are_refused(changes: dict[str, Any], path: str) -> None:
    model = load_catalog().models["google/gemma-7b-it"].model_copy(update=changes)
    with pytest.raises(Refusal) as refused:
        answered(MemoryRequest(architecture=model, family="gemma", gpu_memory_mib=22561))
    assert [problem.path for problem in refused.value.problems] == [path]


def test_bad_lines_are_named() -> None:
    with pytest.raises(Refusal) as refused:
        read_cases('{"model": "gemma-7b"}\n\nnot json\n[1]\n')
    assert [problem.path for problem in refused.value.problems] == ["line 3", "line 4"]
    cases = read_cases('\n{"model": "gemma-7b", "emulated_total_mib": 22561, "max_model_len": 99999}\n')
    with pytest.raises(Refusal) as refused:
        report(cases)
    assert refused.value.problems[0].path == "line 2: case.maxModelLen"


def test_an_architecture_says_the_same_as_the_catalog() -> None:
    by_name = predict_case({**CASE, "model": "llama-3.1-8b"})
    by_config = predict_case({**CASE, "architecture": CONFIG})
    assert by_config == by_name


def test_gemma_3_from_its_nested_configuration() -> None:
    text = {
        "model_type": "gemma3_text",
        "num_hidden_layers": 34,
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "vocab_size": 262208,
        "max_position_embeddings": 131072,
        "sliding_window": 1024,
        "sliding_window_pattern": 6,
        "rope_scaling": {"rope_type": "linear", "factor": 8.0},
    }
    given = case_request({**CASE, "architecture": {"model_type": "gemma3", "text_config": text}})
    assert given.architecture.sliding_window == SlidingWindow(size=1024, layers=29)
    assert given.rope_factor == 9.0
    case = {**CASE, "max_model_len": 8192}
    tokens = predict_case({**case, "architecture": {"text_config": text}}).kv_tokens
    assert tokens == pytest.approx(predict_case({**case, "model": "gemma-3-4b-text"}).kv_tokens, rel=0.001)


def test_a_report_for_people_has_figures_beside_measurements() -> None:
    text = report([{**CASE, "id": "one", "started": True, "kv_tokens_logged": 5504, "weights_mib": 16288.39}])
    assert "16288 / 16288" in text
    assert "wrong verdicts: 0" in text
    assert load_catalog().memory.vllm.version == "0.26.0"
