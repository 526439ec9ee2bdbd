"""What a memory plan is made for, and the server's defaults for what is left open."""

import math
import re
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from gke_llm_inference.catalog import ModelArchitecture, ServerKind
from gke_llm_inference.catalog.effects import Amount
from gke_llm_inference.catalog.facts import DTYPE_BYTES
from gke_llm_inference.catalog.memory_facts import MemoryFacts, Runner, TgiVersionFacts, VllmVersionFacts
from gke_llm_inference.planning.versions import version_parts

_Value = TypeVar("_Value")
CompileCache = Literal["cold", "warm"]
Starts = Literal["cold", "warm", "restarts", "both"]
"""Starts that a server has, by what they find in its compile cache.

Nothing (cold), everything (warm), nothing in a new pod and everything where a container restarts in its pod
(restarts), or nothing the first time and everything later, as the cache outlives its pods (both).
"""
Kernels = Literal["dense", "fp8", "int8", "marlin", "bitsandbytes"]


@dataclass(frozen=True)
class WeightsFormat:
    """How weights lie in memory; the bits of one, scales included, are measured facts of the catalog.

    Attributes:
        precision: bits of the bare weight.
        kernels: which kernels multiply with it, which decides what a step takes.
        on_load: whether the server makes it from weights at their own precision.

    """

    precision: Literal[16, 8, 4]
    kernels: Kernels
    on_load: bool = False


WEIGHTS_FORMATS: dict[str, WeightsFormat] = {
    "bf16": WeightsFormat(16, "dense"),
    "fp8": WeightsFormat(8, "fp8", on_load=True),
    "ctfp8": WeightsFormat(8, "fp8"),
    "ctw8a8": WeightsFormat(8, "int8"),
    "eetq": WeightsFormat(8, "marlin", on_load=True),
    "bitsandbytes8": WeightsFormat(8, "bitsandbytes", on_load=True),
    "gptq8": WeightsFormat(8, "marlin"),
    "awq": WeightsFormat(4, "marlin"),
    "gptq": WeightsFormat(4, "marlin"),
    "ctw4a16": WeightsFormat(4, "marlin"),
    "squeezellm": WeightsFormat(4, "marlin"),
    "bitsandbytes": WeightsFormat(4, "bitsandbytes", on_load=True),
    "mxfp4": WeightsFormat(4, "marlin"),
    "nvfp4": WeightsFormat(4, "marlin"),
}
"""Weights formats by the names that the measurements use; `ct` stands for compressed-tensors."""

_ALIASES = {
    "bfloat16": "bf16",
    "float16": "bf16",
    "fp16": "bf16",
    "float32": "bf16",
    "none": "bf16",
    "gptq4": "gptq",
    "gptq_marlin": "gptq",
    "awq_marlin": "awq",
    "nf4": "bitsandbytes",
    "bitsandbytes-nf4": "bitsandbytes",
    "bitsandbytes-fp4": "bitsandbytes",
}
KV_CACHE_DTYPES = {
    "auto": 2,
    "bfloat16": 2,
    "float16": 2,
    "fp8": 1,
    "fp8_e4m3": 1,
    "fp8_e4m3fn": 1,
    "fp8_e5m2": 1,
}
"""Bytes of one element of the KV cache by its type; `auto` is the model's own, which servers load in 16 bits."""
# Families whose classes in vLLM are those of Llama.
_LLAMA_FAMILIES = ("mistral", "mixtral", "phi", "yi", "internlm")


