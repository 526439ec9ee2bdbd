"""Mixtures of experts, latent attention and models that see, from their config.json: sizes, checkpoints, refusals."""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_llm_inference.catalog import GIB
from gke_llm_inference.catalog.facts import Experts, SlidingWindow
from gke_llm_inference.catalog.model_family_facts import model_families
from gke_llm_inference.planning import plan_stack
from gke_llm_inference.planning.checkpoint_size import checkpoint_gib
from gke_llm_inference.settings import ArchitectureSettings, Refusal, parse_settings
from gke_llm_inference.settings.model_config import architecture_of, read_architecture
from gke_llm_inference.settings.server_files import with_files
from tests.planning.support import IDENTITY, existing_stack, problems_of
from tests.presets import configs, families
from tests.settings.support import PROPERTY

if TYPE_CHECKING:
    from pathlib import Path

    from gke_llm_inference.planning import StackPlan
    from tests.presets.configs import Config

PATH = "servers.it.configFile"
# What is said of the checkpoints elsewhere, in parameters.
PUBLISHED = {
    # total_size of its model.safetensors.index.json, 61,064,245,248 bytes at 16 bits
    "QWEN3_30B": 30_532_122_624,
    # total_size of google/gemma-3-4b-it's index, 8,600,158,944 bytes at 16 bits
    "GEMMA3_4B_BARE": 4_300_079_472,
    # safetensors.parameters on the models' pages
    "LLAMA4_SCOUT": 108_641_793_536,
    "MAVERICK": 401_583_781_376,
    "MIXTRAL_8X22B": 140_620_634_112,
    "QWEN2_VL_7B": 8_291_375_616,
    # OpenAI's gpt-oss model card (arXiv 2508.10925), table 1
    "GPT_OSS_20B": 20_900_000_000,
    # README of deepseek-ai/DeepSeek-V3: 671B of the main model
    "DEEPSEEK_V3": 671_000_000_000,
    # huggingface/huggingface.js#2182, counted in the tensors' headers
    "DEEPSEEK_V2_LITE": 15_710_000_000,
    "QWEN15_MOE": 14_320_000_000,
    # the models' cards
    "GLM_45_AIR": 106_900_000_000,
    "PHI35_MOE": 41_900_000_000,
}
HALF_A_PERCENT = 0.005


def read(config: Config, **changes: Any) -> ArchitectureSettings:
    return architecture_of({key: value for key, value in {**config, **changes}.items() if value is not ...}, PATH)


def refused(config: Config, **changes: Any) -> list[str]:
    with pytest.raises(Refusal) as caught:
        read(config, **changes)
    assert [problem for problem in caught.value.problems if not (problem.path == PATH and problem.why)] == []
    return [problem.what for problem in caught.value.problems]


def size_gib(found: ArchitectureSettings) -> float:
    return checkpoint_gib(found, found.checkpoint, found.checkpoint_bits, found.checkpoint_group_size)


def stack_of(tmp_path: Path, config: Config, **server: Any) -> StackPlan:
    """The plan of a stack with one vLLM server whose config.json that is."""
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    raw = existing_stack({"it": {"server": "vllm", "model": "me/mine", "configFile": "config.json", **server}})
    return plan_stack(with_files(parse_settings(raw), tmp_path), IDENTITY)


# Parameters


@pytest.mark.parametrize("name", families.FAMILIES)
def test_parameters_are_those_of_the_tensors(name: str) -> None:
    found = read(families.FAMILIES[name]).parameters
    assert found == pytest.approx(families.PARAMETERS[name], rel=1e-6)


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_those_that_are_published(name: str) -> None:
    assert read(families.FAMILIES[name]).parameters == pytest.approx(PUBLISHED[name], rel=HALF_A_PERCENT)


def test_a_layer_that_predicts_further_tokens_is_downloaded_and_not_loaded() -> None:
    found = read(families.DEEPSEEK_V3)
    # README of deepseek-ai/DeepSeek-V3: 685B on Hugging Face, 671B of the main model and 14B of the further layer.
    assert found.parameters + found.unloaded_parameters == pytest.approx(685_000_000_000, rel=HALF_A_PERCENT)
    assert read(families.DEEPSEEK_V3, num_nextn_predict_layers=0).unloaded_parameters == 0
    assert read(families.DEEPSEEK_V3, num_nextn_predict_layers=...).parameters == found.parameters


