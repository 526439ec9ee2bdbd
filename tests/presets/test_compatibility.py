"""Settings that do not go together: each rule with an input just inside and one just outside."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.settings import Refusal
from tests.presets.support import (
    FALCON,
    GEMMA,
    GEMMA2_FP8,
    GEMMA_AWQ,
    GEMMA_GPTQ,
    LLAMA_8B_AWQ,
    LLAMA_8B_FP8,
    arguments_of,
    described,
    only_problem,
    outcome,
    plan_of,
    problems_of,
)

Server = dict[str, Any]
OLD_TGI: Server = {"server": "tgi", "version": "2.3.1"}
NEW_TGI: Server = {"server": "tgi", "version": "3.3.7"}
SHORT: Server = described(maxPositions=2048)
LONG: Server = described(maxPositions=131072)

# inside, outside, path, what, fix
RULES = [
    pytest.param(
        {"maxModelLen": 8192},
        {"maxModelLen": 8193},
        "maxModelLen",
        "8193 tokens are more than the model's 8192",
        "use 8192 or less",
        id="context of the model",
    ),
    pytest.param(
        {**NEW_TGI, "maxModelLen": 8192},
        {**NEW_TGI, "maxModelLen": 8193},
        "maxModelLen",
        "8193 tokens are more than the model's 8192",
        "use 8192 or less",
        id="context of the model on TGI",
    ),
    pytest.param(
        {"maxModelLen": 100, "maxOutputTokens": 99},
        {"maxModelLen": 100, "maxOutputTokens": 100},
        "maxOutputTokens",
        "100 output tokens leave no room for a prompt within 100",
        "use 99 or less, or a longer maxModelLen",
        id="answer within the context",
    ),
    pytest.param(
        {"maxOutputTokens": 8191},
        {"maxOutputTokens": 8192},
        "maxOutputTokens",
        "8192 output tokens leave no room for a prompt within 8192",
        "use 8191 or less, or a longer maxModelLen",
        id="answer within the model's context",
    ),
    pytest.param(
        {"accelerator": {"count": 4}, **described(attentionHeads=28, kvHeads=4)},
        {"accelerator": {"count": 8}, **described(attentionHeads=28, kvHeads=4)},
        "accelerator.count",
        "8 GPUs cannot share 28 attention heads",
        "use one of: 1, 2, 4",
        id="heads over GPUs",
    ),
    pytest.param(
        {"accelerator": {"count": 1}, **described(attentionHeads=71, kvHeads=1)},
        {"accelerator": {"count": 2}, **described(attentionHeads=71, kvHeads=1)},
        "accelerator.count",
        "2 GPUs cannot share 71 attention heads",
        "use one of: 1",
        id="odd heads",
    ),
    pytest.param(
        {"maxNumBatchedTokens": 256, "maxNumSeqs": 256},
        {"maxNumBatchedTokens": 255, "maxNumSeqs": 256},
        "maxNumBatchedTokens",
        "255 is less than maxNumSeqs 256",
        "use 256 or more",
        id="tokens of a batch",
    ),
    pytest.param(
        {"chunkedPrefill": False, "maxNumBatchedTokens": 8192},
        {"chunkedPrefill": False, "maxNumBatchedTokens": 8191},
        "maxNumBatchedTokens",
        "8191 is less than the context of 8192 tokens",
        "use 8192 or more, or chunkedPrefill: true",
        id="whole prompts",
    ),
    pytest.param(
        {"chunkedPrefill": False, "maxModelLen": 4096, "maxNumBatchedTokens": 4096},
        {"chunkedPrefill": False, "maxModelLen": 4096, "maxNumBatchedTokens": 4095},
        "maxNumBatchedTokens",
        "4095 is less than the context of 4096 tokens",
        "use 4096 or more, or chunkedPrefill: true",
        id="whole prompts of a shorter context",
    ),
    pytest.param(
        {"kvCacheDtype": "fp8_e4m3", "quantization": "fp8"},
        {"kvCacheDtype": "fp8_e5m2", "quantization": "fp8"},
        "kvCacheDtype",
        "fp8_e5m2 is not possible with FP8 or compressed-tensors weights",
        "use fp8_e4m3, or the preset fp8-kv-cache-e4m3",
        id="e5m2 with online FP8",
    ),
    pytest.param(
        {"kvCacheDtype": "fp8_e5m2", "model": GEMMA_AWQ},
        {"kvCacheDtype": "fp8_e5m2", "model": GEMMA2_FP8},
        "kvCacheDtype",
        "fp8_e5m2 is not possible with FP8 or compressed-tensors weights",
        "use fp8_e4m3, or the preset fp8-kv-cache-e4m3",
        id="e5m2 with an FP8 checkpoint",
    ),
    pytest.param(
        {**NEW_TGI, "kvCacheDtype": "fp8_e5m2", "model": LLAMA_8B_FP8},
        {"kvCacheDtype": "fp8_e5m2", "model": LLAMA_8B_FP8},
        "kvCacheDtype",
        "fp8_e5m2 is not possible with FP8 or compressed-tensors weights",
        "use fp8_e4m3, or the preset fp8-kv-cache-e4m3",
        id="e5m2 with compressed-tensors",
    ),
    pytest.param(
        {"quantization": "awq_marlin", **described(checkpoint="awq", family="gemma2")},
        {"quantization": "awq", **described(checkpoint="awq", family="gemma2")},
        "quantization",
        "awq runs in float16, in which gemma2 overflows",
        "remove quantization: the awq preset takes the Marlin kernel",
        id="float16 AWQ on Gemma 2",
    ),
    pytest.param(
        {"quantization": "gptq", **described(checkpoint="gptq", family="gemma")},
        {"quantization": "gptq", **described(checkpoint="gptq", family="gemma3")},
        "quantization",
        "gptq runs in float16, in which gemma3 overflows",
        "remove quantization: the gptq preset takes the Marlin kernel",
        id="float16 GPTQ on Gemma 3",
    ),
    pytest.param(
        {"version": "0.19.1", "accelerator": {"count": 2}, **described(checkpoint="bitsandbytes")},
        {"version": "0.10.0", "accelerator": {"count": 2}, **described(checkpoint="bitsandbytes")},
        "accelerator.count",
        "a bitsandbytes checkpoint cannot be split over GPUs",
        "use one GPU, or the model at its own precision",
        id="bitsandbytes over GPUs by version",
    ),
    pytest.param(
        {"version": "0.10.0", "accelerator": {"count": 1}, **described(checkpoint="bitsandbytes")},
        {"version": "0.10.0", "accelerator": {"count": 4}, **described(checkpoint="bitsandbytes")},
        "accelerator.count",
        "a bitsandbytes checkpoint cannot be split over GPUs",
        "use one GPU, or the model at its own precision",
        id="bitsandbytes over GPUs",
    ),
    pytest.param(
        {**NEW_TGI, "maxModelLen": 2},
        {**NEW_TGI, "maxModelLen": 1},
        "maxModelLen",
        "1 token does not hold a prompt and an output",
        "use 2 or more",
        id="least context of TGI",
    ),
    pytest.param(
        {"maxModelLen": 2},
        {"maxModelLen": 1},
        "maxModelLen",
        "1 token does not hold a prompt and an output",
        "use 2 or more",
        id="least context of vLLM",
    ),
    pytest.param(
        {"extraArgs": ["--max-model-len=2"]},
        {"extraArgs": ["--max-model-len=1"]},
        "maxModelLen",
        "1 token does not hold a prompt and an output",
        "use 2 or more",
        id="least context by an extra argument",
    ),
    pytest.param(
        {**NEW_TGI, "maxModelLen": 1024, "maxInputTokens": 1023},
        {**NEW_TGI, "maxModelLen": 1024, "maxInputTokens": 1024},
        "maxInputTokens",
        "1024 input tokens leave no room for output within 1024",
        "use 1023 or less",
        id="prompt of TGI",
    ),
    pytest.param(
        {**OLD_TGI, "maxInputTokens": 4095},
        {**OLD_TGI, "maxInputTokens": 4096},
        "maxInputTokens",
        "4096 input tokens leave no room for output within 4096",
        "use 4095 or less",
        id="prompt within the old default of TGI",
    ),
    pytest.param(
        {**OLD_TGI, **SHORT, "maxInputTokens": 2047},
        {**OLD_TGI, **SHORT, "maxInputTokens": 2048},
        "maxInputTokens",
        "2048 input tokens leave no room for output within 2048",
        "use 2047 or less",
        id="prompt within a short model on old TGI",
    ),
    pytest.param(
        {**NEW_TGI, "maxInputTokens": 8191},
        {**NEW_TGI, "maxInputTokens": 8192},
        "maxInputTokens",
        "8192 input tokens leave no room for output within 8192",
        "use 8191 or less",
        id="prompt within the model on new TGI",
    ),
    pytest.param(
        {**NEW_TGI, "maxModelLen": 1000, "maxInputTokens": 700, "maxOutputTokens": 300},
        {**NEW_TGI, "maxModelLen": 1000, "maxInputTokens": 701, "maxOutputTokens": 300},
        "maxInputTokens",
        "701 input and 300 output tokens are more than the context of 1000",
        "use 700 or less, or a longer maxModelLen",
        id="prompt and answer of TGI",
    ),
    pytest.param(
        {**OLD_TGI, "maxInputTokens": 1000, "maxBatchPrefillTokens": 1000},
        {**OLD_TGI, "maxInputTokens": 1000, "maxBatchPrefillTokens": 999},
        "maxBatchPrefillTokens",
        "999 is less than the longest prompt of 1000 tokens",
        "use 1000 or more, or a smaller maxInputTokens",
        id="prefill of old TGI",
    ),
    pytest.param(
        {**OLD_TGI, "maxModelLen": 1000, "maxOutputTokens": 200, "maxBatchPrefillTokens": 800},
        {**OLD_TGI, "maxModelLen": 1000, "maxOutputTokens": 200, "maxBatchPrefillTokens": 799},
        "maxBatchPrefillTokens",
        "799 is less than the longest prompt of 800 tokens",
        "use 800 or more, or a smaller maxInputTokens",
        id="prefill of what an answer leaves",
    ),
    pytest.param(
        {**OLD_TGI, "maxBatchPrefillTokens": 4095},
        {**OLD_TGI, "maxBatchPrefillTokens": 4094},
        "maxBatchPrefillTokens",
        "4094 is less than the longest prompt of 4095 tokens",
        "use 4095 or more, or a smaller maxInputTokens",
        id="prefill of old TGI's default prompt",
    ),
    pytest.param(
        {**NEW_TGI, "maxInputTokens": 1000, "maxBatchPrefillTokens": 1},
        {**OLD_TGI, "maxInputTokens": 1000, "maxBatchPrefillTokens": 1},
        "maxBatchPrefillTokens",
        "1 is less than the longest prompt of 1000 tokens",
        "use 1000 or more, or a smaller maxInputTokens",
        id="prefill by version of TGI",
    ),
    *(
        pytest.param(
            {**NEW_TGI, "kvCacheDtype": "fp8_e4m3", **described(headDim=inside)},
            {**NEW_TGI, "kvCacheDtype": "fp8_e4m3", **described(headDim=outside)},
            "kvCacheDtype",
            "an FP8 KV cache is not possible with this model",
            "leave it out, or use vLLM",
            id=f"FP8 KV cache of TGI with heads of {outside}",
        )
        for inside, outside in ((64, 63), (64, 80), (128, 96), (256, 512))
    ),
    pytest.param(
        {**NEW_TGI, "kvCacheDtype": "auto", "model": FALCON},
        {**NEW_TGI, "kvCacheDtype": "fp8_e5m2", "model": FALCON},
        "kvCacheDtype",
        "an FP8 KV cache is not possible with this model",
        "leave it out, or use vLLM",
        id="FP8 KV cache of TGI with Falcon",
    ),
]


@pytest.mark.parametrize(("inside", "outside", "path", "what", "fix"), RULES)
def test_a_rule_holds_from_its_bound_on(inside: Server, outside: Server, path: str, what: str, fix: str) -> None:
    plan_of(**inside)
    problem = only_problem(**outside)
    assert (problem.path, problem.what, problem.fix) == (f"servers.gemma.{path}", what, fix)
    assert problem.why


@pytest.mark.parametrize(
    ("server", "key", "value"),
    [
        ({}, "maxModelLen", 9000),
        ({}, "maxOutputTokens", 9000),
        (NEW_TGI, "maxModelLen", 9000),
        ({**NEW_TGI, "maxModelLen": 8192}, "maxOutputTokens", 8192),
        ({**OLD_TGI, "maxModelLen": 8192}, "maxOutputTokens", 8192),
    ],
    ids=["vllm context", "vllm answer", "tgi context", "tgi answer", "old tgi answer"],
)
def test_following_the_fix_of_a_limit_gives_a_plan(server: Server, key: str, value: int) -> None:
    problem = only_problem(**server, **{key: value})
    (number,) = re.findall(r"use (\d+) or less", problem.fix)
    plan_of(**server, **{key: int(number)})


@pytest.mark.parametrize(
    ("server", "answer"),
    [
        (NEW_TGI, 1),
        (NEW_TGI, 8191),
        (OLD_TGI, 4095),
        (OLD_TGI, 4096),
        (OLD_TGI, 8191),
    ],
)
def test_following_the_fix_for_an_answer_without_a_context_gives_a_plan(server: Server, answer: int) -> None:
    problem = only_problem(**server, maxOutputTokens=answer)
    assert (problem.path, problem.what) == (
        "servers.gemma.maxOutputTokens",
        "has no effect without maxModelLen",
    )
    (number,) = re.findall(r"add maxModelLen, more than that and (\d+) or less", problem.fix)
    plan_of(**server, maxOutputTokens=answer, maxModelLen=int(number))


@pytest.mark.parametrize("server", [OLD_TGI, NEW_TGI], ids=["old", "new"])
@pytest.mark.parametrize("answer", [8192, 9000])
def test_an_answer_beyond_the_model_on_tgi_is_not_sent_to_an_impossible_context(server: Server, answer: int) -> None:
    problem = only_problem(**server, maxOutputTokens=answer)
    assert (problem.path, problem.what) == (
        "servers.gemma.maxOutputTokens",
        f"{answer} output tokens leave no room for a prompt within 8192",
    )


def test_an_answer_beyond_the_context_of_tgi_is_one_problem() -> None:
    assert only_problem(**NEW_TGI, maxModelLen=2, maxOutputTokens=3).path == "servers.gemma.maxOutputTokens"


@pytest.mark.parametrize("server", [OLD_TGI, NEW_TGI], ids=["old", "new"])
def test_an_answer_of_tgi_without_a_context_is_refused_beside_a_prompt_too(server: Server) -> None:
    problem = only_problem(**server, maxInputTokens=1000, maxOutputTokens=100)
    assert (problem.path, problem.what, problem.fix) == (
        "servers.gemma.maxOutputTokens",
        "has no effect without maxModelLen",
        "add maxModelLen, more than that and 8192 or less",
    )


def test_problems_of_several_rules_are_reported_together() -> None:
    found = problems_of(
        maxModelLen=9000,
        maxOutputTokens=9000,
        maxNumSeqs=10,
        maxNumBatchedTokens=9,
        quantization="awq",
        accelerator={"count": 3},
    )
    assert {problem.path.removeprefix("servers.gemma.") for problem in found} == {
        *("maxModelLen", "maxOutputTokens", "maxNumBatchedTokens", "quantization", "accelerator.count")
    }


def test_fewer_kv_heads_than_gpus_are_no_problem() -> None:
    assert plan_of(**described(kvHeads=1), accelerator={"count": 8}).gpu_count == 8


# Explicit quantization and the checkpoint

PREQUANTISED = ("awq", "gptq", "compressed-tensors", "squeezellm")
CHECKPOINTS = ("none", "awq", "gptq", "fp8", "compressed-tensors", "squeezellm", "bitsandbytes")
# By quantization on vLLM: version that has it, and the checkpoints that it goes with.
ON_VLLM = {
    "awq": ("0.26.0", {"awq"}),
    "awq_marlin": ("0.26.0", {"awq"}),
    "auto_awq": ("0.33.0", {"awq"}),
    "gptq": ("0.26.0", {"gptq"}),
    "gptq_marlin": ("0.26.0", {"gptq"}),
    "auto_gptq": ("0.33.0", {"gptq"}),
    "compressed-tensors": ("0.26.0", {"compressed-tensors"}),
    "squeezellm": ("0.6.0", {"squeezellm"}),
    "fp8": ("0.26.0", {"none", "fp8"}),
    "bitsandbytes": ("0.26.0", {"none", "bitsandbytes"}),
}
ON_TGI = {
    "awq": {"awq"},
    "gptq": {"gptq"},
    "compressed-tensors": {"compressed-tensors"},
    "fp8": {"none", "fp8"},
    "eetq": {"none"},
    "bitsandbytes": {"none", "bitsandbytes"},
    "bitsandbytes-nf4": {"none"},
    "bitsandbytes-fp4": {"none"},
}
PAIRS = [
    *(("vllm", version, method, fits) for method, (version, fits) in ON_VLLM.items()),
    *(("tgi", "3.3.7", method, fits) for method, fits in ON_TGI.items()),
]


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
@pytest.mark.parametrize(
    ("server", "version", "method", "fits"), PAIRS, ids=[f"{server}-{method}" for server, _, method, _ in PAIRS]
)
def test_an_explicit_quantization_goes_with_exactly_its_checkpoints(
    server: str, version: str, method: str, fits: set[str], checkpoint: str
) -> None:
    asked = {"server": server, "version": version, "quantization": method, **described(checkpoint=checkpoint)}
    if checkpoint in fits:
        flag = "--quantization" if server == "vllm" else "--quantize"
        assert f"{flag}={method}" in arguments_of(**asked)
        return
    problem = only_problem(**asked)
    assert problem.path == "servers.gemma.quantization"
    if checkpoint == "none":
        preset = method.removeprefix("auto_").removesuffix("_marlin")
        assert problem.what == f"{method} needs a pre-quantized checkpoint, and me/mine is not one"
        assert problem.fix == f"use the {preset} preset, which proposes a checkpoint where one is known"
    else:
        assert problem.what == f"{method} does not match the checkpoint, which is {checkpoint}"
        assert problem.fix == "remove quantization; the server reads the method from the checkpoint"


@pytest.mark.parametrize("server", ["vllm", "tgi"])
@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_a_checkpoint_needs_no_quantization(server: str, checkpoint: str) -> None:
    if checkpoint == "squeezellm":
        problem = only_problem(server=server, **described(checkpoint=checkpoint))
        version = "0.26.0" if server == "vllm" else "3.3.7"
        assert problem.what == f"{server} {version} does not load squeezellm checkpoints"
        assert "SqueezeLLM" in problem.why
        return
    assert arguments_of(server=server, **described(checkpoint=checkpoint)) == ()


@pytest.mark.parametrize(
    ("version", "method", "what"),
    [
        ("0.26.0", "eetq", "vLLM 0.26.0 refuses --quantization: "),
        ("0.19.1", "auto_awq", "vLLM 0.19.1 refuses --quantization: "),
    ],
)
def test_a_quantization_that_the_version_does_not_have_is_refused(version: str, method: str, what: str) -> None:
    checkpoint = {"auto_awq": "awq"}.get(method, "none")
    problem = only_problem(version=version, quantization=method, **described(checkpoint=checkpoint))
    assert problem.path == "servers.gemma.quantization"
    assert problem.what.startswith(what)
    assert problem.fix == "leave the setting out, or use another version"


# What every technique behind a setting refuses: version, setting, and the technique's why and fix.
REFUSED_BY_TECHNIQUES = (
    [
        pytest.param(
            {"version": version, "quantization": "squeezellm", **described(checkpoint="squeezellm")},
            f"squeezellm is not possible with vllm {version}",
            "vLLM 0.6.0 was the last version with SqueezeLLM",
            "use the awq or gptq preset with a checkpoint of that format",
            id=f"squeezellm on {version}",
        )
        for version in ("0.9.0", "0.10.0")
    ]
    + [
        pytest.param(
            {"version": version, "quantization": "bitsandbytes"},
            f"bitsandbytes is not possible with vllm {version}",
            "bitsandbytes moved out of vLLM to the plugin vllm-bnb-plugin, which its image does not hold",
            "use the fp8 preset, or vLLM 0.26.0",
            id=f"bitsandbytes on {version}",
        )
        for version in ("0.30.0", "0.33.0")
    ]
    + [
        pytest.param(
            {**OLD_TGI, "kvCacheDtype": kind},
            f"{kind} is not possible with tgi 2.3.1",
            "TGI has an FP8 KV cache from 2.4.0 on",
            "use TGI 3.3.7, or vLLM",
            id=f"{kind} on TGI 2.3.1",
        )
        for kind in ("fp8_e4m3", "fp8_e5m2")
    ]
    + [
        pytest.param(
            {"version": "0.12.0", "kvCacheDtype": "fp8_e5m2"},
            "fp8_e5m2 is not possible with vllm 0.12.0",
            "the attention kernels of these versions read every FP8 KV cache as E4M3",
            "use fp8-kv-cache-e4m3",
            id="fp8_e5m2 on 0.12.0",
        )
    ]
)


@pytest.mark.parametrize(("server", "what", "why", "fix"), REFUSED_BY_TECHNIQUES)
def test_a_setting_that_every_technique_behind_it_refuses_is_refused_with_their_reason(
    server: Server, what: str, why: str, fix: str
) -> None:
    key = "kvCacheDtype" if "kvCacheDtype" in server else "quantization"
    found = problems_of(**server)
    assert {problem.path for problem in found} == {f"servers.gemma.{key}"}
    assert (what, why, fix) in [(problem.what, problem.why, problem.fix) for problem in found]


@pytest.mark.parametrize(
    "server",
    [
        {"version": "0.10.0", "quantization": "squeezellm", **described(checkpoint="squeezellm")},
        {"version": "0.33.0", "quantization": "bitsandbytes"},
        {**OLD_TGI, "kvCacheDtype": "fp8_e5m2"},
    ],
    ids=["squeezellm", "bitsandbytes", "KV cache of TGI"],
)
def test_a_setting_that_techniques_refuse_is_refused_once(server: Server) -> None:
    assert " refuses --" not in only_problem(**server).what


# Further rules of the servers


@pytest.mark.parametrize("method", ["exl2", "marlin"])
@pytest.mark.parametrize("version", ["2.3.1", "3.3.7"])
def test_tgi_formats_that_need_a_quantized_checkpoint_are_refused_without_one(version: str, method: str) -> None:
    problem = only_problem(server="tgi", version=version, model=GEMMA, quantization=method)
    assert problem.path == "servers.gemma.quantization"
    assert problem.what == f"{method} needs a pre-quantized checkpoint, and {GEMMA} is not one"
    assert problem.fix == "set model to a checkpoint of that format, or leave quantization out"


@pytest.mark.parametrize("method", ["exl2", "marlin"])
def test_no_preset_is_proposed_that_does_not_exist(method: str) -> None:
    problem = only_problem(**NEW_TGI, quantization=method)
    assert set(re.findall(r"use the (\S+) preset", problem.fix)) <= set(load_catalog().presets)


@pytest.mark.parametrize("server", [{"version": "0.6.0"}, {"version": "0.10.0", "kvCacheDtype": "fp8_e4m3"}])
def test_the_older_engine_wants_batches_as_long_as_the_context(server: Server) -> None:
    plan_of(**server, maxNumBatchedTokens=8192)
    plan_of(**server, maxNumBatchedTokens=4096, chunkedPrefill=True)
    problem = only_problem(**server, maxNumBatchedTokens=8191)
    assert problem.path == "servers.gemma.maxNumBatchedTokens"
    assert problem.what == "8191 is less than the context of 8192 tokens"
    assert problem.fix == "use 8192 or more, or chunkedPrefill: true"


@pytest.mark.parametrize("version", ["0.6.0", "0.9.2"])
def test_the_older_engine_reads_very_long_contexts_in_pieces_by_itself(version: str) -> None:
    at, beyond = described(maxPositions=32768), described(maxPositions=32769)
    assert isinstance(outcome(version=version, **at, maxNumBatchedTokens=32767), Refusal)
    plan_of(version=version, **beyond, maxNumBatchedTokens=4096)
    assert isinstance(outcome(version=version, **beyond, maxNumBatchedTokens=4096, chunkedPrefill=False), Refusal)


def test_the_newer_engine_reads_prompts_in_pieces_by_itself() -> None:
    plan_of(version="0.10.0", maxNumBatchedTokens=4096)
    plan_of(version="0.11.0", kvCacheDtype="fp8_e4m3", maxNumBatchedTokens=4096)


def test_an_fp8_kv_cache_of_tgi_with_deepseek_is_refused() -> None:
    server = {**NEW_TGI, **described(family="deepseek_v2", headDim=128)}
    problem = only_problem(**server, kvCacheDtype="fp8_e4m3")
    assert problem.path == "servers.gemma.kvCacheDtype"
    assert problem.what == "an FP8 KV cache is not possible with this model"


@pytest.mark.parametrize("model", [GEMMA_GPTQ, LLAMA_8B_AWQ])
def test_a_quantized_checkpoint_takes_any_type_of_kv_cache(model: str) -> None:
    for kind in ("auto", "fp8_e4m3", "fp8_e5m2"):
        assert arguments_of(model=model, kvCacheDtype=kind) == (f"--kv-cache-dtype={kind}",)


def test_a_long_context_is_no_problem_by_itself() -> None:
    assert arguments_of(**LONG, maxModelLen=131072) == ("--max-model-len=131072",)
