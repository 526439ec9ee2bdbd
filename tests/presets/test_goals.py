"""What goals choose for the server, version, GPU and checkpoint, and that they never break what works without them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_llm_inference.settings import Refusal
from tests.planning.support import CATALOG, outcome_of, standard_stack
from tests.presets.support import (
    FALCON,
    GEMMA,
    GEMMA2_FP8,
    GEMMA3_27B,
    GEMMA3_27B_W4,
    LLAMA_8B,
    LLAMA_8B_AWQ,
    LLAMA_8B_FP8,
    LLAMA_13B_GPTQ,
    LLAMA_70B,
    LLAMA_70B_AWQ,
    MIXTRAL,
    MIXTRAL_AWQ,
    TGI_VERSIONS,
    VLLM_VERSIONS,
    arguments_of,
    decisions_of,
    described,
    only_problem,
    outcome,
    plan_of,
)
from tests.settings.support import PROPERTY, autopilot_stack

GOALS = ("latency", "throughput", "cost")
NEW_VLLM = ("0.19.1", "0.26.0", "0.33.0")
BIG = described(parameters=100 * 10**9, attentionHeads=64, headDim=128, maxPositions=32768)
A100, A100_80, H100 = ({"type": name} for name in ("nvidia-tesla-a100", "nvidia-a100-80gb", "nvidia-h100-80gb"))

# With the cost goal's context of 4,096 tokens; in brackets what the weights take while they are loaded.
ON_L4 = [
    pytest.param({"model": GEMMA}, 1, id="7B fp8: 8.7 GiB"),
    pytest.param({"model": GEMMA3_27B}, 2, id="27B fp8: 27.3 GiB"),
    pytest.param({"model": MIXTRAL}, 4, id="47B fp8: 43.7 GiB"),
    pytest.param({"model": LLAMA_70B}, 4, id="70B fp8: 67.7 GiB"),
    pytest.param({**BIG}, 8, id="100B fp8: 93 GiB"),
    pytest.param({"model": LLAMA_8B_AWQ}, 1, id="8B awq: 5.3 GiB"),
    pytest.param({"model": LLAMA_13B_GPTQ}, 1, id="13B gptq: 6.8 GiB"),
    pytest.param({"model": LLAMA_8B_FP8}, 1, id="8B compressed-tensors: 8.5 GiB"),
    pytest.param({"model": GEMMA2_FP8}, 1, id="9B fp8 checkpoint: 9.5 GiB"),
    pytest.param({"model": GEMMA3_27B_W4}, 1, id="27B compressed-tensors, 4 bit: 15.8 GiB"),
    pytest.param({"model": MIXTRAL_AWQ}, 2, id="47B awq: 23.0 GiB"),
    pytest.param({"model": LLAMA_70B_AWQ}, 4, id="70B awq: 37.0 GiB"),
]
ORDER = ("fits", "tight", "does not fit")


@pytest.mark.parametrize(("model", "gpus"), ON_L4)
def test_the_cost_goal_takes_the_fewest_l4s_that_hold_weights_and_context(model: dict[str, Any], gpus: int) -> None:
    plan = plan_of(server="vllm", version="0.26.0", **model, presets=["cost"])
    assert plan.gpu_count == gpus
    assert f"--tensor-parallel-size={gpus}" in plan.arguments
    (said,) = [str(decision) for decision in plan.decisions if "accelerator.count" in decision.what]
    assert said.startswith(f"cost: accelerator.count: {gpus} ({gpus} × nvidia-l4 hold weights and a context of 4,096 ")


@pytest.mark.parametrize("model", [param.values[0] for param in ON_L4], ids=[str(param.id) for param in ON_L4])
@pytest.mark.parametrize(("server", "version"), [*(("vllm", one) for one in NEW_VLLM), ("tgi", "3.3.7")])
@pytest.mark.parametrize("goal", GOALS)
def test_no_fewer_gpus_than_a_goal_takes_would_do_as_well(
    goal: str, server: str, version: str, model: dict[str, Any]
) -> None:
    asked = {"server": server, "version": version, **model, "presets": [goal], "allowUnfit": True}
    chosen = plan_of(**asked)
    assert chosen.memory is not None
    for gpus in (1, 2, 4):
        if gpus < chosen.gpu_count:
            fewer = plan_of(**asked, accelerator={"count": gpus}).memory
            assert fewer is not None
            if chosen.memory.starts:
                assert ORDER.index(fewer.verdict) > ORDER.index(chosen.memory.verdict)


def test_where_no_number_is_enough_a_goal_takes_the_one_that_holds_the_longest_context() -> None:
    asked = {"model": LLAMA_70B, "maxModelLen": 131_072, "presets": ["latency"], "allowUnfit": True}
    contexts = {}
    for gpus in (1, 2, 4, 8):
        memory = plan_of(**asked, accelerator={"type": "nvidia-l4", "count": gpus}).memory
        assert memory is not None
        contexts[gpus] = memory.largest_context
    # The weights alone would be held by 4.
    assert 0 < contexts[4] < contexts[8]
    chosen = plan_of(**asked)
    (said,) = [text for text in decisions_of(**asked) if "accelerator.count" in text]
    if contexts[8] < 131_072:
        assert f"8 hold {contexts[8]:,}" in said
    assert chosen.gpu_count == 8


@pytest.mark.parametrize(
    ("model", "memory"), [(LLAMA_8B, 12_000), (LLAMA_8B, 24_000), (LLAMA_70B, 40_000), (MIXTRAL, 30_000)]
)
def test_a_goal_counts_with_the_memory_that_the_stack_states(model: str, memory: int) -> None:
    asked = {"model": model, "presets": ["cost"], "allowUnfit": True}
    verdicts = {}
    for gpus in (8, 4, 2, 1):
        plan = plan_of(**asked, accelerator={"memoryMib": memory, "count": gpus}).memory
        assert plan is not None
        verdicts[plan.verdict] = gpus
    chosen = plan_of(**asked, accelerator={"memoryMib": memory})
    assert chosen.gpu_count == verdicts.get("fits", verdicts.get("tight"))


def test_a_goal_says_what_fewer_gpus_would_hold() -> None:
    (said,) = [text for text in decisions_of(model=LLAMA_8B, presets=["latency"]) if "accelerator.count" in text]
    assert "2 × nvidia-l4 hold weights and a context of 131,072 tokens; " in said
    assert said.endswith("; 1 would hold 87,312)")


@pytest.mark.parametrize(
    ("model", "gpus"),
    [(GEMMA, 1), (GEMMA3_27B, 4), (MIXTRAL, 8), (LLAMA_70B, 8), (LLAMA_70B_AWQ, 4), (LLAMA_13B_GPTQ, 1)],
    ids=["7B", "27B", "47B", "70B", "70B awq", "13B gptq"],
)
@pytest.mark.parametrize("version", ["0.6.0", "0.10.0"])
def test_a_version_that_loads_the_whole_model_before_it_quantizes_needs_room_for_that(
    version: str, model: str, gpus: int
) -> None:
    assert plan_of(version=version, model=model, presets=["cost"]).gpu_count == gpus


@pytest.mark.parametrize(
    ("gpu", "model", "gpus"),
    [
        (A100, LLAMA_70B, 4),
        (A100, GEMMA3_27B, 1),
        (A100, MIXTRAL, 2),
        (A100_80, LLAMA_70B, 1),
        (A100_80, LLAMA_70B_AWQ, 1),
        (H100, LLAMA_70B, 1),
    ],
    ids=["A100 70B", "A100 27B", "A100 47B", "A100 80 GB 70B", "A100 80 GB 70B awq", "H100 70B"],
)
def test_a_goal_takes_the_fewest_of_other_gpus_too(gpu: dict[str, Any], model: str, gpus: int) -> None:
    assert plan_of(accelerator=gpu, model=model, presets=["cost"]).gpu_count == gpus


def test_a_goal_takes_only_counts_that_machines_have_and_heads_divide() -> None:
    uneven = described(parameters=30 * 10**9, attentionHeads=6, kvHeads=2)
    assert plan_of(**uneven, presets=["cost"]).gpu_count == 2
    # Where none is enough, the most that the heads allow lack the least.
    for heads, gpus in ((6, 2), (12, 4)):
        big = described(parameters=60 * 10**9, attentionHeads=heads, kvHeads=2)
        assert plan_of(**big, presets=["cost"]).gpu_count == gpus


@pytest.mark.parametrize("server", ["vllm", "tgi"])
@pytest.mark.parametrize("goal", GOALS)
def test_a_number_of_gpus_that_the_stack_states_is_left_alone(goal: str, server: str) -> None:
    assert plan_of(server=server, accelerator={"count": 4}, presets=[goal]).gpu_count == 4
    assert plan_of(server=server, model=LLAMA_70B, accelerator={"count": 1}, presets=[goal]).gpu_count == 1
    assert plan_of(server=server, presets=["tensor-parallel", goal]).gpu_count == 2


# What each goal sets, by format of the checkpoint. On vLLM a checkpoint states its own method.

FORMATS = {
    GEMMA: "fp8",
    GEMMA2_FP8: "fp8",
    LLAMA_8B_AWQ: "awq",
    LLAMA_13B_GPTQ: "gptq",
    LLAMA_8B_FP8: "compressed-tensors",
}


@pytest.mark.parametrize("gpu", [{}, A100], ids=["L4", "A100"])
@pytest.mark.parametrize("version", VLLM_VERSIONS)
@pytest.mark.parametrize("model", FORMATS)
def test_goals_on_vllm(model: str, version: str, gpu: dict[str, Any]) -> None:
    weights = ("--quantization=fp8",) if model == GEMMA else ()
    # An FP8 KV cache needs a GPU with FP8, and 0.10.0 an older engine for it.
    cache = ("--kv-cache-dtype=fp8_e4m3",) if not gpu and version != "0.10.0" else ()
    server = {"model": model, "version": version, "accelerator": gpu}
    assert arguments_of(**server, presets=["latency"]) == (*weights, "--max-num-seqs=32", "--enable-chunked-prefill")
    assert arguments_of(**server, presets=["cost"]) == (*weights, *cache, "--max-model-len=4096")
    if version != "0.6.0":
        assert arguments_of(**server, presets=["throughput"]) == (
            *weights,
            *cache,
            "--max-num-batched-tokens=4096",
            "--enable-prefix-caching",
        )


@pytest.mark.parametrize("gpu", [{}, A100], ids=["L4", "A100"])
@pytest.mark.parametrize("version", TGI_VERSIONS)
@pytest.mark.parametrize("model", FORMATS)
def test_goals_on_tgi(model: str, version: str, gpu: dict[str, Any]) -> None:
    old = version == "2.3.1"
    weights = (f"--quantize={FORMATS[model]}",)
    cache = ("--kv-cache-dtype=fp8_e4m3fn",) if not gpu and not old else ()
    server = {"server": "tgi", "model": model, "version": version, "accelerator": gpu}
    if old and FORMATS[model] == "compressed-tensors":
        problem = only_problem(**server, presets=["latency"])
        assert problem.what == "tgi 2.3.1 does not load compressed-tensors checkpoints"
        assert problem.why == "TGI reads compressed-tensors checkpoints from 2.4.0 on"
        return
    assert arguments_of(**server, presets=["latency"]) == weights
    assert arguments_of(**server, presets=["throughput"]) == (*weights, *cache)
    assert arguments_of(**server, presets=["cost"]) == (
        *weights,
        *cache,
        "--max-input-tokens=4095",
        "--max-total-tokens=4096",
    )


def test_a_goal_does_not_take_gptq_for_gemma_where_the_guide_rules_it_out() -> None:
    decisions = decisions_of(version="0.10.0", model="TechxGenus/gemma-7b-it-GPTQ", presets=["latency"])
    assert decisions[0] == (
        "latency: uses none of fp8, awq, gptq, compressed-tensors (none fits this server, version and checkpoint)"
    )
    assert decisions_of(model="TechxGenus/gemma-7b-it-GPTQ", presets=["latency"])[0].startswith("latency: uses gptq (")


def test_a_goal_does_not_take_an_fp8_kv_cache_that_tgi_has_no_kernel_for() -> None:
    assert "--kv-cache-dtype" not in " ".join(arguments_of(server="tgi", model=FALCON, presets=["throughput"]))
    narrow = described(headDim=80)
    assert "--kv-cache-dtype" not in " ".join(arguments_of(server="tgi", **narrow, presets=["throughput"]))
    assert "--kv-cache-dtype=fp8_e4m3" in arguments_of(**narrow, presets=["throughput"])


@pytest.mark.parametrize(
    ("goal", "server", "left_out"),
    [
        ("cost", {"maxOutputTokens": 5000}, "--max-model-len"),
        ("cost", {"model": FALCON}, "--max-model-len"),
        ("cost", {"server": "tgi", "maxInputTokens": 4096}, "--max-total-tokens"),
        ("latency", {"maxNumBatchedTokens": 16}, "--max-num-seqs"),
        ("throughput", {"maxNumSeqs": 5000}, "--max-num-batched-tokens"),
        ("throughput", {"chunkedPrefill": False}, "--max-num-batched-tokens"),
        ("latency", {"kvCacheDtype": "fp8_e5m2"}, "--quantization"),
    ],
)
def test_a_goal_leaves_out_what_would_contradict_the_stack(goal: str, server: dict[str, Any], left_out: str) -> None:
    assert left_out not in " ".join(arguments_of(**server, presets=[goal]))


def test_a_goal_chooses_less_than_all_of_the_gpus_for_weights_that_the_stack_quantizes() -> None:
    # 4.5 bits for each weight: 47 billion weights need two L4s, as FP8 they need four.
    assert plan_of(model=MIXTRAL, quantization="bitsandbytes", presets=["cost"]).gpu_count == 2


@pytest.mark.parametrize("goal", GOALS)
def test_a_goal_does_not_claim_a_technique_that_the_stack_decides_against(goal: str) -> None:
    decisions = decisions_of(quantization="bitsandbytes", presets=[goal])
    assert not [text for text in decisions if text.startswith(f"{goal}: uses fp8 ")]
    assert f"{goal}: leaves quantization unchanged (set explicitly by the stack)" in decisions


# A goal never breaks a stack

_LIMITS = st.sampled_from([1, 2, 16, 31, 32, 33, 1024, 2047, 2048, 4095, 4096, 4097, 8191, 8192, 131072])
_MODELS = st.sampled_from(
    [
        *({"model": name} for name in (*CATALOG.models, *CATALOG.checkpoints)),
        *(described(checkpoint=name) for name in ("none", "fp8", "squeezellm")),
        described(maxPositions=100),
        described(attentionHeads=71, kvHeads=1),
        described(family="falcon"),
        BIG,
    ]
)
_COMMON = {
    "accelerator": st.fixed_dictionaries(
        {}, optional={"type": st.sampled_from(list(CATALOG.accelerators)), "count": st.sampled_from([1, 2, 4, 8])}
    ),
    "maxModelLen": _LIMITS,
    "maxOutputTokens": _LIMITS,
    "quantization": st.sampled_from(["fp8", "awq", "gptq", "bitsandbytes"]),
    "kvCacheDtype": st.sampled_from(["auto", "fp8_e4m3", "fp8_e5m2"]),
    "speculativeTokens": st.integers(1, 16),
}
_TECHNIQUES = st.lists(
    st.sampled_from(["fp8", "tensor-parallel", "token-limits", "prefix-caching", "fp8-kv-cache-e5m2"]),
    max_size=2,
    unique=True,
)
SERVERS = st.one_of(
    st.fixed_dictionaries(
        {"server": st.just("vllm"), "version": st.sampled_from(VLLM_VERSIONS)},
        optional={
            **_COMMON,
            "maxNumSeqs": _LIMITS,
            "maxNumBatchedTokens": _LIMITS,
            "chunkedPrefill": st.booleans(),
            "prefixCaching": st.booleans(),
        },
    ),
    st.fixed_dictionaries(
        {"server": st.just("tgi"), "version": st.sampled_from(TGI_VERSIONS)},
        optional={**_COMMON, "maxInputTokens": _LIMITS, "maxBatchPrefillTokens": _LIMITS},
    ),
)


@PROPERTY
@given(server=SERVERS, model=_MODELS, techniques=_TECHNIQUES, goal=st.sampled_from(GOALS))
def test_a_goal_never_breaks_a_stack_that_works_without_it(
    server: dict[str, Any], model: dict[str, Any], techniques: list[str], goal: str
) -> None:
    without = outcome(**server, **model, presets=techniques)
    if isinstance(without, Refusal):
        return
    with_goal = outcome(**server, **model, presets=[*techniques, goal])
    assert not isinstance(with_goal, Refusal), str(with_goal)
    # Whether the server fits is what a goal may well change.
    fit = "servers.gemma"
    assert {one for one in with_goal.warnings if one.path != fit} == {
        one for one in without.warnings if one.path != fit
    }


@PROPERTY
@given(server=SERVERS, model=_MODELS, goal=st.sampled_from(GOALS))
def test_a_goal_leaves_what_the_stack_says_as_it_is(server: dict[str, Any], model: dict[str, Any], goal: str) -> None:
    without, with_goal = outcome(**server, **model), outcome(**server, **model, presets=[goal])
    if isinstance(without, Refusal) or isinstance(with_goal, Refusal):
        return
    derived = ("--tensor-parallel-size=", "--num-shard=", "--max-input-tokens=")
    explicit = {text for text in without.servers[0].arguments if not text.startswith(derived)}
    assert explicit <= set(with_goal.servers[0].arguments)
    if "count" in server.get("accelerator", {}):
        assert with_goal.servers[0].gpu_count == without.servers[0].gpu_count


@pytest.mark.parametrize(
    ("goal", "server"),
    [
        pytest.param("throughput", {"server": "tgi", "version": "3.0.0"}, id="TGI in between"),
        pytest.param(
            "cost",
            {"version": "0.10.0", **described(checkpoint="bitsandbytes", parameters=70 * 10**9)},
            id="bitsandbytes checkpoint",
        ),
    ],
)
def test_a_goal_chooses_nothing_that_is_refused_then(goal: str, server: dict[str, Any]) -> None:
    plan_of(**server)
    plan_of(**server, presets=[goal])


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(
            standard_stack({"l4": {}}, {"gemma": {"server": "vllm", "model": GEMMA3_27B}}), id="pool with one GPU"
        ),
        pytest.param(
            autopilot_stack(model=GEMMA3_27B, resources={"cpu": 30}),
            id="requests of one GPU's machine",
        ),
    ],
)
def test_a_goal_chooses_no_gpus_that_the_stack_has_no_place_for(raw: dict[str, Any]) -> None:
    servers = {"gemma": {**raw["servers"]["gemma"], "presets": ["cost"]}}
    assert isinstance(outcome_of(raw), Refusal) or not isinstance(outcome_of({**raw, "servers": servers}), Refusal)
