"""Servers that embed, rank or classify: their arguments by version, their memory, routes and refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_llm_inference.catalog.memory_facts import pooling_path
from gke_llm_inference.planning.memory import MemoryRequest, plan_memory
from gke_llm_inference.planning.memory.of_catalog import memory_request_of
from gke_llm_inference.settings import Refusal
from tests.planning.support import CATALOG, architecture, outcome_of, planned, problems_of, standard_stack

if TYPE_CHECKING:
    from tests.settings.support import Raw

POOLS = {"l4": {"accelerator": {"type": "nvidia-l4", "count": 1}, "maxNodes": 8}}
EMBED: Raw = {"server": "vllm", "task": "embed", "model": "BAAI/bge-m3"}
RERANK: Raw = {"server": "vllm", "task": "rerank", "model": "BAAI/bge-reranker-v2-m3"}
QWEN: Raw = {"server": "vllm", "task": "embed", "model": "Qwen/Qwen3-Embedding-4B", "maxModelLen": 8192}
E5: Raw = {"server": "vllm", "task": "embed", "model": "intfloat/e5-mistral-7b-instruct"}
POOLING = sorted(name for name, model in CATALOG.models.items() if model.task != "generate")


def stack(servers: Raw, **keys: Any) -> Raw:
    return {**standard_stack(POOLS, servers), "huggingFace": {"tokenSource": "none"}, **keys}


def one(server: Raw, **keys: Any) -> Raw:
    return stack({"s": server}, **keys)


def pooling_arguments(server: Raw) -> list[str]:
    (plan,) = planned(one(server)).servers
    flags = ("--runner", "--task", "--hf-overrides", "--max-model-len")
    return [argument for argument in plan.arguments if argument.startswith(flags)]


@pytest.mark.parametrize(
    ("server", "arguments"),
    [
        (EMBED, ["--max-model-len=8192", "--runner=pooling"]),
        ({**EMBED, "version": "0.33.0"}, ["--max-model-len=8192", "--runner=pooling"]),
        ({**EMBED, "version": "0.10.0"}, ["--max-model-len=8192", "--task=embed"]),
        ({**RERANK, "version": "0.10.0"}, ["--max-model-len=8192", "--task=score"]),
        ({**RERANK, "maxModelLen": 512}, ["--max-model-len=512", "--runner=pooling"]),
        (
            {**RERANK, "model": "Qwen/Qwen3-Reranker-4B", "maxModelLen": 4096},
            [
                "--max-model-len=4096",
                "--runner=pooling",
                '--hf-overrides={"architectures":["Qwen3ForSequenceClassification"],'
                '"classifier_from_token":["no","yes"],"is_original_qwen3_reranker":true}',
            ],
        ),
    ],
)
def test_a_version_is_told_to_pool_in_its_own_words(server: Raw, arguments: list[str]) -> None:
    assert pooling_arguments(server) == arguments


@pytest.mark.parametrize("model", POOLING)
def test_every_model_that_embeds_or_ranks_is_planned_without_a_kv_cache(model: str) -> None:
    task = CATALOG.models[model].task
    (server,) = planned(one({"server": "vllm", "task": task, "model": model, "maxModelLen": 512})).servers
    assert server.task == task
    assert server.memory is not None
    state = server.memory.state
    assert (state.kv_cache_mib, state.kv_cache_tokens, state.blocks, state.max_concurrency) == (0, 0, 0, 0)
    assert server.memory.verdict == ("estimated" if CATALOG.models[model].encoder_only else "fits")
    assert server.memory.summary.endswith("no KV cache to plan; inputs of up to 512 tokens, 256 in a step")


@given(
    model=st.sampled_from(POOLING),
    context=st.integers(1, 8192),
    tokens=st.none() | st.integers(256, 32768),
    sequences=st.integers(1, 256),
    gpu=st.sampled_from([15360, 22561, 40000, 80000]),
    starts=st.sampled_from([None, "cold", "warm", "restarts", "both"]),
)
def test_a_server_that_pools_never_gets_a_kv_budget(
    model: str, context: int, tokens: int | None, sequences: int, gpu: int, starts: Any
) -> None:
    facts = CATALOG.models[model]
    context = min(context, facts.max_positions)
    request = MemoryRequest(
        architecture=facts,
        family=facts.family,
        gpu_memory_mib=float(gpu),
        max_model_len=context,
        max_num_seqs=sequences,
        max_num_batched_tokens=tokens,
        compile_cache=starts,
        pooling=True,
    )
    plan = plan_memory(request, CATALOG.memory)
    for state in (plan.cold, plan.warm):
        assert (state.kv_cache_mib, state.kv_cache_tokens, state.max_concurrency) == (0, 0, 0)
    assert plan.gib()["kvCacheGib"] == 0
    if facts.encoder_only:
        assert (plan.kv_bytes_per_token, plan.needed_mib) == (0, 0)
        assert tokens is not None or plan.limits.max_num_batched_tokens >= context


@pytest.mark.parametrize(
    "row", [json.loads(line) for line in pooling_path().read_text("utf-8").splitlines()], ids=lambda row: row["id"]
)
def test_memory_is_as_measured(row: dict[str, Any]) -> None:
    model = CATALOG.models[row["model"]]
    request = replace(
        memory_request_of(model, row["weights_format"], "nvidia-l4", 1, CATALOG),
        max_model_len=row["max_model_len"],
        max_num_batched_tokens=row["max_num_batched_tokens"],
        gpu_memory_utilization=row["gpu_memory_utilization"],
        compile_cache=row.get("compile_cache"),
    )
    plan = plan_memory(request, CATALOG.memory)
    assert plan.weights_mib == pytest.approx(row["weights_mib"], rel=0.004)
    if "peak_activation_mib" in row:
        assert plan.cold.activation_mib == pytest.approx(row["peak_activation_mib"], rel=0.07)
        left = plan.budget_mib - plan.weights_mib - plan.cold.activation_mib
        assert left - plan.cold.non_torch_mib - plan.cold.cuda_graphs_mib == pytest.approx(
            row["available_kv_mib"], rel=0.01
        )
    else:
        # Nothing of an encoder's start goes beyond the plan by more than a small part of its band.
        assert row["start_peak_mib"] <= plan.state.activation_mib + 16
        assert plan.band_mib[1] >= plan.state.activation_mib


def test_a_server_that_embeds_and_one_that_ranks_share_a_hostname() -> None:
    gateway = {"exposure": "internal", "hostname": "a.example.com", "tls": {"source": "secret", "secretName": "tls"}}
    raw = stack({"embed": EMBED, "rerank": RERANK, "chat": {"server": "vllm", "model": "Qwen/Qwen2.5-7B-Instruct"}})
    access = planned({**raw, "gateway": gateway}).access
    assert access is not None
    routes = {server.name: [route.path for route in server.routes] for server in access.servers}
    assert routes["embed"] == ["/v1/embeddings"]
    assert routes["rerank"] == ["/v1/rerank", "/v1/score"]
    assert "/v1/chat/completions" in routes["chat"]


ENCODER = architecture(encoderOnly=True, family="bert", kvHeads=32)


@pytest.mark.parametrize(
    ("server", "path", "what", "fix"),
    [
        ({**EMBED, "task": "generate"}, "model", "BAAI/bge-m3 is a model for embeddings", "set task: embed, or use a"),
        ({**EMBED, "task": "rerank"}, "task", "is a model for embeddings, not for ranking", "set task: embed, or use"),
        ({**RERANK, "task": "classify"}, "task", "is a model for ranking, not for classes", "set task: rerank, or use"),
        (
            {**EMBED, "model": "google/gemma-7b-it"},
            "task",
            "is a model for text, not for embeddings",
            "remove task, or",
        ),
        (
            {**EMBED, "model": "acme/x", "architecture": ENCODER, "task": "generate"},
            "task",
            "is an encoder",
            "set task",
        ),
        ({**EMBED, "server": "tgi"}, "task", "TGI does not embed", "use server vllm"),
        (
            {**EMBED, "model": "intfloat/e5-mistral-7b-instruct", "version": "0.6.0"},
            "version",
            "vLLM 0.6.0 is not known to embed",
            "use 0.10.0 or newer",
        ),
        ({**EMBED, "maxNumBatchedTokens": 4096}, "maxNumBatchedTokens", "4096 is less than", "use 8192 or more"),
        ({**EMBED, "prefixCaching": True}, "prefixCaching", "is not for an encoder", "remove it"),
        ({**EMBED, "quantization": "fp8"}, "quantization", "fp8 is not known to work with an encoder", "remove it"),
        ({**QWEN, "kvCacheDtype": "fp8_e4m3"}, "kvCacheDtype", "means nothing for a server that embeds", "remove it"),
        ({**QWEN, "workload": {"profile": "chat"}}, "workload", "means nothing for a server that embeds", "remove it"),
        ({**QWEN, "maxOutputTokens": 64}, "maxOutputTokens", "means nothing for a server that embeds", "remove it"),
        ({**QWEN, "speculativeTokens": 2}, "speculativeTokens", "means nothing for a server that embeds", "remove it"),
        ({**QWEN, "presets": ["cost"]}, "presets[0]", "cost cannot choose for a server that embeds", "remove it, and"),
        ({**QWEN, "modelRunner": "V2"}, "modelRunner", "V2 does not embed", "remove it"),
        ({**QWEN, "extraArgs": ["--runner=generate"]}, "extraArgs[0]", "--runner follows from the task", "remove it"),
    ],
)
def test_what_does_not_go_with_a_task_is_refused(server: Raw, path: str, what: str, fix: str) -> None:
    found = {problem.path: problem for problem in problems_of(one(server))}
    problem = found[f"servers.s.{path}"]
    assert what in problem.what
    assert problem.fix.startswith(fix)


def test_a_path_that_no_key_guards_is_not_let_through() -> None:
    described = {**EMBED, "task": "classify", "model": "acme/spam", "architecture": ENCODER}
    gateway = {"exposure": "internal", "hostname": "a.example.com", "tls": {"source": "secret", "secretName": "tls"}}
    keys = {"apiKeys": {"source": "config"}}
    assert not isinstance(outcome_of(one(described, gateway=gateway)), Refusal)
    (problem,) = [
        problem
        for problem in problems_of(one({**described, **keys}, gateway=gateway))
        if problem.path == "servers.s.exposure"
    ]
    assert problem.what == "vLLM 0.26.0 answers /classify without an API key"


def test_alerts_and_targets_are_those_of_a_server_that_pools() -> None:
    watched = {"observability": {"metrics": {"enabled": True}, "alerts": {"enabled": True}}}
    scaled = {**EMBED, "autoscaling": {"minReplicas": 1, "maxReplicas": 3}}
    plan = planned(one(scaled, **watched))
    kinds = {alert.kind for alert in plan.observability.alerts if alert.server == "s"}
    assert kinds == {"noReplica", "crashLoop", "queue", "idleGpus"}
    missing = {one.kind: one.why for one in plan.observability.not_watched}
    assert missing["kvCacheFull"] == missing["timeToFirstToken"] == "it generates no text"
    (server,) = plan.servers
    assert server.autoscaling is not None
    assert (server.shutdown.longest.tokens, server.shutdown.longest.basis) == (8192, "assumed")
