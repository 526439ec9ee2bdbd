"""What is asked of a memory plan, and which requests cannot be answered."""

import math
import re
from dataclasses import dataclass
from typing import Literal, TypeVar

from gke_llm_inference.catalog import ModelArchitecture, ServerKind
from gke_llm_inference.catalog.facts import DTYPE_BYTES
from gke_llm_inference.catalog.memory_facts import MemoryFacts, Runner, TgiVersionFacts, VllmVersionFacts
from gke_llm_inference.planning.versions import version_parts
from gke_llm_inference.settings import Finding, Refusal, suggestion

_Value = TypeVar("_Value")
CompileCache = Literal["cold", "warm"]
Kernels = Literal["dense", "fp8", "int8", "marlin", "bitsandbytes"]


@dataclass(frozen=True)
class WeightsFormat:
    """How weights lie in memory.

    Attributes:
        linear_bits: bits of a linear layer's weight with its scales, from the format's definition.
        kernels: which kernels multiply with it, which decides what a step takes.
        on_load: whether the server makes it from weights at their own precision.

    """

    linear_bits: float
    kernels: Kernels
    on_load: bool = False

    @property
    def precision(self) -> int:
        """Bits of the bare weight: 16, 8 or 4."""
        return 16 if self.linear_bits >= 16 else 8 if self.linear_bits >= 8 else 4