@pytest.mark.parametrize("key", ["num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts"])
def test_experts_count_by_any_of_their_names_in_any_family(key: str) -> None:
    dense, width = read(families.QWEN3_8B), 1024
    changes = {key: 64, "num_experts_per_tok": 4, "moe_intermediate_size": width}
    found = read(families.QWEN3_8B, **changes)
    block, router = 3 * 4096 * width, 4096
    assert found.parameters - dense.parameters == 36 * (64 * (block + router) - 3 * 4096 * 12288)
    assert found.experts == Experts(count=64, per_token=4, intermediate_size=width)


@pytest.mark.parametrize(
    ("changes", "sparse"),
    [
        ({}, 48),
        ({"mlp_only_layers": [0, 1, 47]}, 45),
        ({"decoder_sparse_step": 2}, 24),
        ({"decoder_sparse_step": 3, "mlp_only_layers": [2]}, 15),
        ({"first_k_dense_replace": 3}, 45),
        ({"moe_layer_freq": 2}, 24),
        ({"moe_layer_freq": [0, 1] * 24}, 24),
        ({"mlp_layer_types": ["dense"] * 8 + ["sparse"] * 40}, 40),
        ({"moe_layers": [1, 3, 5]}, 3),
    ],
)
def test_layers_without_experts_have_a_dense_block(changes: Config, sparse: int) -> None:
    block, experts = 3 * 2048 * 6144, 128 * (3 * 2048 * 768 + 2048)
    without = read(families.QWEN3_30B).parameters - 48 * experts
    assert read(families.QWEN3_30B, **changes).parameters == without + sparse * experts + (48 - sparse) * block


@pytest.mark.parametrize(
    ("name", "shared", "visited"),
    [("QWEN15_MOE", 5632, 4 * 1408), ("DEEPSEEK_V2_LITE", 2 * 1408, 6 * 1408), ("LLAMA4_SCOUT", 8192, 8192)],
)
def test_what_every_token_visits_is_part_of_the_experts(name: str, shared: int, visited: int) -> None:
    experts = read(families.FAMILIES[name]).experts
    assert experts is not None
    assert experts.shared_intermediate_size == shared
    assert experts.per_token * (experts.intermediate_size or 0) == visited


def test_names_for_one_number_that_differ_are_refused() -> None:
    (what,) = refused(families.QWEN3_30B, num_local_experts=64)
    assert what == "num_experts and num_local_experts differ"
    assert read(families.QWEN3_30B, num_local_experts=128).experts == read(families.QWEN3_30B).experts


# KV cache


@pytest.mark.parametrize(
    ("name", "token_bytes"),
    [
        ("DEEPSEEK_V3", 61 * (512 + 64) * 2),
        ("DEEPSEEK_V2_LITE", 27 * (512 + 64) * 2),
        ("QWEN3_30B", 48 * 2 * 4 * 128 * 2),
        ("GPT_OSS_20B", 24 * 2 * 8 * 64 * 2),
    ],
)
def test_a_token_takes_what_its_attention_keeps(tmp_path: Path, name: str, token_bytes: int) -> None:
    gpus = {"type": "nvidia-h200-141gb", "count": 8, "memoryMib": 143_000}
    # Such machines attach no disk for which GKE has a StorageClass: the model lies on their local SSDs.
    on_nodes = {"resources": {"ephemeralStorageGib": 1500}}
    limits = {"maxModelLen": 4096, "accelerator": gpus, "allowUnfit": True, **on_nodes}
    (server,) = stack_of(tmp_path, families.FAMILIES[name], **limits).servers
    assert server.memory is not None
    latent = "DEEPSEEK" in name
    # Compressed keys and values are copied to every GPU, heads are split.
    kv_heads = {"QWEN3_30B": 4, "GPT_OSS_20B": 8}.get(name, 1)
    assert server.memory.kv_bytes_per_token == token_bytes // (1 if latent else min(8, kv_heads))


def test_latent_attention_is_not_assumed_where_the_server_caches_every_head(tmp_path: Path) -> None:
    limits = {"maxModelLen": 2048, "allowUnfit": True, "presets": []}
    (new,) = stack_of(tmp_path, families.DEEPSEEK_V2_LITE, **limits).servers
    (old,) = stack_of(tmp_path, families.DEEPSEEK_V2_LITE, version="0.6.0", **limits).servers
    assert new.memory is not None
    assert old.memory is not None
    assert old.memory.kv_bytes_per_token == 27 * 2 * 16 * 192 * 2
    assert new.memory.kv_bytes_per_token == 27 * 576 * 2


