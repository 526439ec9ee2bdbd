"""How the weights of a checkpoint are quantized, as the quantization_config of its config.json says."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gke_llm_inference.catalog.preset_facts import CheckpointFormat
from gke_llm_inference.settings.findings import Finding
from gke_llm_inference.settings.model_config.layers import Matrix

# The last is loaded by one old version only, which the plan says.
FORMATS: tuple[CheckpointFormat, ...] = (
    "awq",
    "gptq",
    "fp8",
    "compressed-tensors",
    "bitsandbytes",
    "mxfp4",
    "nvfp4",
    "fbgemm",
    "squeezellm",
)
# What files call a format that has another name here.
_METHODS: dict[str, CheckpointFormat] = {"fbgemm_fp8": "fbgemm"}
_MODELOPT: dict[str, CheckpointFormat] = {"FP8": "fp8", "NVFP4": "nvfp4"}
"""Formats by the quant_algo of NVIDIA's Model Optimizer."""
MODELOPT_FILE = "hf_quant_config.json"
"""What Model Optimizer writes beside a config.json that may say nothing of quantization."""
_BITS: dict[str, tuple[int, ...]] = {"awq": (4,), "gptq": (4, 8)}
# Every group of weights has a scale of its own; smaller ones than these take more memory than was measured.
_USUAL_GROUP = 128
# Modules before `layers`, which files put in front of a name or leave out.
_PREFIXES = ("model.", "", "model.language_model.", "language_model.model.", "language_model.")
# A pattern of a file is run as a regular expression only if it is made of these: nothing that repeats a group.
_PLAIN_PATTERN = re.compile(r"(?:[\w.\-$^]|\.\*|\\d\+|\[0-9\]\+|\\\.|\((?:\?:)?[\w.|\-\\]+\)|\*)+")
_MOST_PATTERNS = 24
# What families call a part of a layer, by the name that is counted with.
_SEGMENTS = {
    "attention": "self_attn",
    "attn": "self_attn",
    "block_sparse_moe": "mlp",
    "feed_forward": "mlp",
    "self_attention": "self_attn",
    "shared_expert": "shared_experts",
    "w1": "gate_proj",
    "w2": "down_proj",
    "w3": "up_proj",
}
_FUSED = {
    "gate_up_proj": ("gate_proj", "up_proj"),
    "qkv_proj": ("q_proj", "k_proj", "v_proj"),
}
_ALL_MODULES = {"Linear", "linear"}
_LONGEST_PATTERN = 2000
_MOST_WILDCARDS = 3


@dataclass(frozen=True)
class CheckpointPrecision:
    """How a checkpoint's weights are quantized.

    Attributes:
        format: the format; `none` for weights at the model's own precision.
        bits: bits of a weight, where the format leaves that open.
        kind: type of 8-bit weights, where the format leaves that open.
        group_size: weights that share a scale, where they are fewer than usual.
        is_kept: whether a linear layer stays at the model's own precision.
        blockwise: whether every block of FP8 weights has a scale of its own.

    """

    format: CheckpointFormat
    bits: Literal[4, 8] | None = None
    kind: Literal["float", "int"] = "float"
    group_size: int | None = None
    is_kept: Callable[[Matrix], bool] = lambda _matrix: False
    blockwise: bool = False


def precision_of(config: Mapping[str, Any], path: str) -> tuple[CheckpointPrecision, list[Finding]]:
    """How the checkpoint of a config.json is quantized, and what of it cannot be planned.

    Args:
        config: keys of the whole file with those of its language model over them, as either may say it.
        path: where the configuration names the file.

    """
    quantization = config.get("quantization_config") or config.get("compression_config")
    if not isinstance(quantization, dict):
        return CheckpointPrecision("none"), []
    method = str(quantization.get("quant_method", "")).lower()
    if method == "gguf":
        return CheckpointPrecision("none"), [_gguf(path)]
    method = _METHODS.get(method, method)
    if method == "modelopt":
        method = _MODELOPT.get(str(quantization.get("quant_algo", "")).upper(), method)
    if method not in FORMATS:
        return CheckpointPrecision("none"), [_unsupported(path)]
    if method == "compressed-tensors":
        precision, problems = _compressed(quantization, path)
    else:
        precision, problems = _simple(method, quantization, path)
    left_alone, unclear = _left_alone(quantization, path)
    return (
        CheckpointPrecision(
            precision.format,
            precision.bits,
            precision.kind,
            precision.group_size,
            _all_but_experts if method == "mxfp4" else left_alone,
            method == "fp8" and bool(quantization.get("weight_block_size")),
        ),
        [*problems, *unclear],
    )


