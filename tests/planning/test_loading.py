"""Models of the catalog by server version, GPU and format: each is planned, or refused with a reason."""

from __future__ import annotations

from typing import Any

import pytest

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.planning.compatibility import setting_problems
from gke_llm_inference.planning.memory import MemoryRequest, plan_memory
from gke_llm_inference.planning.memory.from_settings import memory_request
from gke_llm_inference.planning.models import served_model
from gke_llm_inference.settings import TgiSettings, VllmSettings

CATALOG = load_catalog()
GENERATORS = [name for name, model in CATALOG.models.items() if model.task == "generate"]
UNMEASURED = [
    name
    for name in GENERATORS
    if CATALOG.models[name].experts or CATALOG.models[name].latent_width or CATALOG.models[name].vision_parameters
]


def problems(
    model: str, *, server: str = "vllm", version: str = "0.26.0", gpu: str = "nvidia-l4", **more: Any
) -> list[str]:
    """What is wrong with a server of that model, each with how to mend it."""
    kind = VllmSettings if server == "vllm" else TgiSettings
    accelerator = {"type": gpu, "count": more.pop("count", 8)}
    settings = kind.model_validate(
        {"server": server, "version": version, "model": model, "accelerator": accelerator, **more}, strict=False
    )
    served, of_model = served_model("s", settings, CATALOG)
    found = of_model if served is None else setting_problems("s", settings, version, served, CATALOG)
    return [f"{one.path}: {one.what}; {one.why}; {one.fix}" for one in found]


@pytest.mark.parametrize("gpu", CATALOG.accelerators)
def test_every_model_is_planned_or_refused_on_every_gpu(gpu: str) -> None:
    for name in (*CATALOG.models, *CATALOG.checkpoints, *CATALOG.unplanned_models):
        is_planned_or_refused(name, gpu)


def is_planned_or_refused(name: str, gpu: str) -> None:
    settings = VllmSettings.model_validate(
        {"server": "vllm", "model": name, "accelerator": {"type": gpu, "count": 1}}, strict=False
    )
    served, of_model = served_model("s", settings, CATALOG)
    assert (served is None) is bool(of_model)
    if served is None:
        return
    if setting_problems("s", settings, "0.26.0", served, CATALOG):
        return
    plan = plan_memory(memory_request("s", settings, "0.26.0", served, CATALOG.memory), CATALOG.memory)
    certain = not plan.unplanned
    assert plan.verdict in (("fits", "tight", "does not fit") if certain else ("estimated", "does not fit"))
    assert 0 <= plan.comfortable_context <= plan.largest_context <= served.architecture.max_positions


def request(name: str, **more: Any) -> MemoryRequest:
    model = CATALOG.models[name]
    return MemoryRequest(
        architecture=model,
        family=model.family,
        gpu_memory_mib=10**7,
        max_model_len=min(4096, model.max_positions),
        mla_width=model.latent_width,
        **more,
    )


@pytest.mark.parametrize("name", UNMEASURED)
def test_what_was_not_measured_is_estimated_however_much_room_there_is(name: str) -> None:
    plan = plan_memory(request(name), CATALOG.memory)
    assert (plan.verdict, plan.has_room, plan.calibrated) == ("estimated", True, False)
    assert plan.band_mib[1] > plan.band_mib[0] >= 0
    assert plan.reason.startswith(plan.unplanned[0].name)


@pytest.mark.parametrize("name", [name for name in GENERATORS if name not in UNMEASURED])
def test_a_dense_model_that_only_reads_is_not_estimated(name: str) -> None:
    assert plan_memory(request(name), CATALOG.memory).verdict == "fits"


@pytest.mark.parametrize("name", [name for name in UNMEASURED if CATALOG.models[name].experts])
def test_what_experts_take_and_give_is_within_the_bound(name: str) -> None:
    model = CATALOG.models[name]
    assert model.experts is not None
    asked = request(name, max_num_batched_tokens=8192)
    plan = plan_memory(asked, CATALOG.memory)
    # What vLLM's fused_experts_impl holds of every visited expert: its input and its output, in 16 bits.
    held = 2 * 8192 * model.experts.per_token * model.hidden_size / 2**20
    assert held <= plan.band_mib[1]