def test_layers_with_a_window_are_read_by_kind() -> None:
    assert read(families.GPT_OSS_20B).sliding_window == SlidingWindow(size=128, layers=12)
    assert read(families.GEMMA3_4B_BARE).sliding_window == SlidingWindow(size=1024, layers=29)
    assert read(families.LLAMA4_SCOUT).sliding_window is None


@pytest.mark.parametrize(
    ("pattern", "windowed"),
    [("LLLG", 48), ("LG", 32), ("L", 64), ("G", 0), ("", 0), (4, 48)],
)
def test_a_pattern_of_windows_may_be_in_letters(pattern: Any, windowed: int) -> None:
    exaone = {**families.QWEN3_8B, "model_type": "exaone4", "num_hidden_layers": 64, "sliding_window": 4096}
    window = read(exaone, sliding_window_pattern=pattern, use_sliding_window=...).sliding_window
    assert (window.layers if window else 0) == windowed


def test_a_list_of_full_attention_is_no_state() -> None:
    assert read(families.MINIMAX_M2, attn_type_list=...) == read(families.MINIMAX_M2)
    assert refused(families.MINIMAX_M2, attn_type_list=[0, 1] * 31) == [
        "it is a model with layers that do not attend to all tokens through a KV cache"
    ]


def test_the_type_of_the_whole_model_comes_before_that_of_its_part() -> None:
    # As files saved by newer transformers have it: the part keeps the type that it was made with.
    part = {**families.LLAMA4_SCOUT["text_config"], "torch_dtype": "float32"}
    assert read(families.LLAMA4_SCOUT, text_config=part).dtype == "bfloat16"
    assert read(families.LLAMA4_SCOUT, text_config=part, torch_dtype=...).dtype == "float32"


@pytest.mark.parametrize(
    ("whole", "part", "tied"), [(False, True, False), (True, False, False), (True, True, True), (..., True, True)]
)
def test_embeddings_are_tied_where_nothing_says_otherwise(whole: Any, part: bool, tied: bool) -> None:
    text = {**families.QWEN3_VL_8B["text_config"], "tie_word_embeddings": part}
    assert read(families.QWEN3_VL_8B, text_config=text, tie_word_embeddings=whole).tied_embeddings is tied


def test_a_window_that_is_not_used_may_be_zero() -> None:
    # As transformers saves Qwen's files.
    assert read(families.QWEN15_MOE, sliding_window=0) == read(families.QWEN15_MOE)


def test_a_part_may_say_how_it_is_quantized() -> None:
    part = {**families.LLAMA4_SCOUT["text_config"], "quantization_config": configs.AWQ}
    assert read(families.LLAMA4_SCOUT, text_config=part).checkpoint == "awq"


# Plans


@pytest.mark.parametrize(
    ("name", "gib"),
    [
        ("QWEN3_30B", 61_064_245_248 / GIB),
        ("GEMMA3_4B_BARE", 8_600_158_944 / GIB),
        ("LLAMA4_SCOUT", 2 * 108_641_793_536 / GIB),
        # total_size of openai/gpt-oss-20b's index
        ("GPT_OSS_20B", 13_761_264_768 / GIB),
    ],
)
def test_the_size_of_a_checkpoint_is_that_of_its_files(name: str, gib: float) -> None:
    assert size_gib(read(families.FAMILIES[name])) == pytest.approx(gib, rel=1e-6)


def test_fp8_of_the_real_deepseek_v3_is_read() -> None:
    found = read(families.DEEPSEEK_V3)
    assert found.checkpoint == "fp8"
    # A byte for each weight, and two for embeddings, norms and routers.
    copies = 2 * 129280 * 7168
    kept = 2 * 129280 * 7168 + found.unquantized_parameters
    weights = found.parameters + found.unloaded_parameters
    assert size_gib(found) == pytest.approx((weights + kept + copies) / GIB, rel=1e-6)