# Groups of 128 with a 16-bit scale are 0.125 bits, with a 4-bit zero point 0.15625; NF4 has 32 bits for 64 weights.
WEIGHTS_FORMATS: dict[str, WeightsFormat] = {
    "bf16": WeightsFormat(16, "dense"),
    "fp8": WeightsFormat(8, "fp8", on_load=True),
    "ctfp8": WeightsFormat(8, "fp8"),
    "ctw8a8": WeightsFormat(8, "int8"),
    "eetq": WeightsFormat(8, "marlin", on_load=True),
    "bitsandbytes8": WeightsFormat(8, "bitsandbytes", on_load=True),
    "gptq8": WeightsFormat(8.125, "marlin"),
    "awq": WeightsFormat(4.15625, "marlin"),
    "gptq": WeightsFormat(4.125, "marlin"),
    "ctw4a16": WeightsFormat(4.125, "marlin"),
    "squeezellm": WeightsFormat(4.15625, "marlin"),
    "bitsandbytes": WeightsFormat(4.5, "bitsandbytes", on_load=True),
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
_KV_BYTES = {
    "bfloat16": 2,
    "float16": 2,
    "fp8": 1,
    "fp8_e4m3": 1,
    "fp8_e4m3fn": 1,
    "fp8_e5m2": 1,
}
_LARGEST = 10**14
_REQUIRED = ("tensorParallel", "pipelineParallel")
# Families whose classes in vLLM are those of Llama.
_LLAMA_FAMILIES = ("mistral", "mixtral", "phi", "yi", "internlm")


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
        compile_cache: state of torch's compile cache at start; None plans for an empty one.
        rope_factor: length of the rotary table as a multiple of the positions; the family's if None.
        mla_width: width of a token's compressed KV (kv_lora_rank + qk_rope_head_dim), for multi-head latent attention.
        tensor_parallel: GPUs that share every layer.
        pipeline_parallel: stages that share the layers.
        accelerator: GKE's name of the GPU, for the defaults that depend on it.
        path: where the configuration holds the server, for refusals.

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
    compile_cache: CompileCache | None = None
    rope_factor: float | None = None
    mla_width: int | None = None
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    server: ServerKind = "vllm"
    version: str = "0.26.0"
    accelerator: str | None = None
    path: str = "server"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """A request's settings with every default filled in."""

    max_model_len: int
    utilization: float
    max_num_seqs: int
    max_num_batched_tokens: int
    runner: Runner


def weights_format(name: str) -> WeightsFormat | None:
    """The weights format of that name or of one that means the same, None if there is none."""
    return WEIGHTS_FORMATS.get(format_name(name))


def format_name(name: str) -> str:
    """The measurements' name of a weights format."""
    return _ALIASES.get(name, name)


def kv_bytes(name: str) -> int | None:
    """Bytes of one element of the KV cache, None for a type that is not known."""
    if name == "auto" or name.startswith("auto "):
        return 2
    return _KV_BYTES.get(name)


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
        prefill = tgi_version_facts(request.version, facts).default_prefill_tokens
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
    # Since 0.19 a default number of sequences gives way to a smaller batch of tokens.
    gives_way = version_parts(request.version) >= (0, 19) and request.max_num_batched_tokens is not None
    most = request.max_num_batched_tokens if gives_way else None
    sequences = _given(request.max_num_seqs, min(defaults.max_num_seqs, most or defaults.max_num_seqs))
    tokens = defaults.max_num_batched_tokens
    if runner == "V0":
        tokens = max(tokens, context)
    return Limits(
        max_model_len=context,
        utilization=_given(request.gpu_memory_utilization, version.utilization),
        max_num_seqs=sequences,
        max_num_batched_tokens=_given(request.max_num_batched_tokens, max(tokens, sequences)),
        runner=runner,
    )


def check(request: MemoryRequest, facts: MemoryFacts) -> Limits:
    """The request's settings, complete, once they make sense.

    Raises:
        Refusal: with everything that is impossible about the request.

    """
    problems = [*_number_problems(request), *_name_problems(request), *_shape_problems(request)]
    if problems:
        raise Refusal(problems)
    limits = limits_of(request, facts)
    problems = [*_limit_problems(request, limits), *_split_problems(request)]
    if problems:
        raise Refusal(problems)
    return limits


def _number_problems(request: MemoryRequest) -> list[Finding]:
    counts = {
        "maxModelLen": request.max_model_len,
        "maxNumSeqs": request.max_num_seqs,
        "maxNumBatchedTokens": request.max_num_batched_tokens,
        "tensorParallel": request.tensor_parallel,
        "pipelineParallel": request.pipeline_parallel,
        "mlaWidth": request.mla_width,
    }
    problems = [
        Finding(
            f"{request.path}.{name}", "not a positive whole number", "memory is counted in whole tokens", "correct it"
        )
        for name, value in counts.items()
        if not _is_count(value) and (value is not None or name in _REQUIRED)
    ]
    if not _is_size(request.gpu_memory_mib):
        problems.append(
            Finding(
                f"{request.path}.accelerator.memoryMib",
                "not a size of memory in MiB",
                "the plan divides this memory",
                "give what the driver shows, such as 22561 for an L4",
            )
        )
    share = request.gpu_memory_utilization
    if share is not None and not (_is_number(share) and 0 < share <= 1):
        problems.append(
            Finding(
                f"{request.path}.gpuMemoryUtilization",
                "not a share of the GPU's memory",
                "it is above 0 and at most 1",
                "use 0.9",
            )
        )
    factor = request.rope_factor
    if factor is not None and not (_is_size(factor) and factor < _LARGEST):
        problems.append(Finding(f"{request.path}.ropeFactor", "not a positive number", "it scales a table", "omit it"))
    return problems


def _name_problems(request: MemoryRequest) -> list[Finding]:
    problems = []
    if weights_format(str(request.weights_format)) is None:
        problems.append(
            Finding(
                f"{request.path}.quantization",
                "this weights format is not known",
                "its size cannot be planned",
                suggestion(str(request.weights_format), [*WEIGHTS_FORMATS]),
            )
        )
    if kv_bytes(str(request.kv_cache_dtype)) is None:
        problems.append(
            Finding(
                f"{request.path}.kvCacheDtype",
                "this type of KV cache is not known",
                "its size cannot be planned",
                suggestion(str(request.kv_cache_dtype), ["auto", *_KV_BYTES]),
            )
        )
    if not version_parts(request.version):
        problems.append(Finding(f"{request.path}.version", "not a version", "it decides the formulas", "as in 0.26.0"))
    return problems


def _shape_problems(request: MemoryRequest) -> list[Finding]:
    """Numbers of an architecture that no model can have."""
    given = request.architecture
    counts = {
        "parameters": given.parameters,
        "layers": given.layers,
        "hiddenSize": given.hidden_size,
        "intermediateSize": given.intermediate_size,
        "attentionHeads": given.attention_heads,
        "kvHeads": given.kv_heads,
        "headDim": given.head_dim,
        "vocabSize": given.vocab_size,
        "maxPositions": given.max_positions,
    }
    where = f"{request.path}.architecture"
    problems = [
        Finding(f"{where}.{name}", "not a positive whole number", "no model has it so", "see its config.json")
        for name, value in counts.items()
        if not _is_count(value)
    ]
    if problems:
        return problems
    if given.attention_heads % given.kv_heads:
        problems.append(
            Finding(
                f"{where}.kvHeads",
                f"{given.attention_heads} query heads cannot share {given.kv_heads} KV heads",
                "groups of query heads are equal",
                "see num_key_value_heads in the model's config.json",
            )
        )
    window = given.sliding_window
    if window is not None and window.layers > given.layers:
        problems.append(
            Finding(
                f"{where}.slidingWindow.layers",
                f"{window.layers} of {given.layers} layers",
                "layers with a window are a part of all layers",
                "see layer_types in the model's config.json",
            )
        )
    embeddings = given.vocab_size * given.hidden_size * (1 if given.tied_embeddings else 2)
    if given.parameters < embeddings:
        problems.append(
            Finding(
                f"{where}.parameters",
                f"{given.parameters} are fewer than the {embeddings} of the embeddings alone",
                "every weight counts, embeddings included",
                "see the model's page",
            )
        )
    return problems


def _limit_problems(request: MemoryRequest, limits: Limits) -> list[Finding]:
    problems = []
    longest = request.architecture.max_positions
    if limits.max_model_len > longest:
        problems.append(
            Finding(
                f"{request.path}.maxModelLen",
                f"{limits.max_model_len} tokens are more than the model's {longest}",
                "the server refuses a context beyond what the model was made for",
                f"use {longest} or less",
            )
        )
    if request.server == "vllm" and limits.max_num_batched_tokens < limits.max_num_seqs:
        problems.append(
            Finding(
                f"{request.path}.maxNumBatchedTokens",
                f"{limits.max_num_batched_tokens} is less than maxNumSeqs {limits.max_num_seqs}",
                "every request of a batch needs at least one token of it",
                f"use {limits.max_num_seqs} or more",
            )
        )
    return problems


def _split_problems(request: MemoryRequest) -> list[Finding]:
    given, gpus = request.architecture, request.tensor_parallel
    problems = []
    if given.attention_heads % gpus:
        problems.append(
            Finding(
                f"{request.path}.accelerator.count",
                f"{gpus} GPUs cannot share {given.attention_heads} attention heads",
                "tensor parallelism gives every GPU the same number of heads",
                "use a number of GPUs that divides the heads",
            )
        )
    elif given.kv_heads % gpus and gpus % given.kv_heads:
        problems.append(
            Finding(
                f"{request.path}.accelerator.count",
                f"{gpus} GPUs cannot share {given.kv_heads} KV heads",
                "KV heads are split or copied evenly",
                "use a number of GPUs that divides the KV heads or is a multiple of them",
            )
        )
    if request.pipeline_parallel > given.layers:
        problems.append(
            Finding(
                f"{request.path}.pipelineParallel",
                f"{request.pipeline_parallel} stages cannot share {given.layers} layers",
                "every stage has at least one layer",
                f"use {given.layers} or less",
            )
        )
    return problems


def _given(value: _Value | None, default: _Value) -> _Value:
    return default if value is None else value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_size(value: object) -> bool:
    return isinstance(value, int | float) and _is_number(value) and 0 < value < 10**15


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < _LARGEST


def own_bytes(architecture: ModelArchitecture) -> int:
    """Bytes of a weight that a server does not quantise: 2, as servers load float32 checkpoints in 16 bits."""
    return min(2, DTYPE_BYTES[architecture.dtype])