def modelopt_config(document: Mapping[str, Any]) -> dict[str, Any]:
    """The quantization_config that a hf_quant_config.json stands for; empty where it names no algorithm."""
    stated = document.get("quantization")
    if not isinstance(stated, dict) or not stated.get("quant_algo"):
        return {}
    return {"quant_method": "modelopt", "quant_algo": stated["quant_algo"], "ignore": stated.get("exclude_modules")}


def _gguf(path: str) -> Finding:
    return Finding(
        path=path,
        what="its weights are GGUF, which is not supported",
        why="vLLM 0.24 and newer do not load it and TGI never did; older versions of vLLM unpack it with slow kernels",
        fix="use the model's own checkpoint, or one in AWQ, GPTQ or FP8",
    )


def _unsupported(path: str) -> Finding:
    return Finding(
        path=path,
        what="its quant_method is not supported",
        why="the weights' size depends on it",
        fix=f"use a checkpoint in one of: {', '.join(FORMATS[:-1])}; or give the numbers under architecture",
    )


def _simple(method: str, quantization: Mapping[str, Any], path: str) -> tuple[CheckpointPrecision, list[Finding]]:
    format_: CheckpointFormat = next(known for known in FORMATS if known == method)
    bits = quantization.get("bits", quantization.get("w_bit"))
    problems = []
    allowed = _BITS.get(method)
    if allowed and bits is not None and bits not in allowed:
        problems.append(_bits_problem(path, method, allowed))
    if isinstance(quantization.get("dynamic"), dict) and any(
        not str(name).startswith("-:") for name in quantization["dynamic"]
    ):
        problems.append(_mixed(path))
    group = quantization.get("group_size", quantization.get("q_group_size"))
    own: Literal[8] | None = None
    if (method == "gptq" and bits == 8) or (method == "bitsandbytes" and quantization.get("load_in_8bit") is True):
        own = 8
    return CheckpointPrecision(format_, own, group_size=_small_group(group) if method in _BITS else None), problems


def _compressed(quantization: Mapping[str, Any], path: str) -> tuple[CheckpointPrecision, list[Finding]]:
    groups = quantization.get("config_groups")
    weights = [
        group["weights"]
        for group in (groups.values() if isinstance(groups, dict) else [])
        if isinstance(group, dict) and isinstance(group.get("weights"), dict)
    ]
    stated = {(one.get("num_bits"), one.get("type")) for one in weights}
    problems: list[Finding] = []
    if weights and all(_is_nvfp4(one) for one in weights):
        return CheckpointPrecision("nvfp4"), problems
    if len({bits for bits, _ in stated}) > 1:
        problems.append(_mixed(path))
    elif any(bits not in (4, 8, None) for bits, _ in stated):
        problems.append(_bits_problem(path, "compressed-tensors", (4, 8)))
    elif (4, "float") in stated:
        problems.append(
            Finding(
                path=path,
                what="its weights are 4-bit floating point, which is not supported",
                why="MXFP4 of compressed-tensors takes more than 4-bit integers, how much is not known",
                fix="use an NVFP4, W4A16, W8A8 or FP8 checkpoint, or give the numbers under architecture",
            )
        )
    bits: Literal[4, 8] = 4 if any(bits == 4 for bits, _ in stated) else 8
    kind: Literal["float", "int"] = "int" if bits == 8 and any(type_ == "int" for _, type_ in stated) else "float"
    sizes = [size for one in weights if (size := _small_group(one.get("group_size"))) is not None]
    return CheckpointPrecision("compressed-tensors", bits, kind, min(sizes) if sizes and bits == 4 else None), problems


def _is_nvfp4(weights: Mapping[str, Any]) -> bool:
    """Whether weights are 4-bit floating point with a scale for each 16."""
    return (weights.get("num_bits"), weights.get("type"), weights.get("group_size")) == (4, "float", 16)


def _small_group(size: object) -> int | None:
    usable = isinstance(size, int) and not isinstance(size, bool) and 0 < size < _USUAL_GROUP
    return size if usable and isinstance(size, int) else None


def _bits_problem(path: str, method: str, allowed: Iterable[int]) -> Finding:
    return Finding(
        path=path,
        what=f"its {method} weights have a number of bits that is not supported",
        why="the weights' size depends on it",
        fix=f"use a checkpoint with {' or '.join(map(str, allowed))} bits",
    )


def _mixed(path: str) -> Finding:
    return Finding(
        path=path,
        what="its weights have different numbers of bits",
        why="which module has which decides the weights' size, and that is not planned",
        fix="give the numbers under architecture, with the format that most weights have",
    )