def test_a_mixture_of_experts_does_not_fit_where_its_active_part_would(tmp_path: Path) -> None:
    with pytest.raises(Refusal) as caught:
        stack_of(tmp_path, families.QWEN3_30B, maxModelLen=4096)
    (problem,) = caught.value.problems
    assert problem.what == "does not fit 1 × nvidia-l4"
    assert problem.why == "loading 56.88 GiB of weights takes 56.88 GiB of 22.03 GiB"


def test_deepseek_v3_does_not_fit_eight_gpus_of_80_gib(tmp_path: Path) -> None:
    gpus = {"type": "nvidia-h100-80gb", "count": 8}
    with pytest.raises(Refusal) as caught:
        stack_of(tmp_path, families.DEEPSEEK_V3, maxModelLen=4096, accelerator=gpus)
    assert [problem.what for problem in caught.value.problems if "fit" in problem.what] == [
        "does not fit 8 × nvidia-h100-80gb"
    ]


def test_weights_of_a_vision_tower_lie_on_the_gpu(tmp_path: Path) -> None:
    sees = stack_of(tmp_path, families.QWEN25_VL_7B, maxModelLen=4096).servers[0].memory
    text = {key: value for key, value in families.QWEN25_VL_7B.items() if key != "vision_config"}
    reads = stack_of(tmp_path, text, maxModelLen=4096).servers[0].memory
    assert sees is not None
    assert reads is not None
    assert sees.weights_mib - reads.weights_mib == pytest.approx(676_550_144 * 2 / 2**20, abs=2)
    assert not sees.calibrated


def test_quantization_leaves_a_vision_tower_alone(tmp_path: Path) -> None:
    awq = {**families.QWEN25_VL_7B, "quantization_config": {**configs.AWQ, "modules_to_not_convert": ["visual"]}}
    found = read(awq)
    assert found.unquantized_parameters > 676_550_144
    memory = stack_of(tmp_path, awq, maxModelLen=4096).servers[0].memory
    assert memory is not None
    embeddings, tower = 2 * 152064 * 3584, found.unquantized_parameters
    linear = found.parameters - embeddings - tower
    assert memory.weights_mib == pytest.approx((2 * (embeddings + tower) + linear * 4.1795 / 8) / 2**20, rel=0.01)


# Checkpoints


@pytest.mark.parametrize(
    ("listed", "kept"),
    [
        ([], 0),
        (["lm_head"], 0),
        (["re:.*self_attn.*"], 36 * (4096 * 4096 * 2 + 2 * 4096 * 1024)),
        (["re:.*\\.self_attn\\.(q|k)_proj$"], 36 * (4096 * 4096 + 4096 * 1024)),
        (["model.layers.0.self_attn.q_proj"], 4096 * 4096),
        (["model.layers.*.mlp.down_proj"], 36 * 4096 * 12288),
        (["mlp"], 36 * 3 * 4096 * 12288),
        (["layers.35"], 4096 * 4096 * 2 + 2 * 4096 * 1024 + 3 * 4096 * 12288),
        (["model.layers.3.self_attn.qkv_proj"], 4096 * 4096 + 2 * 4096 * 1024),
        (["language_model.model.layers.3.feed_forward.gate_up_proj"], 2 * 4096 * 12288),
        (["re:.*feed_forward.w2"], 36 * 4096 * 12288),
        (["re:.*attention\\..*"], 36 * (4096 * 4096 * 2 + 2 * 4096 * 1024)),
        (["re:vision_tower.*", "re:.*lm_head.*", "re:.*norm.*"], 0),
    ],
)
def test_modules_that_a_checkpoint_lists_stay_at_16_bits(listed: list[str], kept: int) -> None:
    quantization = {**configs.COMPRESSED_FP8, "ignore": listed}
    found = read(families.QWEN3_8B, quantization_config=quantization)
    assert found.unquantized_parameters - read(families.QWEN3_8B).unquantized_parameters == kept


def test_what_a_checkpoint_does_not_target_stays_at_16_bits() -> None:
    def kept(targets: list[str]) -> int:
        group = {**configs.COMPRESSED_FP8["config_groups"]["group_0"], "targets": targets}
        quantization = {**configs.COMPRESSED_FP8, "config_groups": {"group_0": group}}
        found = read(families.QWEN3_30B, quantization_config=quantization)
        return found.unquantized_parameters - read(families.QWEN3_30B).unquantized_parameters

    attention = 48 * (2048 * 4096 * 2 + 2 * 2048 * 512)
    experts = 48 * 128 * 3 * 2048 * 768
    assert kept(["Linear"]) == kept([]) == 0
    assert kept(["re:.*mlp.experts.*"]) == kept(["re:.*block_sparse_moe.experts.*"]) == attention
    assert kept(["re:.*self_attn.*"]) == experts
    assert kept(["re:.*self_attn.*", "Linear"]) == 0