def test_latent_attention_unpacks_what_vllm_says_of_deepseek() -> None:
    known = CATALOG.models["deepseek-ai/DeepSeek-V3"]
    assert 2 * 192 * 128 * 64 * 1024 == 3 * 2**30
    assert known.attention_heads * known.head_dim == 192 * 128
    one, eight = (
        plan_memory(request("deepseek-ai/DeepSeek-V3", tensor_parallel=gpus), CATALOG.memory) for gpus in (1, 8)
    )
    assert one.band_mib[1] - eight.band_mib[1] >= 3 * 1024 * 7 / 8


def test_a_token_of_latent_attention_takes_576_values_of_a_layer() -> None:
    # vLLM's own comment on it: 576 values, here for each of 61 layers in 16 bits.
    assert plan_memory(request("deepseek-ai/DeepSeek-V3"), CATALOG.memory).kv_bytes_per_token == 70_272


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (
            {"model": "Qwen/Qwen3-8B", "version": "0.6.0"},
            "s.version: vllm 0.6.0 has no class of its own",
        ),
        ({"model": "openai/gpt-oss-20b", "version": "0.10.0"}, "s.model: vllm 0.10.0 does not load mxfp4 checkpoints"),
        ({"model": "openai/gpt-oss-20b", "version": "0.8.5"}, "s.model: vllm 0.8.5 does not load MXFP4"),
        ({"model": "openai/gpt-oss-20b", "gpu": "nvidia-tesla-t4"}, "MXFP4 needs a GPU of compute capability 8.0"),
        ({"model": "Qwen/Qwen3-8B-FP8", "version": "0.8.5", "gpu": "nvidia-a100-80gb"}, "FP8 by blocks needs a GPU of"),
        (
            {"model": "RedHatAI/Llama-3.1-8B-Instruct-NVFP4", "version": "0.8.5"},
            "NVFP4 needs a GPU of",
        ),
        ({"model": "meta-llama/Llama-3.1-405B-Instruct-FP8"}, "vllm 0.26.0 refuses FBGEMM's FP8 as deprecated"),
        (
            {"model": "openai/gpt-oss-20b", "server": "tgi", "version": "3.3.7"},
            "3.3.7 has no class of its own for gpt_oss",
        ),
        ({"model": "Qwen/Qwen3-8B", "server": "tgi", "version": "3.3.7"}, "use another server, such as vllm"),
        ({"model": "BAAI/bge-m3"}, "s.model: BAAI/bge-m3 is a model for embeddings"),
        (
            {"model": "intfloat/e5-mistral-7b-instruct"},
            "e5-mistral-7b-instruct is a model for embeddings;",
        ),
        (
            {"model": "Qwen/Qwen3-Next-80B-A3B-Instruct"},
            "A3B-Instruct has layers of linear attention",
        ),
        ({"model": "deepseek-ai/DeepSeek-V3.2"}, "s.model: deepseek-ai/DeepSeek-V3.2 has sparse attention"),
    ],
)
def test_what_a_version_or_a_gpu_does_not_load_is_refused(asked: dict[str, Any], found: str) -> None:
    told = problems(**asked)
    assert any(found in one for one in told), told


@pytest.mark.parametrize(
    "asked",
    [
        {"model": "Qwen/Qwen3-8B", "version": "0.10.0"},
        {"model": "openai/gpt-oss-20b", "gpu": "nvidia-l4"},
        {"model": "Qwen/Qwen3-8B-FP8", "version": "0.10.0", "gpu": "nvidia-a100-80gb"},
        {"model": "Qwen/Qwen3-8B-FP8", "version": "0.8.5"},
        {"model": "RedHatAI/Llama-3.1-8B-Instruct-NVFP4", "version": "0.26.0"},
        {"model": "meta-llama/Llama-3.1-405B-Instruct-FP8", "extraArgs": ["--allow-deprecated-quantization"]},
        {"model": "mistralai/Mixtral-8x7B-Instruct-v0.1", "server": "tgi", "version": "3.3.7"},
    ],
)
def test_what_a_version_and_a_gpu_load_is_not(asked: dict[str, Any]) -> None:
    assert [one for one in problems(**asked) if "maxModelLen" not in one] == []
