"""The keys of models' config.json files that say how large they are, as their repositories hold them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

Config = dict[str, Any]


def layer_types(layers: int, pattern: int) -> list[str]:
    """Every `pattern`-th layer attends to everything."""
    return ["full_attention" if (layer + 1) % pattern == 0 else "sliding_attention" for layer in range(layers)]


GEMMA: Config = {
    "architectures": ["GemmaForCausalLM"],
    "attention_bias": False,
    "head_dim": 256,
    "hidden_size": 3072,
    "intermediate_size": 24576,
    "max_position_embeddings": 8192,
    "model_type": "gemma",
    "num_attention_heads": 16,
    "num_hidden_layers": 28,
    "num_key_value_heads": 16,
    "torch_dtype": "bfloat16",
    "vocab_size": 256000,
}
GEMMA2_9B: Config = {
    "architectures": ["Gemma2ForCausalLM"],
    "head_dim": 256,
    "hidden_size": 3584,
    "intermediate_size": 14336,
    "max_position_embeddings": 8192,
    "model_type": "gemma2",
    "num_attention_heads": 16,
    "num_hidden_layers": 42,
    "num_key_value_heads": 8,
    "sliding_window": 4096,
    "sliding_window_size": 4096,
    "torch_dtype": "bfloat16",
    "vocab_size": 256000,
}
GEMMA2_27B: Config = {
    **GEMMA2_9B,
    "head_dim": 128,
    "hidden_size": 4608,
    "intermediate_size": 36864,
    "num_attention_heads": 32,
    "num_hidden_layers": 46,
    "num_key_value_heads": 16,
}
GEMMA3_1B: Config = {
    "architectures": ["Gemma3ForCausalLM"],
    "head_dim": 256,
    "hidden_size": 1152,
    "intermediate_size": 6912,
    "max_position_embeddings": 32768,
    "model_type": "gemma3_text",
    "num_attention_heads": 4,
    "num_hidden_layers": 26,
    "num_key_value_heads": 1,
    "sliding_window": 512,
    "sliding_window_pattern": 6,
    "torch_dtype": "bfloat16",
    "vocab_size": 262144,
}
GEMMA3_4B: Config = {
    "architectures": ["Gemma3ForConditionalGeneration"],
    "boi_token_index": 255999,
    "mm_tokens_per_image": 256,
    "model_type": "gemma3",
    "text_config": {
        "head_dim": 256,
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "max_position_embeddings": 131072,
        "model_type": "gemma3_text",
        "num_attention_heads": 8,
        "num_hidden_layers": 34,
        "num_key_value_heads": 4,
        "sliding_window": 1024,
        "sliding_window_pattern": 6,
        "vocab_size": 262208,
    },
    "torch_dtype": "bfloat16",
    "vision_config": {
        "hidden_size": 1152,
        "image_size": 896,
        "intermediate_size": 4304,
        "model_type": "siglip_vision_model",
        "num_attention_heads": 16,
        "num_hidden_layers": 27,
        "patch_size": 14,
        "vision_use_head": False,
    },
}
GEMMA3_12B: Config = {
    **GEMMA3_4B,
    "text_config": {
        **GEMMA3_4B["text_config"],
        "hidden_size": 3840,
        "intermediate_size": 15360,
        "num_attention_heads": 16,
        "num_hidden_layers": 48,
        "num_key_value_heads": 8,
    },
}
GEMMA3_27B: Config = {
    **GEMMA3_4B,
    "dtype": "bfloat16",
    "text_config": {
        "head_dim": 128,
        "hidden_size": 5376,
        "intermediate_size": 21504,
        "layer_types": layer_types(62, 6),
        "max_position_embeddings": 131072,
        "model_type": "gemma3_text",
        "num_attention_heads": 32,
        "num_hidden_layers": 62,
        "num_key_value_heads": 16,
        "sliding_window": 1024,
        "vocab_size": 262208,
    },
}
LLAMA_2_13B: Config = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 5120,
    "intermediate_size": 13824,
    "max_position_embeddings": 4096,
    "model_type": "llama",
    "num_attention_heads": 40,
    "num_hidden_layers": 40,
    "num_key_value_heads": 40,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "vocab_size": 32000,
}
LLAMA_8B: Config = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "max_position_embeddings": 131072,
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "pretraining_tp": 1,
    "rope_scaling": {"factor": 8.0, "rope_type": "llama3"},
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "vocab_size": 128256,
}
LLAMA_70B: Config = {
    **LLAMA_8B,
    "hidden_size": 8192,
    "intermediate_size": 28672,
    "num_attention_heads": 64,
    "num_hidden_layers": 80,
}
MISTRAL: Config = {
    **LLAMA_8B,
    "architectures": ["MistralForCausalLM"],
    "max_position_embeddings": 32768,
    "model_type": "mistral",
    "sliding_window": None,
    "vocab_size": 32768,
}
MIXTRAL: Config = {
    **MISTRAL,
    "architectures": ["MixtralForCausalLM"],
    "model_type": "mixtral",
    "num_experts_per_tok": 2,
    "num_local_experts": 8,
    "vocab_size": 32000,
}
QWEN: Config = {
    "architectures": ["Qwen2ForCausalLM"],
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "max_position_embeddings": 32768,
    "max_window_layers": 28,
    "model_type": "qwen2",
    "num_attention_heads": 28,
    "num_hidden_layers": 28,
    "num_key_value_heads": 4,
    "sliding_window": 131072,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "use_sliding_window": False,
    "vocab_size": 152064,
}
FALCON_40B: Config = {
    "alibi": False,
    "architectures": ["FalconForCausalLM"],
    "bias": False,
    "hidden_size": 8192,
    "model_type": "falcon",
    "multi_query": True,
    "new_decoder_architecture": True,
    "num_attention_heads": 128,
    "num_hidden_layers": 60,
    "num_kv_heads": 8,
    "parallel_attn": True,
    "torch_dtype": "bfloat16",
    "vocab_size": 65024,
}

BY_MODEL: dict[str, Config] = {
    "google/gemma-7b": GEMMA,
    "google/gemma-7b-it": GEMMA,
    "google/gemma-2-9b-it": GEMMA2_9B,
    "google/gemma-2-27b-it": GEMMA2_27B,
    "google/gemma-3-1b-it": GEMMA3_1B,
    "google/gemma-3-4b-it": GEMMA3_4B,
    "google/gemma-3-12b-it": GEMMA3_12B,
    "google/gemma-3-27b-it": GEMMA3_27B,
    "meta-llama/Llama-2-13b-hf": LLAMA_2_13B,
    "meta-llama/Llama-3.1-8B-Instruct": LLAMA_8B,
    "meta-llama/Llama-3.1-70B-Instruct": LLAMA_70B,
    "mistralai/Mistral-7B-Instruct-v0.3": MISTRAL,
    "mistralai/Mixtral-8x7B-Instruct-v0.1": MIXTRAL,
    "Qwen/Qwen2.5-7B-Instruct": QWEN,
    "tiiuae/falcon-40b-instruct": FALCON_40B,
    **yaml.safe_load((Path(__file__).parents[1] / "catalog" / "model_configs.yaml").read_text("utf-8")),
}

AWQ: Config = {"bits": 4, "group_size": 128, "quant_method": "awq", "version": "gemm", "zero_point": True}
GPTQ: Config = {"bits": 4, "desc_act": True, "group_size": 128, "quant_method": "gptq", "sym": True}
FP8: Config = {"activation_scheme": "static", "quant_method": "fp8"}
BITSANDBYTES: Config = {"bnb_4bit_quant_type": "nf4", "load_in_4bit": True, "quant_method": "bitsandbytes"}
COMPRESSED_FP8: Config = {
    "config_groups": {
        "group_0": {
            "input_activations": {"num_bits": 8, "type": "float"},
            "targets": ["Linear"],
            "weights": {"num_bits": 8, "type": "float"},
        }
    },
    "format": "float-quantized",
    "ignore": ["lm_head"],
    "quant_method": "compressed-tensors",
}
COMPRESSED_4_BITS: Config = {
    "config_groups": {
        "group_0": {"input_activations": None, "weights": {"group_size": 128, "num_bits": 4, "type": "int"}}
    },
    "format": "pack-quantized",
    "quant_method": "compressed-tensors",
}