def test_the_ignore_list_of_kimi_k2_leaves_the_experts_alone_at_4_bits() -> None:
    group = {"targets": ["Linear"], "weights": {"group_size": 32, "num_bits": 4, "type": "int"}}
    ignored = ["self_attn.*", "shared_experts.*", "mlp\\.(gate|up|gate_up|down)_proj.*", "lm_head.*"]
    found = read(
        {**families.DEEPSEEK_V3, "model_type": "kimi_k2", "n_routed_experts": 384, "num_nextn_predict_layers": 0},
        quantization_config={
            "config_groups": {"group_0": group},
            "format": "pack-quantized",
            "ignore": [*(f"re:.*{name}" for name in ignored), "re:vision_tower.*", "re:mm_projector.*"],
            "quant_method": "compressed-tensors",
        },
    )
    experts = 58 * 384 * 3 * 7168 * 2048
    embeddings = 2 * 129280 * 7168
    assert found.parameters - found.unquantized_parameters - embeddings == experts
    assert (found.checkpoint_bits, found.checkpoint_group_size) == (4, 32)


@pytest.mark.parametrize("pattern", ["re:(a+)+$", "re:[", "re:" + "x" * 3000, "re:.*.*.*.*.*.*.*b", "re:(?=x)"])
def test_a_pattern_that_is_not_understood_is_refused(pattern: str) -> None:
    (what,) = refused(families.QWEN3_8B, quantization_config={**configs.COMPRESSED_FP8, "ignore": [pattern]})
    assert what == "it leaves modules unquantized by patterns that are not understood"


@pytest.mark.parametrize(
    ("quantization", "what"),
    [
        ({**configs.AWQ, "bits": 8}, "its awq weights have a number of bits that is not supported"),
        ({**configs.GPTQ, "bits": 3}, "its gptq weights have a number of bits that is not supported"),
        ({**configs.GPTQ, "dynamic": {"+:.*down.*": {"bits": 8}}}, "its weights have different numbers of bits"),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {
                    "a": {"weights": {"num_bits": 4, "type": "int"}},
                    "b": {"weights": {"num_bits": 8, "type": "int"}},
                },
            },
            "its weights have different numbers of bits",
        ),
        (
            {"quant_method": "compressed-tensors", "config_groups": {"a": {"weights": {"num_bits": 2}}}},
            "its compressed-tensors weights have a number of bits that is not supported",
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"a": {"weights": {"num_bits": 4, "type": "float"}}},
            },
            "its weights are 4-bit floating point, which is not supported",
        ),
    ],
)
def test_weights_of_a_size_that_is_not_planned_are_refused(quantization: Config, what: str) -> None:
    assert refused(families.QWEN3_8B, quantization_config=quantization) == [what]


def test_smaller_groups_take_more() -> None:
    usual = read(families.QWEN3_8B, quantization_config=configs.AWQ)
    small = read(families.QWEN3_8B, quantization_config={**configs.AWQ, "group_size": 32})
    assert (usual.checkpoint_group_size, small.checkpoint_group_size) == (None, 32)
    linear = usual.parameters - usual.unquantized_parameters - 2 * 151936 * 4096
    assert size_gib(small) - size_gib(usual) == pytest.approx(linear * 20 * (1 / 32 - 1 / 128) / 8 / GIB)


def test_8_bits_of_bitsandbytes_are_not_taken_for_4() -> None:
    eight = {"quant_method": "bitsandbytes", "load_in_8bit": True, "load_in_4bit": False}
    found = read(families.QWEN3_8B, quantization_config=eight)
    assert found.checkpoint_bits == 8
    assert size_gib(found) > 1.4 * size_gib(read(families.QWEN3_8B, quantization_config=configs.BITSANDBYTES))


