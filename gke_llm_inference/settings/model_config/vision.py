"""Parameters of a vision tower and of what brings its output to the language model, counted from their shapes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gke_llm_inference.settings.model_config.layers import first

Numbers = Mapping[str, int]


@dataclass(frozen=True)
class _Tower:
    """How the parameters of a kind of tower are counted.

    Attributes:
        count: parameters from the tower's numbers.
        required: keys without which they cannot be counted.
        optional: further keys that it reads.
        defaults: what transformers fills in for keys that files leave out.

    """

    count: Callable[[Numbers], int]
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    defaults: tuple[tuple[str, int], ...] = ()


# Keys of towers that say nothing about sizes, beside those that say nothing anywhere.
HARMLESS = frozenset(
    {
        "deepstack_visual_indexes",
        "fullatt_block_indexes",
        "in_chans",
        "multi_modal_projector_bias",
        "num_attention_heads",
        "num_heads",
        "num_image_tokens",
        "pixel_shuffle_ratio",
        "projection_dim",
        "projector_dropout",
        "spatial_patch_size",
        "tokens_per_second",
        "vocab_size",
        "window_size",
    }
)


def vision_tower(config: Mapping[str, Any]) -> tuple[str, dict[str, int], list[str]]:
    """Kind of a config.json's vision tower, its numbers, and the keys that are missing or make no sense.

    The kind is empty where it is not known.
    """
    given = config["vision_config"]
    own_type, main = str(given.get("model_type") or ""), str(config.get("model_type") or "")
    kind = own_type.removesuffix("_vision") if own_type else _USUAL.get(main, "")
    if kind not in _TOWERS or main not in _PROJECTORS:
        return "", {}, []
    tower = _TOWERS[kind]
    stated = {key: len(value) if isinstance(value, list) else value for key, value in given.items()}
    numbers = {**dict(tower.defaults), **{key: value for key, value in stated.items() if isinstance(value, int)}}
    missing = [
        key
        for key in tower.required
        if not _is_count(numbers.get(key)) or (given.get(key) is not None and not _is_count(given[key]))
    ]
    return kind, numbers, missing


def vision_keys(kind: str) -> frozenset[str]:
    """Keys that are known of a kind of tower."""
    tower = _TOWERS[kind]
    return frozenset((*tower.required, *tower.optional)) | HARMLESS


def vision_parameters(kind: str, numbers: Numbers, config: Mapping[str, Any], text_hidden: int) -> int:
    """Parameters of a vision tower and its projector."""
    projector = _PROJECTORS[str(config.get("model_type"))]
    return _TOWERS[kind].count(numbers) + projector(numbers, config, text_hidden)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**6


def _patches(numbers: Numbers) -> int:
    side = numbers["image_size"] // numbers["patch_size"]
    return side * side


def _pixels(numbers: Numbers) -> int:
    """Weights that read one patch, for each dimension that it becomes."""
    channels = first(numbers, ("num_channels", "in_channels", "in_chans")) or 3
    return channels * numbers["patch_size"] ** 2 * (numbers.get("temporal_patch_size") or 1)


def _encoder(hidden: int, width: int, layers: int) -> int:
    """Layers with biases, two norms, and a block without a gate."""
    attention = 4 * (hidden * hidden + hidden)
    return layers * (attention + 2 * hidden * width + width + hidden + 4 * hidden)


def _siglip(numbers: Numbers) -> int:
    hidden, width = numbers["hidden_size"], numbers["intermediate_size"]
    count = _pixels(numbers) * hidden + hidden + _patches(numbers) * hidden
    count += _encoder(hidden, width, numbers["num_hidden_layers"]) + 2 * hidden
    if numbers.get("vision_use_head"):
        # A probe that attends to all patches.
        count += hidden + 4 * (hidden * hidden + hidden) + 2 * hidden + 2 * hidden * width + width + hidden
    return count


def _clip(numbers: Numbers) -> int:
    hidden = numbers["hidden_size"]
    count = hidden + _pixels(numbers) * hidden + (_patches(numbers) + 1) * hidden + 4 * hidden
    return count + _encoder(hidden, numbers["intermediate_size"], numbers["num_hidden_layers"])


def _llama4(numbers: Numbers) -> int:
    adapter = numbers["intermediate_size"] * numbers["projector_input_dim"] + numbers["projector_output_dim"] ** 2
    return _clip(numbers) + adapter


def _pixtral(numbers: Numbers) -> int:
    hidden, width = numbers["hidden_size"], numbers["intermediate_size"]
    layer = 4 * hidden * hidden + 3 * hidden * width + 2 * hidden
    return _pixels(numbers) * hidden + hidden + numbers["num_hidden_layers"] * layer


def _merger(hidden: int, side: int, out: int) -> int:
    """The block that makes one token of a square of patches."""
    merged = hidden * side * side
    return merged * merged + merged + merged * out + out


def _qwen2_5(numbers: Numbers) -> int:
    hidden, width = numbers["hidden_size"], numbers["intermediate_size"]
    attention = 4 * hidden * hidden + 4 * hidden
    block = attention + 3 * hidden * width + 2 * width + hidden + 2 * hidden
    merger = hidden + _merger(hidden, numbers["spatial_merge_size"], numbers["out_hidden_size"])
    return _pixels(numbers) * hidden + numbers["depth"] * block + merger


def _qwen2(numbers: Numbers) -> int:
    hidden = numbers["embed_dim"]
    blocks = _encoder(hidden, int(hidden * numbers["mlp_ratio"]), numbers["depth"])
    merger = 2 * hidden + _merger(hidden, numbers["spatial_merge_size"], numbers["hidden_size"])
    return _pixels(numbers) * hidden + blocks + merger


def _qwen3(numbers: Numbers) -> int:
    hidden, side = numbers["hidden_size"], numbers["spatial_merge_size"]
    count = _pixels(numbers) * hidden + hidden + numbers["num_position_embeddings"] * hidden
    count += _encoder(hidden, numbers["intermediate_size"], numbers["depth"])
    merger = _merger(hidden, side, numbers["out_hidden_size"])
    # As many as there are layers whose output is merged.
    mergers = numbers.get("deepstack_visual_indexes") or 0
    return count + merger + 2 * hidden + mergers * (merger + 2 * hidden * side * side)


def _no_projector(_numbers: Numbers, _config: Mapping[str, Any], _text_hidden: int) -> int:
    return 0


def _gemma3_projector(numbers: Numbers, _config: Mapping[str, Any], text_hidden: int) -> int:
    hidden = numbers["hidden_size"]
    return hidden * text_hidden + hidden


def _llama4_projector(numbers: Numbers, _config: Mapping[str, Any], text_hidden: int) -> int:
    return numbers["vision_output_dim"] * text_hidden


def _two_layers(numbers: Numbers, config: Mapping[str, Any], text_hidden: int, *, bias: bool) -> int:
    stated = config.get("multimodal_projector_bias")
    biases = 2 * text_hidden if (bias if stated is None else stated) else 0
    return numbers["hidden_size"] * text_hidden + text_hidden * text_hidden + biases


def _llava_projector(numbers: Numbers, config: Mapping[str, Any], text_hidden: int) -> int:
    return _two_layers(numbers, config, text_hidden, bias=True)


def _mistral3_projector(numbers: Numbers, config: Mapping[str, Any], text_hidden: int) -> int:
    hidden, stated = numbers["hidden_size"], config.get("spatial_merge_size")
    side = stated if isinstance(stated, int) and stated > 0 else 2
    merger = hidden + hidden * side * side * hidden
    return merger + _two_layers(numbers, config, text_hidden, bias=False)


_ENCODER_KEYS = ("hidden_size", "intermediate_size", "num_hidden_layers", "image_size", "patch_size")
_SIGLIP = _Tower(
    _siglip,
    _ENCODER_KEYS,
    ("num_channels", "vision_use_head"),
    (("image_size", 224), ("patch_size", 16), ("vision_use_head", True)),
)
_CLIP = _Tower(_clip, _ENCODER_KEYS, ("num_channels",), (("image_size", 224), ("patch_size", 32)))
_LLAMA4 = _Tower(
    _llama4,
    (*_ENCODER_KEYS, "projector_input_dim", "projector_output_dim", "vision_output_dim"),
    ("num_channels",),
    (("intermediate_size", 5632), ("projector_input_dim", 4096), ("projector_output_dim", 4096)),
)
_PIXTRAL = _Tower(
    _pixtral,
    ("hidden_size", "intermediate_size", "num_hidden_layers", "patch_size"),
    ("head_dim", "image_size", "num_channels"),
    (("hidden_size", 1024), ("intermediate_size", 4096), ("num_hidden_layers", 24), ("patch_size", 16)),
)
_QWEN_KEYS = ("depth", "hidden_size", "patch_size", "spatial_merge_size", "temporal_patch_size")
_QWEN_DEFAULTS = (("patch_size", 14), ("spatial_merge_size", 2), ("temporal_patch_size", 2))
_QWEN2_5 = _Tower(
    _qwen2_5,
    (*_QWEN_KEYS, "intermediate_size", "out_hidden_size"),
    ("in_channels", "num_hidden_layers"),
    (("depth", 32), ("intermediate_size", 3420), *_QWEN_DEFAULTS),
)
_QWEN2 = _Tower(
    _qwen2,
    (*_QWEN_KEYS, "embed_dim", "mlp_ratio"),
    ("in_channels",),
    (("depth", 32), ("embed_dim", 1280), ("mlp_ratio", 4), *_QWEN_DEFAULTS),
)
_QWEN3 = _Tower(
    _qwen3,
    (*_QWEN_KEYS, "intermediate_size", "num_position_embeddings", "out_hidden_size"),
    ("in_channels",),
)
_TOWERS = {
    "siglip_vision_model": _SIGLIP,
    "clip_vision_model": _CLIP,
    "llama4_vision_model": _LLAMA4,
    "pixtral": _PIXTRAL,
    "qwen2_5_vl": _QWEN2_5,
    "qwen2_vl": _QWEN2,
    "qwen3_vl": _QWEN3,
    "qwen3_vl_moe": _QWEN3,
}
# The tower of a family whose files do not name its kind.
_USUAL = {
    "gemma3": "siglip_vision_model",
    "llama4": "llama4_vision_model",
    "llava": "clip_vision_model",
    "mistral3": "pixtral",
    "qwen2_5_vl": "qwen2_5_vl",
    "qwen2_vl": "qwen2_vl",
    "qwen3_vl": "qwen3_vl",
    "qwen3_vl_moe": "qwen3_vl_moe",
}
_PROJECTORS: dict[str, Callable[[Numbers, Mapping[str, Any], int], int]] = {
    "gemma3": _gemma3_projector,
    "llama4": _llama4_projector,
    "llava": _llava_projector,
    "mistral3": _mistral3_projector,
    "qwen2_5_vl": _no_projector,
    "qwen2_vl": _no_projector,
    "qwen3_vl": _no_projector,
    "qwen3_vl_moe": _no_projector,
}
