"""Refuses a config.json of a model that is not planned, and keys of which it is not known what they change."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gke_llm_inference.catalog.model_family_facts import model_families
from gke_llm_inference.settings.findings import Finding
from gke_llm_inference.settings.model_config import layers
from gke_llm_inference.settings.model_config.vision import HARMLESS as VISION_HARMLESS
from gke_llm_inference.settings.model_config.vision import vision_keys, vision_tower

_READ = frozenset(
    {
        *("architectures", "compression_config", "dtype", "head_dim", "hidden_size", "intermediate_size"),
        *("layer_types", "max_position_embeddings", "model_type", "moe_intermediate_size", "num_attention_heads"),
        *("num_hidden_layers", "num_key_value_heads", "quantization_config", "sliding_window"),
        *("sliding_window_pattern", "_sliding_window_pattern", "text_config", "tie_word_embeddings", "torch_dtype"),
        *("use_sliding_window", "vision_config", "vocab_size", *layers.EXPERT_KEYS, *layers.PER_TOKEN_KEYS),
        *(*layers.SHARED_EXPERT_KEYS, *layers.SHARED_WIDTH_KEYS, *layers.FURTHER_TOKEN_KEYS, *layers.SPARSE_KEYS),
        *layers.LATENT_KEYS,
    }
)
# Keys that only some families have, and that decide on their shapes.
_READ_OF = {
    "cohere2": (
        *("layer_switch", "order_of_interleaved_layers", "position_embedding_type", "use_embedding_sharing"),
        *("use_gated_activation", "use_parallel_block", "use_parallel_embedding"),
    ),
    "falcon": ("multi_query", "n_head_kv", "new_decoder_architecture", "num_kv_heads", "num_ln_in_parallel_attn"),
    "mistral3": ("multimodal_projector_bias", "spatial_merge_size"),
    "llava": ("multimodal_projector_bias",),
    "minimax_m2": ("qk_norm_type",),
    "opt": ("word_embed_proj_dim",),
}
_READ_OF |= dict.fromkeys(("refinedweb", "refinedwebmodel"), _READ_OF["falcon"])
_ATTENDING = ("full_attention", "sliding_attention", "chunked_attention")
_GENERATES = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "ForImageTextToText")
# Families of encoders, whose files may name no architecture.
_ENCODERS = (
    *("albert", "bert", "camembert", "clip", "deberta", "deberta-v2", "distilbert", "electra", "eurobert", "gte"),
    *("jina_embeddings_v3", "mpnet", "new", "nomic_bert", "modernbert", "roberta", "siglip", "xlm-roberta"),
)
# What lies beside the config.json of a model for embeddings.
_OF_EMBEDDINGS = ("modules.json", "config_sentence_transformers.json", "1_Pooling")
_SHOWN = 8
_NAME = re.compile(r"(?:text_config\.|vision_config\.)?[a-z_][a-z_]*(?:[0-9][a-z0-9_]{0,20})?")
_LONGEST = 80


def task_problems(config: Mapping[str, Any], path: str, beside: Path | None) -> list[Finding]:
    """Whether the model generates text from its own tokens, as everything here is planned for."""
    stated = config.get("architectures")
    names = [name for name in stated if isinstance(name, str)] if isinstance(stated, list) else []
    model_type = config.get("model_type")
    if config.get("is_encoder_decoder") is True:
        return [
            _task(path, "an encoder-decoder model", "its cache holds the encoder's output too, which is not planned")
        ]
    if (names and not any(name.endswith(_GENERATES) for name in names)) or (not names and model_type in _ENCODERS):
        return [_not_generating(path)]
    if beside is not None and any((beside / name).exists() for name in _OF_EMBEDDINGS):
        return [_not_generating(path)]
    inner = config.get("text_config")
    texts = [config, *([inner] if isinstance(inner, dict) else [])]
    state = model_families().state_keys
    kinds = [kind for text in texts if isinstance(text.get("layer_types"), list) for kind in text["layer_types"]]
    keeps_state = any(key in state and not _is_off(value) for text in texts for key, value in text.items())
    if keeps_state or any(kind not in _ATTENDING for kind in kinds):
        return [
            _task(
                path,
                "a model with layers that do not attend to all tokens through a KV cache",
                "linear attention, Mamba and convolutions keep a state for every request, whose size is not planned",
            )
        ]
    return []


def _is_off(value: object) -> bool:
    """Whether a key of models that keep a state says that this one does not: a list of ones is full attention."""
    return value is None or (isinstance(value, list) and all(kind == 1 for kind in value))


def key_problems(config: Mapping[str, Any], path: str) -> list[Finding]:
    """Keys of which it is not known whether they change the size of the model.

    A key that is null stands for what its family does anyway.
    """
    facts = model_families()
    inner = config.get("text_config")
    parts: list[tuple[str, Mapping[str, Any]]] = [("", config)]
    if isinstance(inner, dict):
        parts.append(("text_config.", inner))
    types = {str(part.get("model_type") or "").lower() for _, part in parts}
    known = set(_READ | facts.harmless_keys | facts.state_keys)
    for model_type in types:
        known |= facts.of(model_type).own_keys() | set(_READ_OF.get(model_type, ()))
    when_false = facts.harmless_when_false | {key for family in facts.families for key in facts.of(family).own_keys()}
    unknown = [
        f"{prefix}{key}"
        for prefix, part in parts
        for key, value in part.items()
        if value is not None and key not in known and not (value is False and key in when_false)
    ]
    if isinstance(config.get("vision_config"), dict):
        kind = vision_tower(config)[0]
        of_tower = facts.harmless_keys | VISION_HARMLESS | (vision_keys(kind) if kind else frozenset())
        unknown += [
            f"vision_config.{key}"
            for key, value in config["vision_config"].items()
            if kind and value is not None and key not in of_tower
        ]
    if not unknown:
        return []
    return [
        Finding(
            path=path,
            what=f"it has keys that are not known here: {_listed(unknown)}",
            why="a key that changes the size of the model would make the plan wrong",
            fix="give the numbers under architecture, or remove from the file what says nothing about sizes",
        )
    ]


def _listed(keys: Iterable[str]) -> str:
    """The first of the keys; what does not look like the name of one is not shown, as it may be anything."""
    names = sorted({key if len(key) <= _LONGEST and _NAME.fullmatch(key) else "one that is not a name" for key in keys})
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _not_generating(path: str) -> Finding:
    return _task(path, "a model for embeddings, ranking or classification", "plans are for servers that generate text")


def _task(path: str, what: str, why: str) -> Finding:
    return Finding(path=path, what=f"it is {what}", why=why, fix="use a model that generates text, with a KV cache")