def _all_but_experts(matrix: Matrix) -> bool:
    return not matrix.of_experts


def _left_alone(quantization: Mapping[str, Any], path: str) -> tuple[Callable[[Matrix], bool], list[Finding]]:
    """Whether quantization leaves a module alone, by the names and patterns that the file lists."""
    listed: list[str] = []
    for key in ("ignore", "ignored_layers", "modules_to_not_convert", "llm_int8_skip_modules"):
        listed += _texts(quantization.get(key))
    dynamic = quantization.get("dynamic")
    if isinstance(dynamic, dict):
        listed += [f"re:{name.removeprefix('-:')}" for name in dynamic if name.startswith("-:")]
    groups = quantization.get("config_groups")
    parts = [group for group in groups.values() if isinstance(group, dict)] if isinstance(groups, dict) else []
    targets = [name for group in parts for name in _texts(group.get("targets"))]
    ignored = _Modules.of(listed)
    # A class of modules stands for all of them; anything else for what it names.
    targeted = _Modules.of(targets if targets and not set(targets) & _ALL_MODULES else [])
    if ignored is None or targeted is None:
        return (lambda _matrix: False), [
            Finding(
                path=path,
                what="it leaves modules unquantized by patterns that are not understood",
                why="which they are decides the weights' size",
                fix="list them by name, or give the numbers under architecture",
            )
        ]
    only, left = targeted, ignored

    def is_kept(matrix: Matrix) -> bool:
        return left.has(matrix.name) or (not only.is_empty and not only.has(matrix.name))

    return is_kept, []


@dataclass(frozen=True)
class _Modules:
    """Modules by name, of which the whole or a run of segments may stand in the list, and by pattern."""

    names: frozenset[str]
    patterns: tuple[re.Pattern[str], ...]

    @classmethod
    def of(cls, listed: list[str]) -> "_Modules | None":
        """The modules of a list; None where a pattern of it is not understood."""
        patterns = [name for name in listed if _is_pattern(name)]
        compiled = [_compiled(name) for name in patterns[: _MOST_PATTERNS + 1]]
        known = tuple(one for one in compiled if one is not None)
        if len(patterns) > _MOST_PATTERNS or len(known) < len(compiled):
            return None
        names = {usual for name in listed if not _is_pattern(name) for usual in _usual(_from_layers(name))}
        return cls(frozenset(names), known)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is listed."""
        return not self.names and not self.patterns

    def has(self, name: str) -> bool:
        """Whether a module is one of them."""
        if self.is_empty:
            return False
        parts = name.split(".")
        # Every run of whole segments: layers.0, self_attn, mlp.experts.
        spans = {".".join(parts[start:end]) for start in range(len(parts)) for end in range(start + 1, len(parts) + 1)}
        if not self.names.isdisjoint(spans):
            return True
        return any(one.match(prefix + name) for one in self.patterns for prefix in _PREFIXES)


def _texts(value: object) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def _from_layers(name: str) -> str:
    """A module's name from `layers` on, as files put different things before it."""
    start = name.find("layers.")
    return name[start:] if start >= 0 else name


def _usual(name: str) -> list[str]:
    """A module's name with the usual words for its segments; several where one stands for several modules."""
    parts = [_SEGMENTS.get(part, part) for part in name.split(".")]
    return [".".join([*parts[:-1], last]) for last in _FUSED.get(parts[-1], (parts[-1],))]


def _is_pattern(name: str) -> bool:
    return name.startswith("re:") or "*" in name


def _compiled(pattern: str) -> re.Pattern[str] | None:
    """A pattern that may be run on names; None where it could take long or is not one."""
    if len(pattern) > _LONGEST_PATTERN:
        return None
    if not pattern.startswith("re:"):
        pattern = ".*".join(re.escape(part) for part in pattern.split("*")) + r"(?:\..*)?$"
    else:
        pattern = pattern.removeprefix("re:")
        if not _PLAIN_PATTERN.fullmatch(pattern):
            return None
    if pattern.count("*") + pattern.count("+") > _MOST_WILDCARDS:
        return None
    for word, usual in _SEGMENTS.items():
        pattern = re.sub(rf"(?<![a-z_]){word}(?![a-z_0-9])", usual, pattern)
    for word, several in _FUSED.items():
        pattern = re.sub(rf"(?<![a-z_]){word}(?![a-z_0-9])", f"(?:{'|'.join(several)})", pattern)
    try:
        return re.compile(pattern)
    except re.error:
        return None