@dataclass(frozen=True, kw_only=True)
class Unplanned:
    """A flag or variable that changes what the plan does not model.

    Attributes:
        path: where it stands in the configuration.
        name: the flag or variable.
        what: what it does, as the end of a sentence that begins with it.
        at_least: what it takes of each GPU at least; below 0 where it frees memory.
        at_most: what it takes at most.
        value: its value, where that is a number.
        adapters: rank of all adapters that are loaded at once.
        host_mib: what it takes of the pod's own memory.
        of_model: whether it is a part of the model rather than a flag or variable.
        has_tables: whether adapters have buffers for the embeddings and the output layer.

    """

    path: str
    name: str
    what: str
    at_least: Amount
    at_most: Amount
    value: float = 0.0
    adapters: int = 0
    host_mib: float = 0.0
    of_model: bool = False
    has_tables: bool = False


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A second model that guesses tokens for the first.

    Attributes:
        name: its Hugging Face id.
        layers: its layers, each with a KV cache of its own; none of them is planned with a window.
        kv_heads: its KV heads.
        head_dim: width of one.
        weights_bytes: its weights over all GPUs.
        rotary_positions: positions of its rotary table.

    """

    name: str
    layers: int
    kv_heads: int
    head_dim: int
    weights_bytes: int
    rotary_positions: int


@dataclass(frozen=True, kw_only=True)
class MemoryRequest:
    """What a memory plan is made for; None takes the server's default.

    Attributes:
        architecture: the model's numbers.
        family: model family (model_type), such as gemma2.
        gpu_memory_mib: memory of one GPU in MiB, as torch sees it.
        weights_format: one of WEIGHTS_FORMATS.
        kv_cache_dtype: auto for the model's own, or as the server names it.
        max_model_len: longest context in tokens; the model's own if None.
        gpu_memory_utilization: share of the GPU that the server may use; for TGI the CUDA memory fraction.
        max_num_seqs: most requests in one batch.
        max_num_batched_tokens: most tokens in one step; for TGI the most prompt tokens.
        enforce_eager: whether there is neither compilation nor CUDA graphs.
        model_runner: vLLM's model runner; the version's own if None.
        compile_cache: state of torch's compile cache at its starts; None plans for an empty one.
        rope_factor: length of the rotary table as a multiple of the positions; the family's if None.
        group_size: weights that share a scale, where they are fewer than usual.
        mla_width: width of a token's compressed KV (kv_lora_rank + qk_rope_head_dim), for multi-head latent attention.
        tensor_parallel: GPUs that share every layer.
        pipeline_parallel: stages that share the layers.
        accelerator: GKE's name of the GPU, for the defaults that depend on it.
        path: where the configuration holds the server, for refusals.
        kv_cache_mib: size of the KV cache on each GPU, where the server is told rather than takes what is left.
        unplanned: flags and variables that change memory in a way that is not modeled.
        pooling: whether the server gives one result for all tokens of an input, and generates nothing.
        text_only: whether prompts have no images, so that no vision tower runs.
        draft: the second model that guesses tokens; None without one.

    """

    architecture: ModelArchitecture
    family: str
    gpu_memory_mib: float
    weights_format: str = "bf16"
    kv_cache_dtype: str = "auto"
    max_model_len: int | None = None
    gpu_memory_utilization: float | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    enforce_eager: bool = False
    model_runner: Runner | None = None
    compile_cache: Starts | None = None
    rope_factor: float | None = None
    group_size: int | None = None
    mla_width: int | None = None
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    server: ServerKind = "vllm"
    version: str = "0.26.0"
    accelerator: str | None = None
    path: str = field(default="server", compare=False)
    kv_cache_mib: float | None = None
    unplanned: tuple[Unplanned, ...] = ()
    pooling: bool = False
    text_only: bool = False
    draft: Draft | None = None

    @property
    def host_gib(self) -> int:
        """What flags and variables keep in the pod's own memory, in GiB."""
        return math.ceil(sum(one.host_mib for one in self.unplanned) * self.tensor_parallel / 1024)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """A request's settings with every default filled in."""

    max_model_len: int
    utilization: float
    max_num_seqs: int
    max_num_batched_tokens: int
    runner: Runner