@pytest.mark.parametrize(
    ("server", "version", "method", "loads"),
    [
        ("vllm", "0.26.0", "mxfp4", True),
        ("vllm", "0.10.0", "mxfp4", False),
        ("tgi", "3.3.7", "mxfp4", False),
        ("vllm", "0.26.0", "squeezellm", False),
        ("tgi", "3.3.7", "squeezellm", False),
        ("tgi", "2.3.1", "compressed-tensors", False),
        ("tgi", "3.3.7", "compressed-tensors", True),
        ("vllm", "0.33.0", "bitsandbytes", False),
    ],
)
def test_a_checkpoint_is_refused_where_the_version_does_not_load_it(
    tmp_path: Path, server: str, version: str, method: str, loads: bool
) -> None:
    quantization = configs.COMPRESSED_FP8 if method == "compressed-tensors" else {"quant_method": method}
    config = {**configs.LLAMA_8B, "quantization_config": quantization}

    def planned() -> StackPlan:
        return stack_of(tmp_path, config, server=server, version=version, maxModelLen=2048)

    if loads:
        assert planned().servers
        return
    with pytest.raises(Refusal) as caught:
        planned()
    (problem,) = [one for one in caught.value.problems if "does not load" in one.what]
    assert (problem.path, problem.what) == (PATH, f"{server} {version} does not load {method} checkpoints")
    if method == "squeezellm":
        assert "SqueezeLLM" in problem.why


# Keys that are not known


@PROPERTY
@given(
    config=st.sampled_from(list(families.FAMILIES.values())),
    key=st.from_regex(r"[a-z]{3,12}_(size|rank|layers|dim|experts|heads)", fullmatch=True),
    value=st.one_of(st.integers(1, 100_000), st.just(True), st.lists(st.integers(1, 9), min_size=1, max_size=3)),
)
def test_a_key_that_is_not_known_is_refused_by_name(config: Config, key: str, value: object) -> None:
    if key in config or key in config.get("text_config", {}):
        return
    try:
        architecture_of({**config, key: value}, PATH)
    except Refusal:
        return
    # What is read must change what is planned, or be on the list of what changes nothing.
    read_keys = set().union(*(family.own_keys() for family in model_families().families.values()))
    known = model_families().harmless_keys | read_keys
    assert key in known or architecture_of({**config, key: value}, PATH) != architecture_of(config, PATH)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("moe_shared_expert_width", 512),
        ("num_extra_experts", 8),
        ("adapter_rank", 64),
        ("index_n_heads", 64),
        ("use_second_mlp", True),
        ("audio_config", {"hidden_size": 1280}),
        ("per_layer_config", [{"intermediate_size": 1}]),
        ("ffn_config", {"ffn_hidden_size": 10752}),
    ],
)
def test_keys_that_may_change_sizes_are_refused(key: str, value: object) -> None:
    (what,) = refused(families.QWEN3_30B, **{key: value})
    assert what == f"it has keys that are not known here: {key}"
    nested = {**families.LLAMA4_SCOUT, "text_config": {**families.LLAMA4_SCOUT["text_config"], key: value}}
    assert refused(nested) == [f"it has keys that are not known here: text_config.{key}"]
    # A null stands for what the family does anyway.
    assert read(families.QWEN3_30B, **{key: None}) == read(families.QWEN3_30B)


def test_a_key_of_a_vision_tower_that_is_not_known_is_refused() -> None:
    tower = {**families.QWEN25_VL_7B["vision_config"], "second_tower_depth": 12}
    assert refused(families.QWEN25_VL_7B, vision_config=tower) == [
        "it has keys that are not known here: vision_config.second_tower_depth"
    ]


def test_a_switch_of_another_family_says_nothing_while_it_is_off() -> None:
    assert read(families.QWEN3_8B, use_qkv_bias=False, mlp_bias=False) == read(families.QWEN3_8B)
    assert refused(families.QWEN3_8B, use_qkv_bias=True) == ["it has keys that are not known here: use_qkv_bias"]


def test_keys_that_say_how_a_model_was_made_or_is_run_are_not_asked_about() -> None:
    # As files of SmolLM2, of quantized copies and of older versions of transformers have them.
    said = {
        "_name_or_path": "/checkpoints/final",
        "add_cross_attention": False,
        "is_llama_config": True,
        "neftune_noise_alpha": 0.0,
        "pruned_heads": {},
        "task_specific_params": None,
        "transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16"}},
        "unsloth_version": "2025.1.1",
        "use_bfloat16": False,
    }
    assert read(configs.LLAMA_8B, **said) == read(configs.LLAMA_8B)


