"""The arithmetic of a model's part on one GPU, counted by hand."""

from dataclasses import replace

import pytest

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.catalog.facts import Experts
from gke_llm_inference.planning.performance.shapes import accounts_for, shapes_of
from tests.performance.support import EXPERTS, WINDOW, architecture, request

BITS = load_catalog().memory.vllm.weights


def matrices(model: object, **changes: object) -> list[tuple[float, float]]:
    shapes = shapes_of(request(model, **changes), BITS)  # type: ignore[arg-type]
    return [(linear.inputs, linear.outputs) for linear in shapes.linears]


def test_llama_has_four_matrices_a_layer() -> None:
    assert matrices("meta-llama/Llama-3.1-8B-Instruct") == [(4096, 6144), (4096, 4096), (4096, 28672), (14336, 4096)]


def test_two_gpus_halve_heads_and_blocks_but_not_the_residual_stream() -> None:
    found = matrices("meta-llama/Llama-3.1-8B-Instruct", tensor_parallel=2)
    assert found == [(4096, 3072), (2048, 4096), (4096, 14336), (7168, 4096)]


def test_a_block_without_a_gate_has_one_matrix_less() -> None:
    assert matrices("tiiuae/falcon-40b-instruct")[2] == (8192, 32768)


# Their first layers, or every other one, have no experts: a shape that is not modeled.
SEVERAL_KINDS = {
    "deepseek-ai/DeepSeek-R1",
    "deepseek-ai/DeepSeek-R1-0528",
    "deepseek-ai/DeepSeek-V2-Lite-Chat",
    "deepseek-ai/DeepSeek-V3",
    "deepseek-ai/DeepSeek-V3-0324",
    "deepseek-ai/DeepSeek-V3.1",
    "meta-llama/Llama-4-Maverick-17B-128E-Instruct",
    "moonshotai/Kimi-K2-Instruct",
    "zai-org/GLM-4.5",
    "zai-org/GLM-4.6",
}


@pytest.mark.parametrize("name", sorted(load_catalog().models))
def test_every_model_of_the_catalog_is_counted_to_the_parameters_it_has_or_not_planned(name: str) -> None:
    given = load_catalog().models[name]
    asked = request(given)
    assert accounts_for(asked, BITS) == (name not in SEVERAL_KINDS)
    assert accounts_for(replace(asked, tensor_parallel=2), BITS) == (name not in SEVERAL_KINDS)


def test_every_expert_is_held_and_two_are_visited() -> None:
    shapes = shapes_of(request(architecture(experts=EXPERTS)), BITS)
    assert [(one.copies, one.visited) for one in shapes.linears] == [(1, 1), (1, 1), (8, 2), (8, 2)]


def test_experts_of_their_own_width_stand_beside_what_every_token_visits() -> None:
    experts = Experts(count=8, per_token=2, intermediate_size=16, shared_intermediate_size=24)
    shapes = shapes_of(request(architecture(experts=experts)), BITS)
    assert [(one.inputs, one.outputs, one.copies, one.visited) for one in shapes.linears[2:]] == [
        (32, 32, 8, 2),
        (16, 32, 8, 2),
        (32, 48, 1, 1),
        (24, 32, 1, 1),
    ]


def test_latent_attention_keeps_one_compressed_entry_per_token() -> None:
    assert shapes_of(request(architecture(latent_width=576)), BITS).kv_token_bytes == 576 * 2


def test_a_token_of_cache_is_keys_and_values_of_every_kv_head() -> None:
    assert shapes_of(request(), BITS).kv_token_bytes == 2 * 8 * 128 * 2
    assert shapes_of(request(kv_cache_dtype="fp8"), BITS).kv_token_bytes == 2 * 8 * 128


def test_windowed_layers_are_counted_apart() -> None:
    shapes = shapes_of(request(architecture(sliding_window=WINDOW)), BITS)
    assert (shapes.layers, shapes.windowed, shapes.window) == (2, 1, 512)


@pytest.mark.parametrize(("name", "bits"), [("bf16", 16), ("fp8", 8), ("awq", 4.15625), ("gptq", 4.125)])
def test_weights_are_read_at_the_bits_of_their_format(name: str, bits: float) -> None:
    assert shapes_of(request(weights_format=name), BITS).weight_bytes == pytest.approx(bits / 8, rel=1e-2)
