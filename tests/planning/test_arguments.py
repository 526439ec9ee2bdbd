"""Exact arguments of both servers, and the limits that the servers themselves check."""

from __future__ import annotations

from typing import Any

import pytest

from tests.planning.support import CATALOG, architecture, on_autopilot, only_problem, outcome_of
from tests.settings.support import autopilot_stack

MODEL = "google/gemma-7b-it"


@pytest.mark.parametrize(
    ("server", "arguments"),
    [
        ({}, (MODEL, "--port=8000", "--tensor-parallel-size=1")),
        (
            {"maxModelLen": 4096},
            (MODEL, "--port=8000", "--tensor-parallel-size=1", "--max-model-len=4096"),
        ),
        ({"accelerator": {"count": 2}}, (MODEL, "--port=8000", "--tensor-parallel-size=2")),
        (
            {"gpuMemoryUtilization": 0.95, "maxNumSeqs": 4},
            (
                *(MODEL, "--port=8000", "--tensor-parallel-size=1"),
                *("--gpu-memory-utilization=0.95", "--max-num-seqs=4"),
            ),
        ),
        (
            {"gpuMemoryUtilization": 1},
            (MODEL, "--port=8000", "--tensor-parallel-size=1", "--gpu-memory-utilization=1.0"),
        ),
        (
            {"prefixCaching": False, "chunkedPrefill": True, "enforceEager": False},
            (
                *(MODEL, "--port=8000", "--tensor-parallel-size=1"),
                *("--no-enable-prefix-caching", "--enable-chunked-prefill"),
            ),
        ),
        (
            {
                "enforceEager": True,
                "chunkedPrefill": False,
                "prefixCaching": True,
                "speculativeTokens": 3,
                "attentionBackend": "FLASHINFER",
                "maxNumBatchedTokens": 8192,
                "maxNumSeqs": 256,
                "gpuMemoryUtilization": 0.9,
                "maxOutputTokens": 512,
                "maxModelLen": 8192,
                "kvCacheDtype": "fp8_e4m3",
                "loadFormat": "safetensors",
                "quantization": "fp8",
                "accelerator": {"count": 8},
                "servedModelName": "gemma",
                "revision": "main",
            },
            (
                *(MODEL, "--port=8000", "--revision=main", "--served-model-name=gemma", "--tensor-parallel-size=8"),
                *("--quantization=fp8", "--load-format=safetensors", "--kv-cache-dtype=fp8_e4m3"),
                *("--max-model-len=8192", '--override-generation-config={"max_new_tokens":512}'),
                *("--gpu-memory-utilization=0.9", "--max-num-seqs=256", "--max-num-batched-tokens=8192"),
                "--attention-backend=FLASHINFER",
                '--speculative-config={"method":"ngram","num_speculative_tokens":3,"prompt_lookup_max":4}',
                *("--enable-prefix-caching", "--no-enable-chunked-prefill", "--enforce-eager"),
            ),
        ),
    ],
    ids=["nothing", "context", "two GPUs", "memory", "all memory", "switches", "everything"],
)
def test_vllm_gets_the_flags_that_were_asked_for_and_no_others(
    server: dict[str, Any], arguments: tuple[str, ...]
) -> None:
    plan = on_autopilot(**server)
    assert plan.command == ("vllm", "serve")
    assert plan.arguments == arguments


@pytest.mark.parametrize(
    ("server", "arguments"),
    [
        ({}, (f"--model-id={MODEL}", "--port=8080", "--num-shard=1")),
        (
            {"maxModelLen": 3072},
            (
                *(f"--model-id={MODEL}", "--port=8080", "--num-shard=1"),
                *("--max-input-tokens=3071", "--max-total-tokens=3072"),
            ),
        ),
        (
            {"maxModelLen": 3072, "maxInputTokens": 512, "maxBatchPrefillTokens": 512},
            (
                *(f"--model-id={MODEL}", "--port=8080", "--num-shard=1"),
                *("--max-input-tokens=512", "--max-total-tokens=3072", "--max-batch-prefill-tokens=512"),
            ),
        ),
        (
            {"maxInputTokens": 512},
            (f"--model-id={MODEL}", "--port=8080", "--num-shard=1", "--max-input-tokens=512"),
        ),
        (
            {"maxModelLen": 3072, "maxOutputTokens": 1024},
            (
                *(f"--model-id={MODEL}", "--port=8080", "--num-shard=1"),
                *("--max-input-tokens=2048", "--max-total-tokens=3072"),
            ),
        ),
        (
            {
                "speculativeTokens": 3,
                "cudaMemoryFraction": 0.8,
                "maxBatchPrefillTokens": 4096,
                "maxModelLen": 3072,
                "kvCacheDtype": "fp8_e4m3",
                "quantization": "eetq",
                "accelerator": {"count": 2},
                "revision": "v1",
            },
            (
                *(f"--model-id={MODEL}", "--port=8080", "--revision=v1", "--num-shard=2", "--quantize=eetq"),
                *("--kv-cache-dtype=fp8_e4m3fn", "--max-input-tokens=3071", "--max-total-tokens=3072"),
                *("--max-batch-prefill-tokens=4096", "--cuda-memory-fraction=0.8", "--speculate=3"),
            ),
        ),
    ],
    ids=["nothing", "context", "token limits", "prompt alone", "context and answer", "everything"],
)
def test_tgi_gets_the_flags_that_were_asked_for_and_no_others(
    server: dict[str, Any], arguments: tuple[str, ...]
) -> None:
    plan = on_autopilot(server="tgi", **server)
    assert plan.command == ()
    assert plan.arguments == arguments


