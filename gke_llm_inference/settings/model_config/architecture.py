"""Makes the architecture of a model from the keys of its config.json."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gke_llm_inference.catalog.facts import Dtype, Experts, SlidingWindow
from gke_llm_inference.catalog.model_family_facts import ModelFamily, model_families
from gke_llm_inference.settings.findings import Finding, Refusal
from gke_llm_inference.settings.model_config import layers
from gke_llm_inference.settings.model_config.checkpoint import MODELOPT_FILE, modelopt_config, precision_of
from gke_llm_inference.settings.model_config.files import MOST_CONFIG_BYTES, read_object
from gke_llm_inference.settings.model_config.index import checkpoint_bytes
from gke_llm_inference.settings.model_config.keys import key_problems, task_problems
from gke_llm_inference.settings.model_config.vision import vision_parameters, vision_tower
from gke_llm_inference.settings.servers import ArchitectureSettings

_REQUIRED = {
    "num_hidden_layers": "number of layers",
    "hidden_size": "width of the residual stream",
    "intermediate_size": "width of the feed-forward block",
    "num_attention_heads": "number of query heads",
    "vocab_size": "size of the vocabulary",
    "max_position_embeddings": "longest context",
}
_LATENT_REQUIRED = {
    "qk_nope_head_dim": "width of a head without rotation",
    "qk_rope_head_dim": "width of a head with rotation",
    "v_head_dim": "width of a value head",
}
_COUNTS = (
    *("num_key_value_heads", "head_dim", "sliding_window", "moe_intermediate_size", "kv_lora_rank", "q_lora_rank"),
    *(*layers.EXPERT_KEYS, *layers.PER_TOKEN_KEYS),
    *("decoder_sparse_step", "interleave_moe_layer_step", "moe_layer_interval"),
)
_COUNTS_OR_ZERO = (
    *(*layers.SHARED_EXPERT_KEYS, *layers.SHARED_WIDTH_KEYS, *layers.FURTHER_TOKEN_KEYS),
    "first_k_dense_replace",
)
_LISTS = ("mlp_layer_types", "mlp_only_layers", "moe_layers")
_MOST_LAYERS = 1000
_DTYPES: tuple[Dtype, ...] = ("float32", "float16", "bfloat16")
_FALCON = ("falcon", "refinedweb", "refinedwebmodel")


def read_architecture(file: Path, path: str) -> ArchitectureSettings:
    """The architecture in a config.json, with the size that the checkpoint's index beside it states.

    Args:
        file: the file.
        path: where the configuration names it.

    Raises:
        Refusal: with every problem of the file.

    """
    config = read_object(file, path, MOST_CONFIG_BYTES)
    optimized = file.parent / MODELOPT_FILE
    if optimized.is_file() and not config.get("quantization_config"):
        config["quantization_config"] = modelopt_config(
            read_object(optimized, path, MOST_CONFIG_BYTES, kind=MODELOPT_FILE)
        )
    found = architecture_of(config, path, beside=file.parent)
    size = checkpoint_bytes(file.parent, path)
    return found if size is None else found.model_copy(update={"checkpoint_bytes": size})


def architecture_of(
    config: Mapping[str, Any], path: str, *, beside: Path | None = None, strict: bool = True
) -> ArchitectureSettings:
    """The architecture that the keys of a Hugging Face config.json describe.

    The parameter count follows from the shapes: embeddings, attention, feed-forward blocks, experts, norms, biases and
    a vision tower. What the keys leave open is as transformers has it for the family.

    Args:
        config: the keys.
        path: where the configuration names the file.
        beside: directory of the file, whose other files tell what the model is for.
        strict: whether a key is refused of which it is not known what it changes.

    Raises:
        Refusal: with every key that is missing, impossible or not known.

    """
    text, family = _language_model(config)
    task = task_problems(config, path, beside)
    if task:
        # What is missing of a generator's keys says nothing about another kind of model.
        raise Refusal(task)
    problems = [*_number_problems(text, path), *(key_problems(config, path) if strict else [])]
    precision, of_checkpoint = precision_of(text, path)
    problems += of_checkpoint
    tower = ""
    numbers: dict[str, int] = {}
    if isinstance(config.get("vision_config"), dict):
        tower, numbers, missing = vision_tower(config)
        problems += _vision_problems(tower, missing, path)
    if problems:
        raise Refusal(problems)
    _fill_in(text)
    problems += _head_problems(text, path)
    if problems:
        raise Refusal(problems)
    tied = _tied(config, family)
    counted = layers.parameters_of(text, family, tied=tied)
    vision = vision_parameters(tower, numbers, config, text["hidden_size"]) if tower else 0
    kept = sum(matrix.parameters for matrix in counted.matrices if precision.is_kept(matrix))
    return ArchitectureSettings(
        parameters=counted.total + vision,
        unquantized_parameters=counted.routers + counted.rest + vision + kept,
        unloaded_parameters=counted.unloaded,
        vision_parameters=vision,
        layers=text["num_hidden_layers"],
        hidden_size=text["hidden_size"],
        intermediate_size=text["intermediate_size"],
        attention_heads=text["num_attention_heads"],
        kv_heads=text["num_key_value_heads"],
        head_dim=text["head_dim"],
        vocab_size=text["vocab_size"],
        max_positions=text["max_position_embeddings"],
        latent_width=layers.latent_width(text),
        tied_embeddings=tied,
        experts=_experts(text),
        dtype=_dtype(config, text),
        sliding_window=_sliding_window(text),
        family=family.name or _model_type(text),
        checkpoint=precision.format,
        checkpoint_bits=precision.bits,
        checkpoint_type=precision.kind,
        checkpoint_group_size=precision.group_size,
        checkpoint_blockwise=precision.blockwise,
    )


@dataclass(frozen=True)
class WeightCounts:
    """How the parameters of a model are divided.

    Attributes:
        text: those of the language model.
        vision: those of a vision tower and of what brings its output to the language model.
        active: those of the language model that one token visits.

    """

    text: layers.Parameters
    vision: int
    active: int


def weight_counts(config: Mapping[str, Any]) -> WeightCounts:
    """How the parameters of a model are divided, by the keys of a config.json that `architecture_of` takes."""
    text, family = _language_model(config)
    _fill_in(text)
    counted = layers.parameters_of(text, family, tied=_tied(config, family))
    vision = 0
    if isinstance(config.get("vision_config"), dict):
        tower, numbers, _ = vision_tower(config)
        vision = vision_parameters(tower, numbers, config, text["hidden_size"])
    experts = _experts(text)
    idle = 0
    if experts:
        of_experts = sum(matrix.parameters for matrix in counted.matrices if matrix.of_experts)
        idle = of_experts - of_experts * experts.per_token // experts.count
    return WeightCounts(counted, vision, counted.total - idle)


def _language_model(config: Mapping[str, Any]) -> tuple[dict[str, Any], ModelFamily]:
    """The keys of the language model under their usual names, with what its family fills in, and the family."""
    inner = config.get("text_config")
    own = {key: value for key, value in inner.items() if value is not None} if isinstance(inner, dict) else {}
    stated = {key: value for key, value in {**config, **own}.items() if value is not None}
    family = model_families().of(_model_type(stated))
    text = {key: value for key, value in stated.items() if key not in family.renamed}
    text |= {usual: stated[key] for key, usual in family.renamed.items() if key in stated}
    if _model_type(stated) in _FALCON:
        single = text.get("multi_query") and not text.get("new_decoder_architecture")
        kv_heads = 1 if single else text.get("num_kv_heads") or text.get("n_head_kv")
        if kv_heads is not None:
            text.setdefault("num_key_value_heads", kv_heads)
        two_norms = text.get("new_decoder_architecture") and text.get("num_ln_in_parallel_attn") != 1
        if not two_norms and text.get("parallel_attn", True):
            family = family.model_copy(update={"norms": 1})
    if not family.gated and _is_count(text.get("hidden_size")):
        text.setdefault("intermediate_size", 4 * text["hidden_size"])
    if layers.experts_of(text) and _is_count(text.get("moe_intermediate_size")):
        # A model whose layers all have experts needs no width of a dense block.
        text.setdefault("intermediate_size", text["moe_intermediate_size"])
    return {**family.defaults, **text}, family


def _model_type(text: Mapping[str, Any]) -> str:
    """The model_type in the letters that settings take; `other` where the file states none."""
    stated = text.get("model_type")
    return (re.sub(r"[^a-z0-9_-]", "", stated.lower())[:40] if isinstance(stated, str) else "") or "other"


def _number_problems(text: Mapping[str, Any], path: str) -> list[Finding]:
    required = {**_REQUIRED, **(_LATENT_REQUIRED if text.get("kv_lora_rank") is not None else {})}
    problems = [
        Finding(
            path=path,
            what=f"{key} is missing" if text.get(key) is None else f"{key} is not a positive whole number",
            why=f"it is the {meaning}, which the plan needs",
            fix="use the complete config.json, or give the numbers under architecture",
        )
        for key, meaning in required.items()
        if not _is_count(text.get(key))
    ]
    unused = ("sliding_window",) if text.get("use_sliding_window") is False else ()
    wrong = [key for key in _COUNTS if text.get(key) is not None and key not in unused and not _is_count(text[key])]
    problems += [_not(path, key, "a positive whole number") for key in wrong]
    wrong = [
        key
        for key in _COUNTS_OR_ZERO
        if text.get(key) is not None and not _is_count(text[key]) and not (type(text[key]) is int and text[key] == 0)
    ]
    problems += [_not(path, key, "a whole number") for key in wrong]
    wrong = [key for key in _LISTS if text.get(key) is not None and not isinstance(text[key], list)]
    problems += [_not(path, key, "a list") for key in wrong]
    frequency = text.get("moe_layer_freq")
    if frequency is not None and not isinstance(frequency, list) and not _is_count(frequency):
        problems.append(_not(path, "moe_layer_freq", "a positive whole number"))
    if _is_count(text.get("num_hidden_layers")) and text["num_hidden_layers"] > _MOST_LAYERS:
        problems.append(_not(path, "num_hidden_layers", f"at most {_MOST_LAYERS}"))
    if text.get("word_embed_proj_dim") not in (None, text.get("hidden_size")):
        problems.append(_not(path, "word_embed_proj_dim", "hidden_size, and a projection between them is not planned"))
    named = {key: text[key] for key in layers.EXPERT_KEYS if text.get(key) is not None}
    if len(set(map(repr, named.values()))) > 1:
        problems.append(
            Finding(
                path=path,
                what=f"{' and '.join(named)} differ",
                why="they are names for one number, of which the weights' size depends",
                fix="keep the one that the model's own class reads",
            )
        )
    return problems


def _not(path: str, key: str, what: str) -> Finding:
    return Finding(path=path, what=f"{key} is not {what}", why="the plan needs it as a count", fix="correct it")


def _vision_problems(tower: str, missing: Iterable[str], path: str) -> list[Finding]:
    if not tower:
        return [
            Finding(
                path=path,
                what="its vision tower is of a kind that is not known",
                why="its weights lie on the GPU beside those of the language model",
                fix="give the numbers under architecture, with the tower's in parameters and unquantizedParameters",
            )
        ]
    return [
        Finding(
            path=path,
            what=f"vision_config.{key} is missing or not a positive whole number",
            why="the size of the vision tower depends on it",
            fix="use the complete config.json, or give the numbers under architecture",
        )
        for key in missing
    ]


def _fill_in(text: dict[str, Any]) -> None:
    """Numbers that follow from others where the file leaves them out."""
    heads = text["num_attention_heads"]
    text["num_key_value_heads"] = text.get("num_key_value_heads") or heads
    if text.get("kv_lora_rank"):
        text["head_dim"] = text["qk_nope_head_dim"] + text["qk_rope_head_dim"]
        return
    text["head_dim_given"] = text.get("head_dim") is not None
    text["head_dim"] = text.get("head_dim") or max(1, text["hidden_size"] // heads)


def _head_problems(text: Mapping[str, Any], path: str) -> list[Finding]:
    heads, kv_heads, hidden = text["num_attention_heads"], text["num_key_value_heads"], text["hidden_size"]
    problems = []
    if heads % kv_heads:
        problems.append(
            Finding(
                path=path,
                what=f"{heads} query heads cannot share {kv_heads} KV heads",
                why="groups are equal",
                fix="correct it",
            )
        )
    if not text.get("head_dim_given", True) and hidden % heads:
        problems.append(
            Finding(
                path=path,
                what=f"hidden_size {hidden} is not a multiple of {heads} heads",
                why="heads are equal",
                fix="give head_dim",
            )
        )
    return problems


def _tied(config: Mapping[str, Any], family: ModelFamily) -> bool:
    """Whether the output layer shares the embedding's weights; not where the whole or its part says so."""
    inner = config.get("text_config")
    parts = (config, inner if isinstance(inner, dict) else {})
    stated = [part["tie_word_embeddings"] for part in parts if part.get("tie_word_embeddings") is not None]
    return all(stated) if stated else family.tied


