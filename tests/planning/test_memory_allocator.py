"""Quantization while weights are loaded: what torch's allocator holds, against a GPU and against vLLM 0.26.0."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.planning.memory import MemoryPlan, MemoryRequest, plan_memory
from gke_llm_inference.planning.memory.allocator import CachingAllocator, quantized_on_load_waste
from gke_llm_inference.settings.model_config import architecture_of
from tests.presets import configs
from tests.settings.support import PROPERTY

MIB = 2**20
FACTS = load_catalog().memory
LIMIT = 20 * MIB
QWEN_14B = {
    **configs.QWEN,
    "hidden_size": 5120,
    "intermediate_size": 13824,
    "num_attention_heads": 40,
    "num_hidden_layers": 48,
    "num_key_value_heads": 8,
}
# Weights in MiB, KV cache in MiB and in tokens of vLLM 0.26.0 under an L4's memory: FP8 on load, CUDA graphs, an empty
# compile cache, utilization 0.90, 256 sequences.
MEASURED: dict[str, tuple[dict[str, Any], int, float, float, int]] = {
    "Qwen2.5 14B": (QWEN_14B, 4096, 16_503.91, 2_182.97, 11_632),
    "Llama 2 13B": (configs.LLAMA_2_13B, 4096, 13_150.04, 6_710.33, 8_576),
    "Mistral 7B": (configs.MISTRAL, 32768, 7_176.71, 12_750.17, 102_000),
}
# Bytes of weights by matrix of a layer, layers, tables, and MiB that torch 2.11.0 had allocated on an H100 after the
# same requests with all blocks split.
ON_A_GPU = {
    "Qwen2.5 14B": ((5120 * 7168, 5120 * 5120, 10240 * 13824, 5120 * 13824), 48, (152064 * 10240,) * 2, 15_583.09),
    "Llama 2 13B": ((5120 * 15360, 5120 * 5120, 10240 * 13824, 5120 * 13824), 40, (32000 * 10240,) * 2, 12_728.08),
    "Qwen2.5 7B": ((3584 * 4608, 3584 * 3584, 7168 * 18944, 3584 * 18944), 28, (152064 * 7168,) * 2, 8_321.80),
}


def plan(config: dict[str, Any], context: int, **changes: Any) -> MemoryPlan:
    found = architecture_of(config, "it")
    request = MemoryRequest(
        architecture=found,
        family=found.family,
        gpu_memory_mib=22_561,
        gpu_memory_utilization=0.9,
        weights_format="fp8",
        max_model_len=context,
        accelerator="nvidia-l4",
    )
    return plan_memory(replace(request, **changes), FACTS)


@pytest.mark.parametrize("name", MEASURED)
def test_fp8_on_load_takes_what_was_measured(name: str) -> None:
    config, context, weights, pool, tokens = MEASURED[name]
    found = plan(config, context)
    assert found.weights_mib == pytest.approx(weights, abs=1)
    assert found.cold.kv_cache_mib == pytest.approx(pool, abs=2)
    assert found.cold.kv_cache_tokens == pytest.approx(tokens, rel=0.005)


def test_an_fp8_checkpoint_has_no_such_waste() -> None:
    # Its weights lie in memory as they were loaded: nothing is allocated and freed in between.
    assert plan(QWEN_14B, 4096).weights_mib - plan(QWEN_14B, 4096, weights_format="ctfp8").weights_mib > 700


@pytest.mark.parametrize(("version", "wastes"), [("0.20.0", False), ("0.21.0", True), ("0.26.0", True)])
def test_only_versions_that_do_not_split_blocks_waste_them(version: str, wastes: bool) -> None:
    exact = 15_580
    assert (plan(QWEN_14B, 4096, version=version).weights_mib - exact > 700) is wastes


@pytest.mark.parametrize("name", ON_A_GPU)
def test_the_allocator_is_the_one_of_torch(name: str) -> None:
    layer, layers, tables, measured = ON_A_GPU[name]
    positions = {"Llama 2 13B": 4096}.get(name, 32768) * 128 * 2
    waste = quantized_on_load_waste((*tables, positions), layer, layers, 2, None)
    asked = sum(tables) + positions + layers * sum(layer)
    assert (asked + waste) / MIB == pytest.approx(measured, abs=0.1)


@pytest.mark.parametrize(
    ("size", "taken"), [(0.5, 0.5), (1.5, 1.5), (5, 5), (9, 9), (11, 12), (11.5, 12), (25, 26), (67.5, 68), (135, 136)]
)
def test_a_fresh_block_is_as_large_as_on_a_gpu(size: float, taken: float) -> None:
    allocator = CachingAllocator(None)
    allocator.allocate(int(size * MIB))
    assert allocator.allocated == taken * MIB


@pytest.mark.parametrize(("rest", "kept"), [(0.25, 0.25), (1, 1), (1.25, 0), (2, 0), (19, 0), (21, 0), (60, 0)])
def test_a_freed_block_is_split_where_more_than_1_mib_is_left(rest: float, kept: float) -> None:
    allocator = CachingAllocator(None)
    allocator.release(allocator.allocate(100 * MIB))
    allocator.allocate(int((100 - rest) * MIB))
    assert allocator.allocated == (100 - rest + kept) * MIB


@pytest.mark.parametrize(("size", "taken"), [(100, 100), (81, 100), (80, 80), (50, 50), (19, 20)])
def test_above_the_limit_a_block_is_taken_whole_or_not_at_all(size: int, taken: int) -> None:
    allocator = CachingAllocator(LIMIT)
    allocator.release(allocator.allocate(100 * MIB))
    allocator.allocate(size * MIB)
    assert allocator.allocated == taken * MIB


@PROPERTY
@given(
    requests=st.lists(st.tuples(st.integers(1, 300 * MIB), st.booleans()), max_size=40),
    limit=st.sampled_from([None, LIMIT]),
)
def test_what_is_given_back_is_gone(requests: list[tuple[int, bool]], limit: int | None) -> None:
    allocator = CachingAllocator(limit)
    held = []
    for size, keep in requests:
        before = allocator.allocated
        block = allocator.allocate(size)
        assert allocator.allocated - before >= size
        if block is not None:
            held.append(block)
            if not keep:
                allocator.release(held.pop())
    for block in held:
        allocator.release(block)
    small = sum(-(-size // 512) * 512 for size, _ in requests if -(-size // 512) * 512 <= MIB)
    assert allocator.allocated == small
