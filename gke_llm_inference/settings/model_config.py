"""The architecture of a model from its config.json, for models that the catalog does not have."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gke_llm_inference.catalog.facts import Dtype, Experts, SlidingWindow
from gke_llm_inference.settings.findings import Finding, Refusal
from gke_llm_inference.settings.servers import ArchitectureSettings
from gke_llm_inference.settings.stack import StackSettings

_REQUIRED = {
    "num_hidden_layers": "number of layers",
    "hidden_size": "width of the residual stream",
    "intermediate_size": "width of the feed-forward block",
    "num_attention_heads": "number of query heads",
    "vocab_size": "size of the vocabulary",
    "max_position_embeddings": "longest context",
}
_DTYPES: tuple[Dtype, ...] = ("float32", "float16", "bfloat16")
_FORMATS = ("awq", "gptq", "fp8", "compressed-tensors", "bitsandbytes")
# transformers ties the embeddings of these families unless the config says otherwise.
_TIED_FAMILIES = ("gemma", "gemma2", "gemma3", "gemma3_text")
# Every sixth layer of these attends to everything unless the file says otherwise.
_EVERY_SIXTH = ("gemma3", "gemma3_text")
_FALCON = ("falcon", "refinedweb", "refinedwebmodel")
_FAMILIES = {"refinedweb": "falcon", "refinedwebmodel": "falcon", "gemma3_text": "gemma3"}
# Families whose feed-forward block has no gate: two matrices rather than three.
_UNGATED_FAMILIES = ("falcon", "gpt_neox", "gpt2", "opt", "phi")


def with_config_files(settings: StackSettings, directory: Path) -> StackSettings:
    """Settings in which every server's `configFile` is replaced by the architecture that it holds.

    Args:
        settings: settings of a stack.
        directory: where relative paths start.

    Raises:
        Refusal: a file cannot be read, is not a config.json, or lacks numbers; with all such problems.

    """
    problems: list[Finding] = []
    servers = {}
    for name, server in settings.servers.items():
        if server.config_file is not None:
            path = f"servers.{name}.configFile"
            try:
                given = read_architecture(directory / server.config_file, path)
                server = server.model_copy(update={"architecture": given})
            except Refusal as refusal:
                problems += refusal.problems
        servers[name] = server
    if problems:
        raise Refusal(problems)
    return settings.model_copy(update={"servers": servers})


def read_architecture(file: Path, path: str) -> ArchitectureSettings:
    """The architecture in a config.json.

    Args:
        file: the file.
        path: where the configuration names it.

    Raises:
        Refusal: with every problem of the file.

    """
    try:
        document = json.loads(file.read_text("utf-8"))
    except OSError as error:
        reason = error.strerror or "it cannot be opened"
        raise Refusal(
            [Finding(path=path, what=f"{file.name} cannot be read", why=reason, fix="correct the path")]
        ) from None
    except (ValueError, RecursionError):
        raise Refusal(
            [
                Finding(
                    path=path, what=f"{file.name} is not JSON", why="a model's config.json is", fix="download it anew"
                )
            ]
        ) from None
    if not isinstance(document, dict):
        raise Refusal(
            [
                Finding(
                    path=path,
                    what=f"{file.name} is not a config.json",
                    why="that is a JSON object",
                    fix="check the path",
                )
            ]
        )
    return architecture_of(document, path)


def architecture_of(config: Mapping[str, Any], path: str) -> ArchitectureSettings:
    """The architecture that the keys of a Hugging Face config.json describe.

    The parameter count follows from the shapes: embeddings, attention, feed-forward blocks and norms. It is exact
    for decoder-only text models; a vision tower or adapters are not counted.

    Raises:
        Refusal: with every key that is missing or impossible.

    """
    text = _language_model(config)
    problems = [
        Finding(
            path=path,
            what=f"{key} is missing" if text.get(key) is None else f"{key} is not a positive whole number",
            why=f"it is the {meaning}, which the plan needs",
            fix="use the complete config.json, or give the numbers under architecture",
        )
        for key, meaning in _REQUIRED.items()
        if not _is_count(text.get(key))
    ]
    optional = ("num_key_value_heads", "head_dim", "num_local_experts", "num_experts_per_tok", "sliding_window")
    problems += [
        Finding(
            path=path,
            what=f"{key} is not a positive whole number",
            why="the plan needs it as a count",
            fix="correct it",
        )
        for key in optional
        if text.get(key) is not None and not _is_count(text[key])
    ]
    checkpoint, bits, kind, unknown = _checkpoint(config, path)
    problems += unknown
    if problems:
        raise Refusal(problems)
    heads, hidden = text["num_attention_heads"], text["hidden_size"]
    head_dim = text.get("head_dim") or hidden // heads
    kv_heads = text.get("num_key_value_heads") or heads
    if heads % kv_heads:
        problems.append(
            Finding(
                path=path,
                what=f"{heads} query heads cannot share {kv_heads} KV heads",
                why="groups are equal",
                fix="correct it",
            )
        )
    if text.get("head_dim") is None and hidden % heads:
        problems.append(
            Finding(
                path=path,
                what=f"hidden_size {hidden} is not a multiple of {heads} heads",
                why="heads are equal",
                fix="give head_dim",
            )
        )
    if problems:
        raise Refusal(problems)
    model_type = _family(text)
    tied = text.get("tie_word_embeddings")
    dtype: Dtype = next(
        (known for known in _DTYPES if known == (text.get("dtype") or text.get("torch_dtype"))), "bfloat16"
    )
    experts = (
        Experts(count=text["num_local_experts"], per_token=text.get("num_experts_per_tok") or 1)
        if text.get("num_local_experts")
        else None
    )
    numbers: dict[str, Any] = {
        "layers": text["num_hidden_layers"],
        "hidden_size": hidden,
        "intermediate_size": text["intermediate_size"],
        "attention_heads": heads,
        "kv_heads": kv_heads,
        "head_dim": head_dim,
        "vocab_size": text["vocab_size"],
        "max_positions": text["max_position_embeddings"],
        "tied_embeddings": model_type in _TIED_FAMILIES if tied is None else bool(tied),
        "experts": experts,
    }
    return ArchitectureSettings(
        **numbers,
        parameters=_parameters(numbers, gated=_FAMILIES.get(model_type, model_type) not in _UNGATED_FAMILIES),
        dtype=dtype,
        sliding_window=_sliding_window(text),
        family=_FAMILIES.get(model_type, model_type),
        checkpoint=checkpoint,
        checkpoint_bits=bits,
        checkpoint_type=kind,
    )


def _parameters(numbers: Mapping[str, Any], *, gated: bool) -> int:
    hidden, width = numbers["hidden_size"], numbers["head_dim"]
    embeddings = numbers["vocab_size"] * hidden * (1 if numbers["tied_embeddings"] else 2)
    attention = 2 * hidden * width * (numbers["attention_heads"] + numbers["kv_heads"])
    block = (3 if gated else 2) * hidden * numbers["intermediate_size"]
    experts: Experts | None = numbers["experts"]
    feed_forward = block * experts.count + hidden * experts.count if experts else block
    norms = 2 * hidden
    count: int = embeddings + numbers["layers"] * (attention + feed_forward + norms) + hidden
    return count


def _sliding_window(text: Mapping[str, Any]) -> SlidingWindow | None:
    size, layers = text.get("sliding_window"), text["num_hidden_layers"]
    if size is None or text.get("use_sliding_window") is False:
        return None
    kinds, pattern = text.get("layer_types"), text.get("sliding_window_pattern")
    if isinstance(kinds, list):
        windowed = sum(kind == "sliding_attention" for kind in kinds)
    elif _is_count(pattern) or _family(text) in _EVERY_SIXTH:
        pattern = pattern if _is_count(pattern) else 6
        # Every pattern-th layer attends to everything.
        windowed = layers - layers // pattern
    else:
        windowed = layers // 2 if text.get("model_type") == "gemma2" else layers
    return SlidingWindow(size=size, layers=windowed) if windowed else None


def _language_model(config: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of the language model, under the names that most families use."""
    inner = config.get("text_config")
    text = {**config, **inner} if isinstance(inner, dict) else dict(config)
    if _family(text) in _FALCON:
        # Falcon's own names and the sizes that its class fixes.
        single = text.get("multi_query") and not text.get("new_decoder_architecture")
        kv_heads = 1 if single else text.get("num_kv_heads") or text.get("n_head_kv")
        text.setdefault("num_key_value_heads", kv_heads)
        text.setdefault("num_attention_heads", text.get("n_head"))
        text.setdefault("num_hidden_layers", text.get("n_layer"))
        if _is_count(text.get("hidden_size")):
            text.setdefault("intermediate_size", text.get("ffn_hidden_size") or 4 * text["hidden_size"])
        text.setdefault("max_position_embeddings", 2048)
    return text