def _dtype(config: Mapping[str, Any], text: Mapping[str, Any]) -> Dtype:
    """Type of the checkpoint's weights: what the file says of the whole model, or else of its language model."""
    stated = (part.get(key) for part in (config, text) for key in ("dtype", "torch_dtype"))
    return next((known for value in stated for known in _DTYPES if known == value), "bfloat16")


def _experts(text: Mapping[str, Any]) -> Experts | None:
    count = layers.experts_of(text)
    if not count or not layers.sparse_layers(text):
        return None
    width = layers.expert_width(text)
    return Experts(
        count=count,
        per_token=layers.first(text, layers.PER_TOKEN_KEYS) or 1,
        intermediate_size=None if width == text["intermediate_size"] else width,
        shared_intermediate_size=layers.shared_width(text),
    )


def _sliding_window(text: Mapping[str, Any]) -> SlidingWindow | None:
    size, count = text.get("sliding_window"), text["num_hidden_layers"]
    if size is None or text.get("use_sliding_window") is False:
        return None
    # Letters for a run of layers, as in LLLG: local, and global as the last.
    letters = text.get("sliding_window_pattern")
    kinds, pattern = text.get("layer_types"), text.get("sliding_window_pattern", text.get("_sliding_window_pattern"))
    if isinstance(kinds, list):
        windowed = sum(kind == "sliding_attention" for kind in kinds[:count])
    elif isinstance(letters, str):
        windowed = sum(letters[layer % len(letters)] == "L" for layer in range(count)) if letters else 0
    elif _is_count(pattern):
        # Every pattern-th layer attends to everything.
        windowed = count - count // pattern
    else:
        windowed = count // 2 if _model_type(text) in ("gemma2", "gpt_oss") else count
    return SlidingWindow(size=size, layers=windowed) if windowed else None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**9
