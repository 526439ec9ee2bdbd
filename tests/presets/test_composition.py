"""Several presets, and presets beside explicit settings: who decides, and how a plan says so."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.catalog.preset_facts import Technique
from gke_llm_inference.settings import Refusal
from tests.planning.support import CATALOG, existing_stack, planned
from tests.presets.expected import E4M3, FP8
from tests.presets.support import (
    FALCON,
    GEMMA,
    GEMMA2_FP8,
    GEMMA_AWQ,
    LLAMA_8B_AWQ,
    LLAMA_8B_FP8,
    LLAMA_13B_GPTQ,
    LLAMA_70B_AWQ,
    MIXTRAL_AWQ,
    TGI,
    VLLM,
    arguments_of,
    decisions_of,
    described,
    only_problem,
    outcome,
    plan_of,
    problems_of,
    warnings_of,
)

PRESETS = load_catalog().presets
TECHNIQUES = {name: preset for name, preset in PRESETS.items() if isinstance(preset, Technique)}

SERVED_BY_BOTH = [
    name
    for name, model in CATALOG.models.items()
    if (model.task, model.checkpoint) == ("generate", "none") and model.family in CATALOG.loading["tgi"].classes
]
OF_WEIGHTS_AND_CACHE = (FP8, E4M3)


# Order and conflicts


def test_techniques_of_different_kinds_compose() -> None:
    arguments = arguments_of(presets=["fp8", "fp8-kv-cache-e4m3", "token-limits", "prefix-caching", "tensor-parallel"])
    assert arguments == (
        "--quantization=fp8",
        "--kv-cache-dtype=fp8_e4m3",
        "--max-model-len=4096",
        '--override-generation-config={"max_new_tokens":1024}',
        "--enable-prefix-caching",
    )


def test_the_order_of_techniques_does_not_change_what_they_give_but_the_order_of_their_reasons() -> None:
    one, other = ["fp8", "token-limits"], ["token-limits", "fp8"]
    assert plan_of(presets=one).arguments == plan_of(presets=other).arguments
    assert [text.partition(":")[0] for text in decisions_of(presets=one)] == [
        "fp8",
        "fp8",
        "token-limits",
        "token-limits",
    ]
    assert [text.partition(":")[0] for text in decisions_of(presets=other)] == [
        "token-limits",
        "token-limits",
        "fp8",
        "fp8",
    ]


def test_a_goal_chooses_for_what_techniques_leave_open_wherever_it_stands() -> None:
    first, last = plan_of(presets=["cost", "bitsandbytes"]), plan_of(presets=["bitsandbytes", "cost"])
    assert first.arguments == last.arguments
    assert "--quantization=bitsandbytes" in first.arguments
    assert first.model == GEMMA
    assert first.choice is not None
    assert "quantization" not in dict(first.choice.settings)


@pytest.mark.parametrize(
    ("first", "second", "thing", "server"),
    [
        ("fp8", "bitsandbytes", "weight quantization", {}),
        ("bitsandbytes", "bitsandbytes-nf4", "weight quantization", {}),
        ("eetq", "bitsandbytes-fp4", "weight quantization", {"server": "tgi"}),
        ("fp8", "awq", "weight quantization", {}),
        ("fp8-kv-cache-e4m3", "fp8-kv-cache-e5m2", "the KV cache's type", {}),
        ("fp8-kv-cache-e5m2", "fp8-kv-cache-e4m3", "the KV cache's type", {"server": "tgi"}),
    ],
)
def test_two_techniques_that_decide_on_the_same_thing_are_refused_with_both_names(
    first: str, second: str, thing: str, server: dict[str, Any]
) -> None:
    problem = only_problem(**server, presets=[first, second])
    assert problem.path == "servers.gemma.presets[1]"
    assert problem.what == f"{second} conflicts with {first}"
    assert problem.why == f"both decide on the same thing: {thing}"
    assert problem.fix == f"keep one of {first} and {second}"


@pytest.mark.parametrize("name", ["fp8", "cost"])
def test_a_preset_that_stands_there_twice_is_refused(name: str) -> None:
    problem = only_problem(presets=[name, "prefix-caching", name])
    assert problem.path == "servers.gemma.presets[2]"
    assert (problem.what, problem.fix) == (f"{name} is listed twice", "remove one of them")


@pytest.mark.parametrize(
    ("written", "fix"),
    [
        ("awk", "did you mean awq?"),
        ("tensor-parallelism", "did you mean tensor-parallel?"),
        ("troughput", "did you mean throughput?"),
        ("zzz", f"use one of: {', '.join(sorted(PRESETS))}"),
    ],
)
def test_an_unknown_preset_is_refused_with_the_nearest_one(written: str, fix: str) -> None:
    problem = only_problem(presets=["prefix-caching", written])
    assert (problem.path, problem.what) == ("servers.gemma.presets[1]", f"{written} is not a preset")
    assert problem.fix == fix


def test_all_problems_of_presets_are_reported_together() -> None:
    found = problems_of(presets=["eetq", "awk", "prefix-caching", "prefix-caching", "awq"])
    assert [problem.path for problem in found] == [f"servers.gemma.presets[{index}]" for index in (0, 1, 3, 4)]


def test_a_preset_that_is_refused_does_not_hold_its_place() -> None:
    assert [problem.path for problem in problems_of(presets=["eetq", "fp8"])] == ["servers.gemma.presets[0]"]


# Explicit settings


@pytest.mark.parametrize(
    ("presets", "server", "flag", "decision"),
    [
        (
            ["fp8"],
            {"quantization": "bitsandbytes"},
            "--quantization=bitsandbytes",
            "fp8: quantization: bitsandbytes kept (set explicitly by the stack; the preset would set fp8)",
        ),
        (
            ["fp8-kv-cache-e5m2"],
            {"kvCacheDtype": "fp8_e4m3"},
            "--kv-cache-dtype=fp8_e4m3",
            "fp8-kv-cache-e5m2: kvCacheDtype: fp8_e4m3 kept "
            "(set explicitly by the stack; the preset would set fp8_e5m2)",
        ),
        (
            ["token-limits"],
            {"maxModelLen": 2048},
            "--max-model-len=2048",
            "token-limits: maxModelLen: 2048 kept (set explicitly by the stack; the preset would set 4096)",
        ),
        (
            ["prefix-caching"],
            {"prefixCaching": False},
            "--no-enable-prefix-caching",
            "prefix-caching: prefixCaching: false kept (set explicitly by the stack; the preset would set true)",
        ),
        (
            ["tensor-parallel"],
            {"accelerator": {"count": 4}},
            "--tensor-parallel-size=4",
            "tensor-parallel: accelerator.count: 4 kept (set explicitly by the stack; the preset would set 2)",
        ),
        (
            ["eetq"],
            {"server": "tgi", "quantization": "fp8"},
            "--quantize=fp8",
            "eetq: quantization: fp8 kept (set explicitly by the stack; the preset would set eetq)",
        ),
    ],
)
def test_what_the_stack_says_wins_over_a_preset_and_the_plan_says_so(
    presets: list[str], server: dict[str, Any], flag: str, decision: str
) -> None:
    plan = plan_of(**server, presets=presets)
    assert flag in plan.arguments
    assert decision in map(str, plan.decisions)


@pytest.mark.parametrize(
    ("presets", "server"),
    [
        (["fp8"], {"quantization": "fp8"}),
        (["prefix-caching"], {"prefixCaching": True}),
        (["token-limits"], {"maxModelLen": 4096, "maxOutputTokens": 1024}),
        (["tensor-parallel"], {"accelerator": {"count": 2}}),
    ],
)
def test_a_preset_has_nothing_to_say_of_settings_that_agree_with_it(presets: list[str], server: dict[str, Any]) -> None:
    plan = plan_of(**server, presets=presets)
    assert [decision for decision in plan.decisions if decision.what != "note"] == []
    assert plan.arguments == plan_of(**server).arguments


def test_a_type_of_gpu_is_no_count_of_gpus() -> None:
    plan = plan_of(accelerator={"type": "nvidia-tesla-a100"}, presets=["tensor-parallel"])
    assert (plan.gpu_type, plan.gpu_count) == ("nvidia-tesla-a100", 2)


def test_tensor_parallelism_over_one_gpu_is_planned_with_a_warning() -> None:
    (warning,) = warnings_of(accelerator={"count": 1}, presets=["tensor-parallel"])
    assert (warning.path, warning.what) == ("servers.gemma.presets[0]", "tensor-parallel has no effect with one GPU")
    assert warning.fix == "raise accelerator.count, or remove it to get two"
    assert plan_of(accelerator={"count": 1}, presets=["tensor-parallel"]).gpu_count == 1


@pytest.mark.parametrize(
    ("server", "arguments"),
    [
        ({"maxOutputTokens": 6000}, ('--override-generation-config={"max_new_tokens":6000}',)),
        ({"maxModelLen": 512}, ("--max-model-len=512",)),
        ({"server": "tgi", "maxInputTokens": 3000}, ("--max-input-tokens=3000", "--max-total-tokens=4096")),
        ({"server": "tgi", "maxInputTokens": 6000}, ("--max-input-tokens=6000",)),
        (
            {"server": "tgi", "version": "2.3.1", "maxBatchPrefillTokens": 3500},
            ("--max-input-tokens=3072", "--max-total-tokens=4096", "--max-batch-prefill-tokens=3500"),
        ),
    ],
    ids=["long answers", "short context", "prompts", "long prompts", "prefill"],
)
def test_a_limit_of_a_preset_gives_way_to_the_limits_of_the_stack(
    server: dict[str, Any], arguments: tuple[str, ...]
) -> None:
    assert arguments_of(**server, presets=["token-limits"]) == arguments
    assert [
        text for text in decisions_of(**server, presets=["token-limits"]) if " left out (" in text or "4096" in text
    ]


def test_a_limit_that_a_model_has_not_the_context_for_is_left_out() -> None:
    assert arguments_of(model=FALCON, presets=["token-limits"]) == (
        '--override-generation-config={"max_new_tokens":1024}',
    )
    assert "token-limits: maxModelLen: 4096 left out" in "\n".join(decisions_of(model=FALCON, presets=["token-limits"]))


# Checkpoints


@pytest.mark.parametrize(
    ("model", "preset", "proposals"),
    [
        (GEMMA, "awq", ["casperhansen/gemma-7b-it-awq", "stan-hua/Gemma-7B-Instruct-AWQ-4bit"]),
        ("google/gemma-7b", "awq", ["google/gemma-7b-AWQ"]),
        ("google/gemma-7b", "gptq", ["TechxGenus/gemma-7b-GPTQ", "shuyuej/gemma-7b-GPTQ"]),
        (
            *("google/gemma-3-12b-it", "compressed-tensors"),
            ["ISTA-DASLab/gemma-3-12b-it-GPTQ-4b-128g", "RedHatAI/gemma-3-12b-it-FP8-dynamic"],
        ),
        ("meta-llama/Llama-3.1-70B-Instruct", "awq", [LLAMA_70B_AWQ]),
    ],
)
def test_a_preset_that_needs_a_checkpoint_proposes_those_of_the_catalog(
    model: str, preset: str, proposals: list[str]
) -> None:
    problem = only_problem(model=model, presets=[preset])
    assert problem.path == "servers.gemma.presets[0]"
    assert problem.what == f"{preset} needs a pre-quantized checkpoint, and {model} is not one"
    assert problem.fix == f"set model to {' or '.join(proposals)}"


@pytest.mark.parametrize("server", [VLLM, TGI])
@pytest.mark.parametrize("preset", ["awq", "gptq", "compressed-tensors"])
@pytest.mark.parametrize("model", SERVED_BY_BOTH)
def test_every_proposal_is_of_the_catalog_and_works(model: str, preset: str, server: str) -> None:
    problem = only_problem(server=server, model=model, presets=[preset])
    proposals = re.findall(r"[\w.-]+/[\w.-]+", problem.fix)
    of_the_catalog = [name for name, one in CATALOG.checkpoints.items() if (one.base, one.format) == (model, preset)]
    assert sorted(proposals) == sorted(of_the_catalog)
    if not proposals:
        assert problem.fix == (
            "the catalog has no such checkpoint of it; quantize one, or use a preset such as fp8 that needs none"
        )
    for proposal in proposals:
        plan_of(server=server, model=proposal, presets=[preset])


def test_no_checkpoint_is_proposed_for_a_model_that_only_a_stack_knows() -> None:
    problem = only_problem(**described(), presets=["awq"])
    assert problem.fix.startswith("the catalog has no such checkpoint of it")


@pytest.mark.parametrize(
    ("model", "format_", "preset"),
    [
        (GEMMA_AWQ, "awq", "fp8"),
        (GEMMA_AWQ, "awq", "gptq"),
        (GEMMA_AWQ, "awq", "bitsandbytes"),
        (LLAMA_13B_GPTQ, "gptq", "awq"),
        (LLAMA_8B_FP8, "compressed-tensors", "fp8"),
        (GEMMA2_FP8, "fp8", "bitsandbytes-nf4"),
    ],
)
def test_weights_that_are_quantized_already_are_not_quantized_again(model: str, format_: str, preset: str) -> None:
    problem = only_problem(model=model, presets=[preset])
    assert problem.what == f"{preset} cannot be used with {model}, whose weights are {format_} already"
    assert problem.fix == f"leave {preset} out, or use the model at its own precision"
    plan_of(model=model, presets=[])
    plan_of(model=model, presets=[format_])


@pytest.mark.parametrize("server", [VLLM, TGI])
@pytest.mark.parametrize(("checkpoint", "preset"), [("bitsandbytes", "bitsandbytes"), ("squeezellm", "fp8")])
def test_no_preset_is_proposed_that_is_refused_itself_or_that_the_version_does_not_have(
    checkpoint: str, preset: str, server: str
) -> None:
    found = problems_of(server=server, **described(checkpoint=checkpoint), presets=[preset])
    (problem,) = [one for one in found if one.path == "servers.gemma.presets[0]"]
    # No version of today loads a SqueezeLLM checkpoint either, which is a problem of its own.
    assert len(found) == (2 if checkpoint == "squeezellm" else 1)
    assert problem.what == f"{preset} cannot be used with me/mine, whose weights are {checkpoint} already"
    assert problem.fix == f"leave {preset} out, or use the model at its own precision"


@pytest.mark.parametrize("preset", ["fp8-kv-cache-e4m3", "fp8-kv-cache-e5m2"])
@pytest.mark.parametrize("server", [VLLM, TGI])
@pytest.mark.parametrize("gpu", ["nvidia-tesla-a100", "nvidia-a100-80gb"])
def test_an_fp8_kv_cache_is_refused_on_a_gpu_without_fp8(gpu: str, server: str, preset: str) -> None:
    problem = only_problem(server=server, accelerator={"type": gpu}, presets=[preset])
    assert problem.path == "servers.gemma.presets[0]"
    assert (problem.what, problem.why) == (f"{preset} needs a GPU of compute capability 8.9", f"{gpu} has 8.0")
    assert problem.fix == "use a newer GPU, such as nvidia-l4, or leave the preset out"
    for other in ("nvidia-l4", "nvidia-h100-80gb"):
        plan_of(server=server, accelerator={"type": other}, presets=[preset])


@pytest.mark.parametrize("gpu", [gpu for gpu in CATALOG.accelerators if gpu != "nvidia-tesla-t4"])
def test_fp8_weights_are_planned_on_every_gpu_that_has_kernels_for_them(gpu: str) -> None:
    fewest = min(machine.gpus for machine in CATALOG.machine_types.values() if machine.accelerator == gpu)
    assert "--quantization=fp8" in plan_of(accelerator={"type": gpu, "count": fewest}, presets=["fp8"]).arguments


def test_a_t4_has_no_kernels_for_fp8_weights() -> None:
    problem = only_problem(accelerator={"type": "nvidia-tesla-t4"}, presets=["fp8"])
    assert (problem.what, problem.why) == ("fp8 needs a GPU of compute capability 8.0", "nvidia-tesla-t4 has 7.5")


def test_an_fp8_checkpoint_needs_no_flag_on_vllm() -> None:
    assert arguments_of(model=GEMMA2_FP8, presets=["fp8"]) == ()
    assert arguments_of(server="tgi", model=GEMMA2_FP8, presets=["fp8"]) == ("--quantize=fp8",)


@pytest.mark.parametrize("model", [GEMMA2_FP8, LLAMA_8B_FP8])
@pytest.mark.parametrize("version", ["0.10.0", "0.19.1"])
def test_e5m2_with_fp8_weights_is_refused_with_the_preset_that_works(model: str, version: str) -> None:
    problem = only_problem(model=model, version=version, presets=["fp8-kv-cache-e5m2"])
    assert problem.path == "servers.gemma.kvCacheDtype"
    assert problem.what == "fp8_e5m2 is not possible with FP8 or compressed-tensors weights"
    assert problem.fix == "use fp8_e4m3, or the preset fp8-kv-cache-e4m3"
    assert "--kv-cache-dtype=fp8_e4m3" in plan_of(model=model, version=version, presets=["fp8-kv-cache-e4m3"]).arguments


# Reasons


@pytest.mark.parametrize("model", [GEMMA, LLAMA_8B_AWQ, MIXTRAL_AWQ, LLAMA_8B_FP8])
@pytest.mark.parametrize("server", [VLLM, TGI])
@pytest.mark.parametrize("preset", PRESETS)
def test_every_decision_names_its_preset_and_has_a_reason(preset: str, server: str, model: str) -> None:
    result = outcome(server=server, model=model, presets=[preset])
    if isinstance(result, Refusal):
        assert all(problem.fix for problem in result.problems)
        return
    decisions = result.servers[0].decisions
    assert decisions, "nothing is said about the preset"
    assert {decision.origin for decision in decisions} <= {preset, *TECHNIQUES}
    assert [decision for decision in decisions if not (decision.what.strip() and decision.why.strip())] == []


@pytest.mark.parametrize("preset", ["paged-attention", "flash-attention"])
@pytest.mark.parametrize(("server", "title"), [(VLLM, "vLLM"), (TGI, "TGI")])
def test_what_is_always_on_is_said_in_the_plan(preset: str, server: str, title: str) -> None:
    (said,) = decisions_of(server=server, presets=[preset])
    assert said.startswith(f"{preset}: ")
    assert title in said
    assert arguments_of(server=server, presets=[preset]) == ()


@pytest.mark.parametrize("preset", ["fp8-kv-cache-e4m3", "fp8-kv-cache-e5m2"])
def test_the_note_on_0_6_0_does_not_promise_kernels_that_it_does_not_take(preset: str) -> None:
    said = "\n".join(decisions_of(version="0.6.0", presets=[preset]))
    assert "chooses FlashInfer or Triton" not in said
    assert "this version takes XFormers for attention" in said


def test_presets_of_one_server_leave_the_others_alone() -> None:
    raw = existing_stack(
        {
            "a": {"server": "vllm", "model": GEMMA, "presets": ["cost"]},
            "b": {"server": "vllm", "model": GEMMA, "allowUnfit": True},
        }
    )
    first, second = planned(raw).servers
    assert first.decisions
    assert (second.decisions, second.arguments) == ((), plan_of().arguments)