def _family(text: Mapping[str, Any]) -> str:
    """Model family in the letters that settings take; `other` where the file states none."""
    stated = text.get("model_type")
    return (re.sub(r"[^a-z0-9_-]", "", stated.lower())[:40] if isinstance(stated, str) else "") or "other"


def _checkpoint(config: Mapping[str, Any], path: str) -> tuple[Any, Any, Any, list[Finding]]:
    """Format of the checkpoint, bits of a weight where the format leaves them open, its type, and problems."""
    quantization = config.get("quantization_config")
    if not isinstance(quantization, dict):
        return "none", None, "float", []
    method = str(quantization.get("quant_method", "")).lower()
    if method not in _FORMATS:
        problem = Finding(
            path=path,
            what="its quant_method is not supported",
            why="the weights' size depends on it",
            fix=f"use a checkpoint in one of: {', '.join(_FORMATS)}; or give the numbers under architecture",
        )
        return None, None, "float", [problem]
    if method != "compressed-tensors":
        return method, 8 if method == "gptq" and quantization.get("bits") == 8 else None, "float", []
    groups = quantization.get("config_groups")
    weights = [
        group["weights"]
        for group in (groups.values() if isinstance(groups, dict) else [])
        if isinstance(group, dict) and isinstance(group.get("weights"), dict)
    ]
    bits = 4 if any(one.get("num_bits") == 4 for one in weights) else 8
    return method, bits, "int" if bits == 8 and any(one.get("type") == "int" for one in weights) else "float", []


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**9