def test_no_argument_of_either_server_is_split_by_a_space() -> None:
    for server in ("vllm", "tgi"):
        arguments = on_autopilot(server=server, maxModelLen=4096, revision="main").arguments
        assert not [argument for argument in arguments if " " in argument]


@pytest.mark.parametrize(
    ("server", "path", "what", "fix"),
    [
        (
            {"maxModelLen": 8193},
            "maxModelLen",
            "8193 tokens are more than the model's 8192",
            "use 8192 or less",
        ),
        (
            {"server": "tgi", "maxModelLen": 1024, "maxInputTokens": 1024},
            "maxInputTokens",
            "1024 input tokens leave no room for output within 1024",
            "use 1023 or less",
        ),
        (
            {"server": "tgi", "maxInputTokens": 8192},
            "maxInputTokens",
            "8192 input tokens leave no room for output within 8192",
            "use 8191 or less",
        ),
        (
            {"maxNumBatchedTokens": 63, "maxNumSeqs": 64},
            "maxNumBatchedTokens",
            "63 is less than maxNumSeqs 64",
            "use 64 or more",
        ),
        (
            {"server": "tgi", "maxModelLen": 1},
            "maxModelLen",
            "1 token does not hold a prompt and an output",
            "use 2 or more",
        ),
        (
            {"server": "tgi", "version": "2.3.1", "maxInputTokens": 2, "maxBatchPrefillTokens": 1},
            "maxBatchPrefillTokens",
            "1 is less than the longest prompt of 2 tokens",
            "use 2 or more, or a smaller maxInputTokens",
        ),
        (
            {"server": "tgi", "version": "2.3.1", "maxInputTokens": 4096},
            "maxInputTokens",
            "4096 input tokens leave no room for output within 4096",
            "use 4095 or less",
        ),
    ],
    ids=[
        *("context", "prompt", "prompt without context", "batch"),
        *("no room for a prompt", "prefill below prompt", "prompt beyond the default context"),
    ],
)
def test_limits_that_the_server_would_reject_are_refused(
    server: dict[str, Any], path: str, what: str, fix: str
) -> None:
    problem = only_problem(autopilot_stack(**server))
    assert (problem.path, problem.what, problem.fix) == (f"servers.gemma.{path}", what, fix)


@pytest.mark.parametrize(
    "server",
    [
        {"maxModelLen": 8192},
        {"server": "tgi", "maxModelLen": 1024, "maxInputTokens": 1023},
        {"maxNumBatchedTokens": 64, "maxNumSeqs": 64},
        {"server": "tgi", "maxModelLen": 2},
        {"server": "tgi", "version": "2.3.1", "maxInputTokens": 2, "maxBatchPrefillTokens": 2},
        {"server": "tgi", "version": "2.3.1", "maxInputTokens": 4095},
    ],
    ids=["context", "prompt", "batch", "shortest context", "prefill", "prompt without context"],
)
def test_limits_at_their_bound_are_planned(server: dict[str, Any]) -> None:
    on_autopilot(**server)


@pytest.mark.parametrize(
    ("model", "gpus", "divisors"),
    [("google/gemma-3-1b-it", 8, "1, 2, 4"), ("Qwen/Qwen2.5-7B-Instruct", 8, "1, 2, 4")],
)
def test_gpus_that_do_not_divide_the_heads_are_refused_with_counts_that_machines_have(
    model: str, gpus: int, divisors: str
) -> None:
    problem = only_problem(autopilot_stack(model=model, accelerator={"count": gpus}))
    heads = CATALOG.models[model].attention_heads
    assert problem.path == "servers.gemma.accelerator.count"
    assert problem.what == f"{gpus} GPUs cannot share {heads} attention heads"
    assert problem.fix == f"use one of: {divisors}"


@pytest.mark.parametrize("gpus", [1, 2, 4, 8])
@pytest.mark.parametrize("model", [name for name, facts in CATALOG.models.items() if facts.task == "generate"])
def test_a_model_is_refused_on_exactly_the_gpus_that_do_not_divide_its_heads(model: str, gpus: int) -> None:
    outcome = outcome_of(autopilot_stack(model=model, accelerator={"count": gpus}))
    divides = CATALOG.models[model].attention_heads % gpus == 0
    assert divides is ("attention heads" not in str(outcome))


def test_a_model_with_fewer_kv_heads_than_gpus_is_planned() -> None:
    plan = on_autopilot(model="google/gemma-3-1b-it", accelerator={"count": 4})
    assert "--tensor-parallel-size=4" in plan.arguments


def test_limits_of_a_described_model_are_those_of_its_description() -> None:
    described = {"model": "me/mine", "architecture": architecture(maxPositions=2048)}
    assert on_autopilot(**described, maxModelLen=2048).arguments[-1] == "--max-model-len=2048"
    assert only_problem(autopilot_stack(**described, maxModelLen=2049)).path == "servers.gemma.maxModelLen"