def test_what_is_not_a_name_is_not_shown() -> None:
    token = "hf_" + "a1B2" * 8
    (what,) = refused(families.QWEN3_8B, **{token: 1})
    assert token not in what
    assert what == "it has keys that are not known here: one that is not a name"


def test_a_vision_tower_that_is_not_known_is_refused() -> None:
    tower = {"hidden_size": 3200, "model_type": "intern_vit_6b", "num_hidden_layers": 45}
    assert refused({**configs.LLAMA_8B, "model_type": "internvl_chat"}, vision_config=tower) == [
        "its vision tower is of a kind that is not known"
    ]
    assert refused(families.QWEN25_VL_7B, vision_config={"hidden_size": 1280, "depth": 0, "out_hidden_size": 3584}) == [
        "vision_config.depth is missing or not a positive whole number"
    ]


# Models that do not generate


@pytest.mark.parametrize(
    "config",
    [
        {**configs.MISTRAL, "architectures": ["MistralModel"]},
        {**families.QWEN3_8B, "architectures": ["Qwen3ForSequenceClassification"]},
        {**configs.LLAMA_8B, "architectures": ["LlamaForTokenClassification"]},
        {"architectures": ["BertModel"], "model_type": "bert", "hidden_size": 768},
        {"architectures": ["XLMRobertaForSequenceClassification"], "model_type": "xlm-roberta"},
        {"model_type": "modernbert", "hidden_size": 768},
    ],
)
def test_a_model_for_embeddings_or_ranking_is_refused(config: Config) -> None:
    assert refused(config) == ["it is a model for embeddings, ranking or classification"]


@pytest.mark.parametrize("name", ["modules.json", "config_sentence_transformers.json", "1_Pooling"])
def test_an_embedding_model_is_told_by_what_lies_beside_its_config(tmp_path: Path, name: str) -> None:
    # Qwen/Qwen3-Embedding-8B has the config.json of the generator that it was made from.
    (tmp_path / "config.json").write_text(json.dumps(families.QWEN3_8B), encoding="utf-8")
    assert read_architecture(tmp_path / "config.json", PATH) == read(families.QWEN3_8B)
    (tmp_path / name).mkdir()
    with pytest.raises(Refusal) as caught:
        read_architecture(tmp_path / "config.json", PATH)
    assert [one.what for one in caught.value.problems] == ["it is a model for embeddings, ranking or classification"]


@pytest.mark.parametrize(
    "model",
    [
        *("Qwen/Qwen3-Embedding-8B", "Qwen/Qwen3-Reranker-4B", "me/my-embedder", "org/llama-embed-nemotron-8b"),
        *("Skywork/Skywork-Reward-Llama-3.1-8B", "jinaai/jina-colbert-v2", "Alibaba-NLP/gte-Qwen2-7B-instruct"),
        *("BAAI/bge-m3", "sentence-transformers/all-mpnet-base-v2"),
    ],
)
def test_an_embedding_model_is_told_by_its_name(tmp_path: Path, model: str) -> None:
    with pytest.raises(Refusal) as caught:
        stack_of(tmp_path, families.QWEN3_8B, model=model, maxModelLen=2048)
    (problem,) = caught.value.problems
    assert problem.path == "servers.it.model"
    assert problem.what == f"{model} is a model for embeddings or ranking, by its name"


@pytest.mark.parametrize(
    "model", ["me/embedded-systems-coder", "me/rewarding-llama", "embedding-team/llama", "me/gteach"]
)
def test_other_names_are_not_taken_for_embedding_models(tmp_path: Path, model: str) -> None:
    assert stack_of(tmp_path, families.QWEN3_8B, model=model, maxModelLen=2048).servers


def test_an_encoder_decoder_is_refused() -> None:
    whisper = {
        "architectures": ["WhisperForConditionalGeneration"],
        "is_encoder_decoder": True,
        "model_type": "whisper",
    }
    assert refused(whisper) == ["it is an encoder-decoder model"]


@pytest.mark.parametrize(
    "changes",
    [
        {"linear_num_value_heads": 32, "linear_conv_kernel_dim": 4},
        {"layer_types": ["linear_attention", "linear_attention", "linear_attention", "full_attention"] * 12},
        {"mamba_d_state": 16},
        {"ssm_cfg": {"d_state": 16}},
        {"layer_types": ["conv", "full_attention"] * 24},
    ],
)
def test_a_model_that_keeps_a_state_is_refused_for_that(changes: Config) -> None:
    assert refused(families.QWEN3_30B, **changes) == [
        "it is a model with layers that do not attend to all tokens through a KV cache"
    ]