def weights_format(name: str) -> WeightsFormat:
    """The weights format of that name or of one that means the same.

    Raises:
        KeyError: there is none.

    """
    return WEIGHTS_FORMATS[format_name(name)]


def format_name(name: str) -> str:
    """The measurements' name of a weights format."""
    return _ALIASES.get(name, name)


def kv_bytes(name: str) -> int:
    """Bytes of one element of the KV cache.

    Raises:
        KeyError: the type is not known.

    """
    return KV_CACHE_DTYPES[name]


def family_group(family: str) -> str:
    """Family without its generation, as gemma for gemma2 and gemma3_text; llama for those that vLLM runs as Llama."""
    name = re.split(r"[\d_.-]", family, maxsplit=1)[0]
    return "llama" if name in _LLAMA_FAMILIES else name


def vllm_version_facts(version: str, facts: MemoryFacts) -> VllmVersionFacts:
    """What holds for a vLLM version: the newest entry that is not newer, or the oldest."""
    parts = version_parts(version)
    older = [version for version in facts.versions.vllm if version_parts(version.since) <= parts]
    return older[-1] if older else facts.versions.vllm[0]


def tgi_version_facts(version: str, facts: MemoryFacts) -> TgiVersionFacts:
    """What holds for a TGI version."""
    parts = version_parts(version)
    older = [version for version in facts.versions.tgi if version_parts(version.since) <= parts]
    return older[-1] if older else facts.versions.tgi[0]


def limits_of(request: MemoryRequest, facts: MemoryFacts) -> Limits:
    """The request's settings with the server's defaults where it has none.

    vLLM's defaults: `get_batch_defaults` in vllm/engine/arg_utils.py, for the API server. TGI's prefill limit:
    its launcher's.
    """
    architecture = request.architecture
    context = request.max_model_len or architecture.max_positions
    if request.server == "tgi":
        tgi = tgi_version_facts(request.version, facts)
        prefill = tgi.default_prefill_tokens
        context = request.max_model_len or min(context, tgi.default_context_tokens or context)
        return Limits(
            max_model_len=context,
            utilization=_given(request.gpu_memory_utilization, 1.0),
            max_num_seqs=_given(request.max_num_seqs, 128),
            max_num_batched_tokens=_given(request.max_num_batched_tokens, min(prefill, context)),
            runner="V0",
        )
    version = vllm_version_facts(request.version, facts)
    defaults = [
        entry
        for entry in facts.versions.vllm_defaults
        if entry.from_mib <= request.gpu_memory_mib and request.accelerator not in entry.except_accelerators
    ][-1]
    runner = request.model_runner or (version.sparse_runner if architecture.experts else version.runner)
    if request.pooling and runner == "V2":
        runner = "V1"  # which alone pools: use_v2_model_runner in vllm/config/vllm.py of 0.26.0
    # Since 0.19 a default number of sequences gives way to a smaller batch of tokens.
    gives_way = version_parts(request.version) >= (0, 19) and request.max_num_batched_tokens is not None
    most = request.max_num_batched_tokens if gives_way else None
    sequences = _given(request.max_num_seqs, min(defaults.max_num_seqs, most or defaults.max_num_seqs))
    tokens = defaults.max_num_batched_tokens
    if runner == "V0" or architecture.encoder_only:
        # An encoder sees an input whole, in one step.
        tokens = max(tokens, context)
    return Limits(
        max_model_len=context,
        utilization=_given(request.gpu_memory_utilization, version.utilization),
        max_num_seqs=sequences,
        max_num_batched_tokens=_given(request.max_num_batched_tokens, max(tokens, sequences)),
        runner=runner,
    )


def _given(value: _Value | None, default: _Value) -> _Value:
    return default if value is None else value


def own_bytes(architecture: ModelArchitecture) -> int:
    """Bytes of a weight that a server does not quantize: 2, as servers load float32 checkpoints in 16 bits."""
    return min(2, DTYPE_BYTES[architecture.dtype])
