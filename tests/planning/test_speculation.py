"""Speculation: its arguments by version, what the second model takes of memory, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_llm_inference.planning.memory import plan_memory
from gke_llm_inference.planning.memory.of_catalog import memory_request_of
from gke_llm_inference.planning.memory.request import Draft
from gke_llm_inference.planning.speculation import expected_tokens, head_parameters
from gke_llm_inference.settings import Refusal
from tests.planning.support import CATALOG, UNFIT, outcome_of, planned, problems_of, standard_stack
from tests.settings.support import PROPERTY

if TYPE_CHECKING:
    from tests.settings.support import Raw

POOLS = {"l4": {"accelerator": {"type": "nvidia-l4", "count": 1}, "maxNodes": 8}}
COMMIT = "a" * 40
TARGET = "meta-llama/Llama-3.1-8B-Instruct"
SMALL = "meta-llama/Llama-3.2-1B-Instruct"
DRAFT: Raw = {"method": "draftModel", "model": SMALL, "revision": COMMIT, "numSpeculativeTokens": 3}
EAGLE: Raw = {"method": "eagle3", "model": "yuhuili/EAGLE3-LLaMA3.1-Instruct-8B", "revision": COMMIT}
EAGLE = {**EAGLE, "numSpeculativeTokens": 2}
NGRAM: Raw = {"method": "ngram", "numSpeculativeTokens": 4}
SERVER: Raw = {"server": "vllm", "model": TARGET, "maxModelLen": 4096, **UNFIT}
GENERATORS = sorted(name for name, facts in CATALOG.models.items() if facts.task == "generate")


def one(speculation: Raw, **server: Any) -> Raw:
    return standard_stack(POOLS, {"s": {**SERVER, "speculation": speculation, **server}})


def config(speculation: Raw, **server: Any) -> Any:
    (plan,) = planned(one(speculation, **server)).servers
    (text,) = [argument for argument in plan.arguments if argument.startswith("--speculative-config=")]
    return json.loads(text.partition("=")[2])


@pytest.mark.parametrize("version", ["0.10.0", "0.19.1", "0.26.0", "0.33.0"])
def test_n_grams_are_the_same_in_every_version(version: str) -> None:
    assert config(NGRAM, version=version) == {"method": "ngram", "num_speculative_tokens": 4}
    bounds = {**NGRAM, "promptLookupMin": 2, "promptLookupMax": 5}
    expected = {"method": "ngram", "num_speculative_tokens": 4, "prompt_lookup_max": 5, "prompt_lookup_min": 2}
    assert config(bounds, version=version) == expected


def test_a_second_model_is_named_with_its_commit_and_split_like_the_first() -> None:
    common = {"revision": COMMIT, "draft_tensor_parallel_size": 1}
    draft = {"method": "draft_model", "model": SMALL, "num_speculative_tokens": 3, **common}
    assert config(DRAFT) == draft
    eagle = {"method": "eagle3", "model": EAGLE["model"], "num_speculative_tokens": 2, **common}
    assert config(EAGLE) == eagle


def test_both_models_are_in_the_memory_plan() -> None:
    (alone,) = planned(standard_stack(POOLS, {"s": SERVER})).servers
    (both,) = planned(one(DRAFT)).servers
    assert alone.memory is not None
    assert both.memory is not None
    # Weights of 1,235,814,400 parameters in bf16 and a rotary table of 131,072 positions of 64.
    assert both.memory.weights_mib - alone.memory.weights_mib == pytest.approx(
        (2 * 1_235_814_400 + 131_072 * 64 * 2) / 2**20, rel=1e-6
    )
    # 16 layers of 8 heads of 64, keys and values in bf16, beside 32 layers of 8 heads of 128.
    assert alone.memory.kv_bytes_per_token == 32 * 2 * 8 * 128 * 2
    assert both.memory.kv_bytes_per_token == alone.memory.kv_bytes_per_token + 16 * 2 * 8 * 64 * 2
    assert both.memory.state.kv_cache_tokens < alone.memory.state.kv_cache_tokens
    assert not both.memory.calibrated


def test_a_head_is_estimated_and_a_stated_size_takes_its_place() -> None:
    (estimated,) = planned(one(EAGLE)).servers
    (stated,) = planned(one({**EAGLE, "parameters": 425_000_000})).servers
    (alone,) = planned(standard_stack(POOLS, {"s": SERVER})).servers
    assert estimated.memory is not None
    assert stated.memory is not None
    assert alone.memory is not None
    assert estimated.memory.weights_mib > stated.memory.weights_mib > alone.memory.weights_mib
    assert stated.memory.kv_bytes_per_token == alone.memory.kv_bytes_per_token + 2 * 8 * 128 * 2
    hidden, vocabulary = 4096, 128256
    attention = 2 * hidden * (32 + 2 * 8) * 128 + hidden * hidden
    expected = attention + 3 * hidden * 14336 + 3 * hidden * hidden + 2 * vocabulary * hidden
    assert head_parameters(CATALOG.models[TARGET]) == expected


@given(
    name=st.sampled_from(GENERATORS),
    layers=st.integers(1, 64),
    kv_heads=st.sampled_from([1, 2, 8, 32]),
    head_dim=st.sampled_from([64, 128, 256]),
    weights=st.integers(1, 2 * 10**10),
    gpu=st.sampled_from([22561, 80000, 140000]),
    context=st.integers(2, 4096),
)
@PROPERTY
def test_speculation_never_needs_less_memory(
    name: str, layers: int, kv_heads: int, head_dim: int, weights: int, gpu: int, context: int
) -> None:
    own = memory_request_of(CATALOG.models[name], "bf16", "nvidia-l4", 1, CATALOG)
    request = replace(own, gpu_memory_mib=float(gpu), max_model_len=context)
    draft = Draft(
        name="acme/draft",
        layers=layers,
        kv_heads=kv_heads,
        head_dim=head_dim,
        weights_bytes=weights,
        rotary_positions=4096,
    )
    alone = plan_memory(request, CATALOG.memory)
    both = plan_memory(replace(request, draft=draft), CATALOG.memory)
    assert both.weights_mib > alone.weights_mib
    assert both.load_peak_mib >= alone.load_peak_mib
    assert both.needed_mib >= alone.needed_mib
    assert both.state.kv_cache_mib <= alone.state.kv_cache_mib
    assert both.state.kv_cache_tokens <= alone.state.kv_cache_tokens


REFUSED: list[tuple[Raw, Raw, str, str]] = [
    ({**DRAFT, "model": "Qwen/Qwen2.5-0.5B-Instruct"}, {}, "speculation.model", "a vocabulary of 151936 tokens"),
    ({**DRAFT, "model": TARGET}, {}, "speculation.model", "is not smaller than"),
    ({**DRAFT, "model": "meta-llama/Llama-3.2-1B-Instrukt"}, {}, "speculation.model", "is not in the catalog"),
    ({**DRAFT, "tensorParallelSize": 2}, {}, "speculation.tensorParallelSize", "is 2 beside 1 GPUs"),
    (DRAFT, {"version": "0.10.0"}, "speculation.method", "is not known to have draft models"),
    (NGRAM, {"version": "0.6.0", "maxNumBatchedTokens": 4096}, "speculation.method", "is not known to speculate"),
    (EAGLE, {"version": "0.10.0", "model": "Qwen/Qwen2.5-7B-Instruct"}, "speculation.method", "have eagle3 for qwen2"),
    (NGRAM, {"speculativeTokens": 3}, "speculation", "stands beside speculativeTokens"),
    (NGRAM, {"presets": ["ngram-speculation"]}, "speculation", "stands beside speculativeTokens"),
    (NGRAM, {"extraArgs": ['--speculative-config={"method":"suffix"}']}, "extraArgs[0]", "would replace what"),
    (DRAFT, {"presets": ["cost"]}, "presets[0]", "cannot choose for a server with a second model"),
    (
        DRAFT,
        {"modelVolume": {"claim": "models", "storage": "filestore"}},
        "speculation.model",
        "would be downloaded from Hugging Face by a server",
    ),
    ({**NGRAM, "promptLookupMin": 5, "promptLookupMax": 2}, {}, "speculation", "looks up n-grams of 5 to 2 tokens"),
    ({**NGRAM, "acceptanceRate": 1.5}, {}, "speculation.acceptanceRate", ""),
    ({**DRAFT, "revision": "main"}, {}, "speculation.revision", ""),
    ({**NGRAM, "numSpeculativeTokens": 0}, {}, "speculation.numSpeculativeTokens", ""),
]


@pytest.mark.parametrize(("speculation", "server", "path", "what"), REFUSED)
def test_what_cannot_work_is_refused(speculation: Raw, server: Raw, path: str, what: str) -> None:
    problems = problems_of(one(speculation, **server))
    matching = [problem for problem in problems if problem.path.startswith(f"servers.s.{path}")]
    assert len(matching) == 1, problems
    assert what in matching[0].what
    assert matching[0].fix


def test_a_gated_draft_needs_the_token() -> None:
    server = {**SERVER, "model": "deepseek-ai/DeepSeek-R1-Distill-Llama-8B", "speculation": DRAFT}
    raw = {**standard_stack(POOLS, {"s": server}), "huggingFace": {"tokenSource": "none"}}
    (problem,) = problems_of(raw)
    assert problem.path == "servers.s.speculation.model"
    assert "is gated and the stack has no Hugging Face token" in problem.what


def test_a_server_that_embeds_does_not_speculate() -> None:
    server = {"server": "vllm", "task": "embed", "model": "BAAI/bge-m3", "speculation": NGRAM}
    assert [one.path for one in problems_of(standard_stack(POOLS, {"s": server}))] == ["servers.s.speculation"]


def test_a_gain_is_stated_only_with_an_acceptance_rate() -> None:
    for rate, said in ((None, "no gain is"), (0.6, "2.18 tokens")):
        speculation = {**DRAFT, **({"acceptanceRate": rate} if rate is not None else {})}
        (plan,) = planned(one(speculation)).servers
        (decision,) = [decision for decision in plan.decisions if decision.origin == "speculation"]
        assert said in decision.why
    assert expected_tokens(3, 0.6) == pytest.approx((1 - 0.6**4) / (1 - 0.6))
    assert (expected_tokens(4, 0), expected_tokens(4, 1)) == (1, 5)


@given(
    method=st.sampled_from([DRAFT, EAGLE, NGRAM]),
    model=st.sampled_from(GENERATORS),
    version=st.sampled_from(["0.6.0", "0.10.0", "0.19.1", "0.26.0", "0.33.0"]),
    guesses=st.integers(1, 16),
)
@PROPERTY
def test_there_is_a_plan_or_a_refusal(method: Raw, model: str, version: str, guesses: int) -> None:
    raw = one({**method, "numSpeculativeTokens": guesses}, model=model, version=version, maxModelLen=512)
    outcome = outcome_of(raw)
    assert isinstance(outcome, Refusal) or outcome.servers