# The checkpoint's index


def with_index(tmp_path: Path, config: Config, total_size: Any) -> ArchitectureSettings:
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    index = {"metadata": {"total_size": total_size}, "weight_map": {}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    return read_architecture(tmp_path / "config.json", PATH)


@pytest.mark.parametrize(("size", "fits"), [(61_064_245_248, True), (61_200_000_000, True), (6_700_000_000, False)])
def test_the_index_of_the_checkpoint_is_held_against_the_numbers(tmp_path: Path, size: int, fits: bool) -> None:
    assert with_index(tmp_path, families.QWEN3_30B, size).checkpoint_bytes == size
    gpus = {"type": "nvidia-h100-80gb", "count": 2}
    try:
        stack_of(tmp_path, families.QWEN3_30B, maxModelLen=4096, accelerator=gpus)
    except Refusal as refusal:
        (problem,) = [one for one in refusal.problems if one.path == PATH]
        assert not fits
        assert problem.what == "its numbers come to 56.87 GiB of weights, and the checkpoint has 6.24"
        return
    assert fits


@pytest.mark.parametrize("size", [None, "61064245248", True, -1, 0, float("nan"), 2**62, []])
def test_an_index_without_a_size_says_nothing(tmp_path: Path, size: Any) -> None:
    assert with_index(tmp_path, families.QWEN3_30B, size).checkpoint_bytes is None


def test_an_index_that_is_not_one_is_refused(tmp_path: Path) -> None:
    with_index(tmp_path, families.QWEN3_30B, 1)
    (tmp_path / "model.safetensors.index.json").write_text("{", encoding="utf-8")
    with pytest.raises(Refusal) as caught:
        read_architecture(tmp_path / "config.json", PATH)
    assert [one.what for one in caught.value.problems] == ["model.safetensors.index.json is not JSON"]


def test_a_size_that_contradicts_a_description_is_refused() -> None:
    numbers = {
        "parameters": 8_030_261_248,
        "layers": 32,
        "hiddenSize": 4096,
        "intermediateSize": 14336,
        "kvHeads": 8,
        "attentionHeads": 32,
        "headDim": 128,
        "vocabSize": 128256,
        "maxPositions": 8192,
        "checkpointBytes": 30 * GIB,
    }
    raw = existing_stack({"it": {"server": "vllm", "model": "me/mine", "architecture": numbers}})
    (problem,) = [one for one in problems_of(raw) if "checkpointBytes" in one.path]
    assert problem.what == "its numbers come to 14.96 GiB of weights, and the checkpoint has 30.00"


# Files


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/tty"])
def test_a_device_is_refused_and_not_read(tmp_path: Path, device: str) -> None:
    link = tmp_path / "config.json"
    link.symlink_to(device)
    with pytest.raises(Refusal) as caught:
        read_architecture(link, PATH)
    (problem,) = caught.value.problems
    assert problem.what == "config.json cannot be read"
    assert problem.why == "it is a device, a pipe or a socket, not an ordinary file"


@pytest.mark.parametrize("name", ["config.json", "model.safetensors.index.json"])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(families.QWEN3_8B), encoding="utf-8")
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    ended: list[Refusal] = []

    def reads() -> None:
        try:
            read_architecture(tmp_path / "config.json", PATH)
        except Refusal as refusal:
            ended.append(refusal)

    thread = threading.Thread(target=reads, daemon=True)
    thread.start()
    thread.join(5)
    assert [problem.what for refusal in ended for problem in refusal.problems] == [f"{name} cannot be read"]


def test_a_huge_file_is_refused_without_reading_all_of_it(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    with file.open("wb") as opened:
        opened.truncate(2**40)
    with pytest.raises(Refusal) as caught:
        read_architecture(file, PATH)
    assert [problem.what for problem in caught.value.problems] == ["config.json is larger than 8 MiB"]


def test_more_layers_than_any_model_has_are_refused() -> None:
    assert refused(families.QWEN3_8B, num_hidden_layers=10**8) == ["num_hidden_layers is not at most 1000"]
