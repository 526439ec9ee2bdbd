"""Which settings go together: with each other, with the model, the version and the GPUs, whoever set them.

Rules about settings see them with presets applied. Rules about numbers see the memory request that follows, so that an
extra argument which overrides a setting is judged as the server will get it.
"""

import math
from collections.abc import Sequence
from typing import get_args

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.memory_facts import MemoryFacts
from gke_llm_inference.catalog.preset_facts import CheckpointFormat, Technique
from gke_llm_inference.planning.adapters.findings import adapter_findings
from gke_llm_inference.planning.chat_features import chat_problems
from gke_llm_inference.planning.extra import overridden
from gke_llm_inference.planning.loading import class_problems, format_problems
from gke_llm_inference.planning.machines import gpu_counts
from gke_llm_inference.planning.media import media_problems
from gke_llm_inference.planning.memory.from_settings import memory_request, quantization_method
from gke_llm_inference.planning.memory.request import (
    KV_CACHE_DTYPES,
    WEIGHTS_FORMATS,
    Draft,
    MemoryRequest,
    Unplanned,
    format_name,
    limits_of,
)
from gke_llm_inference.planning.memory.sharding import embedding_parameters, heads_divide, kv_heads_divide
from gke_llm_inference.planning.models import ServedModel
from gke_llm_inference.planning.speculation import speculation_problems
from gke_llm_inference.planning.tasks import task_problems
from gke_llm_inference.planning.versions import version_parts
from gke_llm_inference.settings import Finding, ServerSettings, TgiSettings, VllmSettings, suggestion

_PREQUANTIZED = ("awq", "gptq", "squeezellm", "compressed-tensors", "exl2", "marlin")
# Families whose activations overflow in float16 (vllm/config: _FLOAT16_NOT_SUPPORTED_MODELS).
_NO_FLOAT16 = ("gemma2", "gemma3")
_FLOAT16_ARGUMENTS = ("--dtype=half", "--dtype=float16")
# Older GPUs have no bfloat16; vLLM takes float16 there, or float32 where that overflows (_resolve_auto_dtype).
_BFLOAT16_SINCE = Version("8.0")
# Families for which TGI does not use FlashInfer.
_NO_FLASHINFER = ("falcon", "deepseek_v2")
# From this context on, vLLM's older engine has chunked prefill on by default.
_LONG_CONTEXT_TOKENS = 32 * 1024
_FEWEST_TOKENS = 2
_LARGEST = 10**14
_REQUIRED_COUNTS = ("tensorParallel", "pipelineParallel")


def setting_problems(
    path: str, settings: ServerSettings, version: str, model: ServedModel, catalog: Catalog
) -> list[Finding]:
    """Problems of a server's settings with each other, its model, its version and its GPUs.

    Args:
        path: where the server stands in the configuration.
        settings: the settings with presets applied.
        version: version of the server.
        model: the model that it loads.
        catalog: the facts to decide by.

    """
    settings = overridden(settings, version, catalog)
    request = memory_request(path, settings, version, model, catalog.memory)
    counts = gpu_counts(settings.accelerator.type, catalog)
    problems = _number_problems(request) or _request_problems(request, catalog.memory, counts)
    problems += _architecture_problems(request)
    problems += _context_problems(request)
    problems += _output_problems(path, settings, model)
    of_checkpoint = _checkpoint_problems(path, settings, version, model, catalog)
    problems += of_checkpoint
    problems += _capability_problems(path, settings, model, catalog)
    problems += task_problems(path, settings, version, model, catalog)
    problems += adapter_findings(path, settings, version, model, catalog)
    problems += speculation_problems(path, settings, version, model, catalog)
    problems += chat_problems(path, settings, version, catalog)
    problems += media_problems(path, settings, version, model)
    problems += class_problems(path, settings, version, model, catalog)
    problems += [] if of_checkpoint else format_problems(path, settings, version, model, catalog)
    match settings:
        case VllmSettings():
            problems += _vllm_problems(path, settings, version, model)
        case TgiSettings():
            problems += _tgi_problems(path, settings, version, model, limits_of(request, catalog.memory).max_model_len)
    return problems


def request_problems(request: MemoryRequest, facts: MemoryFacts) -> list[Finding]:
    """Problems of a memory request that no settings stand behind, such as one from a file of measurements."""
    problems = [
        *_memory_problems(request),
        *_number_problems(request),
        *_name_problems(request),
        *_architecture_problems(request),
    ]
    return problems or _request_problems(request, facts)


def _memory_problems(request: MemoryRequest) -> list[Finding]:
    if _is_size(request.gpu_memory_mib):
        return []
    return [
        Finding(
            path=f"{request.path}.accelerator.memoryMib",
            what="not a size of memory in MiB",
            why="the plan divides this memory",
            fix="give what the driver shows, such as 22561 for an L4",
        )
    ]


def _number_problems(request: MemoryRequest) -> list[Finding]:
    counts = {
        "maxModelLen": request.max_model_len,
        "maxNumSeqs": request.max_num_seqs,
        "maxNumBatchedTokens": request.max_num_batched_tokens,
        "tensorParallel": request.tensor_parallel,
        "pipelineParallel": request.pipeline_parallel,
        "groupSize": request.group_size,
        "mlaWidth": request.mla_width,
    }
    problems = [
        Finding(
            path=f"{request.path}.{name}",
            what="not a positive whole number",
            why="memory is counted in whole tokens",
            fix="correct it",
        )
        for name, value in counts.items()
        if not _is_count(value) and (value is not None or name in _REQUIRED_COUNTS)
    ]
    share = request.gpu_memory_utilization
    if share is not None and not (_is_number(share) and 0 < share <= 1):
        problems.append(
            Finding(
                path=f"{request.path}.gpuMemoryUtilization",
                what="not a share of the GPU's memory",
                why="it is above 0 and at most 1",
                fix="use 0.9",
            )
        )
    cache = request.kv_cache_mib
    if cache is not None and not _is_size(cache):
        problems.append(
            Finding(
                path=f"{request.path}.kvCacheMemoryBytes",
                what="not a size of memory",
                why="the KV cache has that size",
                fix="give bytes, such as 4294967296",
            )
        )
    if not isinstance(request.unplanned, tuple) or not all(isinstance(one, Unplanned) for one in request.unplanned):
        problems.append(
            Finding(path=f"{request.path}.unplanned", what="not what flags change", why="it is counted", fix="omit it")
        )
    if request.draft is not None and not _is_draft(request.draft):
        problems.append(
            Finding(path=f"{request.path}.draft", what="not a second model", why="it is counted", fix="omit it")
        )
    factor = request.rope_factor
    if factor is not None and not (_is_size(factor) and factor < _LARGEST):
        problems.append(
            Finding(
                path=f"{request.path}.ropeFactor", what="not a positive number", why="it scales a table", fix="omit it"
            )
        )
    return problems


def _is_draft(value: object) -> bool:
    return isinstance(value, Draft)


def _name_problems(request: MemoryRequest) -> list[Finding]:
    problems = []
    if format_name(str(request.weights_format)) not in WEIGHTS_FORMATS:
        problems.append(
            Finding(
                path=f"{request.path}.quantization",
                what="this weights format is not supported",
                why="its size cannot be planned",
                fix=suggestion(str(request.weights_format), WEIGHTS_FORMATS),
            )
        )
    if str(request.kv_cache_dtype) not in KV_CACHE_DTYPES:
        problems.append(
            Finding(
                path=f"{request.path}.kvCacheDtype",
                what="this type of KV cache is not supported",
                why="its size cannot be planned",
                fix=suggestion(str(request.kv_cache_dtype), KV_CACHE_DTYPES),
            )
        )
    if not version_parts(request.version):
        problems.append(
            Finding(
                path=f"{request.path}.version", what="not a version", why="it decides the formulas", fix="as in 0.26.0"
            )
        )
    return problems


def _architecture_problems(request: MemoryRequest) -> list[Finding]:
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
        Finding(
            path=f"{where}.{name}",
            what="not a positive whole number",
            why="every model has at least one",
            fix="see its config.json",
        )
        for name, value in counts.items()
        if not _is_count(value)
    ]
    if problems:
        return problems
    if given.attention_heads % given.kv_heads:
        problems.append(
            Finding(
                path=f"{where}.kvHeads",
                what=f"{given.attention_heads} query heads cannot share {given.kv_heads} KV heads",
                why="groups of query heads are equal",
                fix="see num_key_value_heads in the model's config.json",
            )
        )
    window = given.sliding_window
    if window is not None and window.layers > given.layers:
        problems.append(
            Finding(
                path=f"{where}.slidingWindow.layers",
                what=f"{window.layers} of {given.layers} layers",
                why="layers with a window are a part of all layers",
                fix="see layer_types in the model's config.json",
            )
        )
    embeddings = embedding_parameters(given)
    if embeddings <= given.parameters < embeddings + given.unquantized_parameters:
        problems.append(
            Finding(
                path=f"{where}.unquantizedParameters",
                what=f"{given.unquantized_parameters} and the {embeddings} of the embeddings are more than all "
                f"{given.parameters}",
                why="what quantization leaves alone is a part of all weights",
                fix="see the model's page",
            )
        )
    if given.parameters < embeddings:
        problems.append(
            Finding(
                path=f"{where}.parameters",
                what=f"{given.parameters} are fewer than the {embeddings} of the embeddings alone",
                why="every weight counts, embeddings included",
                fix="see the model's page",
            )
        )
    return problems


def _request_problems(
    request: MemoryRequest, facts: MemoryFacts, gpu_counts: Sequence[int] | None = None
) -> list[Finding]:
    """Problems of a request whose numbers make sense each by itself.

    Args:
        request: the request.
        facts: facts about memory, which have the server's defaults.
        gpu_counts: numbers of GPUs that machines have, to propose one; None if that is not asked.

    """
    limits, given = limits_of(request, facts), request.architecture
    problems = []
    if limits.max_model_len > given.max_positions:
        problems.append(
            Finding(
                path=f"{request.path}.maxModelLen",
                what=f"{limits.max_model_len} tokens are more than the model's {given.max_positions}",
                why="the server refuses a context beyond what the model was made for",
                fix=f"use {given.max_positions} or less",
            )
        )
    if request.server == "vllm" and limits.max_num_batched_tokens < limits.max_num_seqs:
        problems.append(
            Finding(
                path=f"{request.path}.maxNumBatchedTokens",
                what=f"{limits.max_num_batched_tokens} is less than maxNumSeqs {limits.max_num_seqs}",
                why="every request of a batch needs at least one token of it",
                fix=f"use {limits.max_num_seqs} or more",
            )
        )
    problems += _parallelism_problems(request, gpu_counts)
    return problems


def _parallelism_problems(request: MemoryRequest, gpu_counts: Sequence[int] | None) -> list[Finding]:
    given, gpus = request.architecture, request.tensor_parallel
    fitting = [str(one) for one in gpu_counts or () if heads_divide(given, one) and kv_heads_divide(given, one)]
    proposal = None if gpu_counts is None else f"use one of: {', '.join(fitting) or '1'}"
    where = f"{request.path}.accelerator.count"
    problems = []
    if not heads_divide(given, gpus):
        problems.append(
            Finding(
                path=where,
                what=f"{gpus} GPUs cannot share {given.attention_heads} attention heads",
                why="tensor parallelism gives every GPU the same number of heads",
                fix=proposal or "use a number of GPUs that divides the heads",
            )
        )
    elif not kv_heads_divide(given, gpus) and (gpu_counts is None or gpus in gpu_counts):
        problems.append(
            Finding(
                path=where,
                what=f"{gpus} GPUs cannot share {given.kv_heads} KV heads",
                why="KV heads are split or copied evenly",
                fix=proposal or "use a number of GPUs that divides the KV heads or is a multiple of them",
            )
        )
    if request.pipeline_parallel > given.layers:
        problems.append(
            Finding(
                path=f"{request.path}.pipelineParallelSize",
                what=f"{request.pipeline_parallel} stages cannot share {given.layers} layers",
                why="every stage has at least one layer",
                fix=f"use {given.layers} or less",
            )
        )
    return problems


def _context_problems(request: MemoryRequest) -> list[Finding]:
    context = request.max_model_len
    if context is None or not 0 < context < _FEWEST_TOKENS:
        return []
    return [
        Finding(
            path=f"{request.path}.maxModelLen",
            what=f"{context} token does not hold a prompt and an output",
            why="every request needs at least one token of each, so the server would refuse all of them",
            fix=f"use {_FEWEST_TOKENS} or more",
        )
    ]


def _output_problems(path: str, settings: ServerSettings, model: ServedModel) -> list[Finding]:
    context = settings.max_model_len or model.architecture.max_positions
    output = settings.max_output_tokens
    if output is None or output < context:
        return []
    return [
        Finding(
            path=f"{path}.maxOutputTokens",
            what=f"{output} output tokens leave no room for a prompt within {context}",
            why="the context counts input and output tokens together",
            fix=f"use {context - 1} or less, or a longer maxModelLen",
        )
    ]


def _capability_problems(path: str, settings: ServerSettings, model: ServedModel, catalog: Catalog) -> list[Finding]:
    """Problems of a GPU that is too old for the numbers that the model is computed in."""
    gpu = settings.accelerator.type
    if gpu not in catalog.accelerators:
        return []
    capability = catalog.accelerators[gpu].compute_capability
    if Version(capability) >= _BFLOAT16_SINCE:
        return []
    problems = []
    if model.family in _NO_FLOAT16:
        problems.append(
            Finding(
                path=f"{path}.accelerator.type",
                what=f"{gpu} has no bfloat16, and {model.family} overflows in float16",
                why="the server computes in float32 there, which takes twice the memory that is planned",
                fix="use a newer GPU, such as nvidia-l4, or another model",
            )
        )
    if quantization_method(settings.quantization) == "fp8":
        problems.append(
            Finding(
                path=f"{path}.quantization",
                what=f"fp8 needs a GPU of compute capability {_BFLOAT16_SINCE}",
                why=f"{gpu} has {capability}",
                fix="use a newer GPU, such as nvidia-l4, or an AWQ or GPTQ checkpoint",
            )
        )
    return problems


def _checkpoint_problems(
    path: str, settings: ServerSettings, version: str, model: ServedModel, catalog: Catalog
) -> list[Finding]:
    quantization = settings.quantization
    # A quantization or preset that asks for the format is refused for itself.
    own = catalog.loading[settings.server].methods.get(model.checkpoint, model.checkpoint)
    asked = quantization is not None or any(
        isinstance(preset, Technique) and model.checkpoint in preset.needs.checkpoint
        for preset in map(catalog.presets.get, settings.presets)
    )
    if not asked and own not in _loaded_formats(settings, version, catalog):
        return [
            Finding(
                path=f"{path}.configFile" if settings.config_file is not None else f"{path}.model",
                what=f"{settings.server} {version} does not load {model.checkpoint} checkpoints",
                why=_why_not_loaded(settings, version, model.checkpoint, catalog),
                fix="use a checkpoint of the model in another format, such as AWQ, GPTQ or FP8, or another version",
            )
        ]
    if quantization is None:
        return []
    method = quantization_method(quantization)
    where = f"{path}.quantization"
    if model.checkpoint == "none" and method in _PREQUANTIZED:
        return [
            Finding(
                path=where,
                what=f"{quantization} needs a pre-quantized checkpoint, and {model.id} is not one",
                why="the server would not find the quantized weights",
                fix=f"use the {method} preset, which proposes a checkpoint where one is known"
                if method in catalog.presets
                else "set model to a checkpoint of that format, or leave quantization out",
            )
        ]
    if model.checkpoint != "none" and method != model.checkpoint:
        return [
            Finding(
                path=where,
                what=f"{quantization} does not match the checkpoint, which is {model.checkpoint}",
                why="the server refuses a method that the checkpoint does not state",
                fix="remove quantization; the server reads the method from the checkpoint",
            )
        ]
    return []


def _loaded_formats(settings: ServerSettings, version: str, catalog: Catalog) -> tuple[str, ...]:
    """Formats of checkpoints that a version loads: the methods that its own flag for quantization takes.

    All that are known where the version's flags are not.
    """
    flags = catalog.flags[settings.server].get(version)
    flag = flags.find("--quantization" if settings.server == "vllm" else "--quantize") if flags else None
    if flag is None or not flag.choices:
        return (*get_args(CheckpointFormat), *catalog.loading[settings.server].methods.values())
    return ("none", *(str(choice) for choice in flag.choices))


def _why_not_loaded(settings: ServerSettings, version: str, checkpoint: str, catalog: Catalog) -> str:
    """Why a version does not load a format: as the technique of that name says it, where there is one."""
    preset = catalog.presets.get(checkpoint)
    for rule in preset.rules(settings.server) if isinstance(preset, Technique) else ():
        if rule.refused is not None and (not rule.versions or Version(version) in SpecifierSet(rule.versions)):
            return rule.refused.why
    return "the server would stop at start, as its own list of quantization methods does not have it"


def _vllm_problems(path: str, settings: VllmSettings, version: str, model: ServedModel) -> list[Finding]:
    problems = []
    batched = settings.max_num_batched_tokens
    context = settings.max_model_len or model.architecture.max_positions
    if not _prefills_in_chunks(settings, version, context) and batched is not None and batched < context:
        problems.append(
            Finding(
                path=f"{path}.maxNumBatchedTokens",
                what=f"{batched} is less than the context of {context} tokens",
                why="chunked prefill is off in this version, so a whole prompt is processed in one step",
                fix=f"use {context} or more, or chunkedPrefill: true",
            )
        )
    weights_are_fp8 = (
        model.checkpoint in ("fp8", "compressed-tensors") or quantization_method(settings.quantization) == "fp8"
    )
    # Since 0.26 compressed-tensors checkpoints without a KV-cache scheme are an exception; which they are is not
    # known before the download.
    if settings.kv_cache_dtype == "fp8_e5m2" and weights_are_fp8:
        problems.append(
            Finding(
                path=f"{path}.kvCacheDtype",
                what="fp8_e5m2 is not possible with FP8 or compressed-tensors weights",
                why="vLLM refuses the pair",
                fix="use fp8_e4m3, or the preset fp8-kv-cache-e4m3",
            )
        )
    if settings.quantization in ("awq", "gptq") and model.family in _NO_FLOAT16:
        problems.append(
            Finding(
                path=f"{path}.quantization",
                what=f"{settings.quantization} runs in float16, in which {model.family} overflows",
                why="vLLM refuses this pair",
                fix=f"remove quantization: the {settings.quantization} preset takes the Marlin kernel",
            )
        )
    problems += [
        Finding(
            path=f"{path}.extraArgs[{index}]",
            what=f"{text.partition('=')[2]} is float16, in which {model.family} overflows",
            why="vLLM refuses this pair",
            fix="remove it, or use --dtype=bfloat16",
        )
        for index, text in enumerate(settings.extra_args)
        if text in _FLOAT16_ARGUMENTS and model.family in _NO_FLOAT16
    ]
    prequantized_shards = model.checkpoint == "bitsandbytes" and settings.accelerator.count > 1
    if prequantized_shards and version_parts(version) < (0, 19):
        problems.append(
            Finding(
                path=f"{path}.accelerator.count",
                what="a bitsandbytes checkpoint cannot be split over GPUs",
                why="vLLM of this version refuses it",
                fix="use one GPU, or the model at its own precision",
            )
        )
    return problems


def _tgi_problems(path: str, settings: TgiSettings, version: str, model: ServedModel, context: int) -> list[Finding]:
    problems = []
    prompt, output = settings.max_input_tokens, settings.max_output_tokens
    if prompt is not None and prompt >= context >= _FEWEST_TOKENS:
        problems.append(
            Finding(
                path=f"{path}.maxInputTokens",
                what=f"{prompt} input tokens leave no room for output within {context}",
                why="the launcher requires the prompt to be shorter than the context",
                fix=f"use {context - 1} or less",
            )
        )
    elif prompt is not None and output is not None and prompt + output > context:
        problems.append(
            Finding(
                path=f"{path}.maxInputTokens",
                what=f"{prompt} input and {output} output tokens are more than the context of {context}",
                why="the context counts input and output tokens together",
                fix=f"use {context - output} or less, or a longer maxModelLen",
            )
        )
    # An output beyond the model's own context is a problem already.
    if output is not None and settings.max_model_len is None and output < model.architecture.max_positions:
        problems.append(
            Finding(
                path=f"{path}.maxOutputTokens",
                what="has no effect without maxModelLen",
                why="TGI limits input and context; the output gets what remains",
                fix=f"add maxModelLen, more than that and {model.architecture.max_positions} or less",
            )
        )
    prefill = settings.max_batch_prefill_tokens
    longest_prompt = prompt if prompt is not None else context - (output or 1)
    if prefill is not None and prefill < longest_prompt and version_parts(version) < (3,):
        problems.append(
            Finding(
                path=f"{path}.maxBatchPrefillTokens",
                what=f"{prefill} is less than the longest prompt of {longest_prompt} tokens",
                why="TGI before 3.0 processes a whole prompt in one step",
                fix=f"use {longest_prompt} or more, or a smaller maxInputTokens",
            )
        )
    if settings.kv_cache_dtype not in (None, "auto") and (
        model.family in _NO_FLASHINFER or model.architecture.head_dim not in (64, 128, 256)
    ):
        problems.append(
            Finding(
                path=f"{path}.kvCacheDtype",
                what="an FP8 KV cache is not possible with this model",
                why="TGI has it with FlashInfer only, for heads of 64, 128 or 256 and not for this family",
                fix="leave it out, or use vLLM",
            )
        )
    return problems


def _prefills_in_chunks(settings: VllmSettings, version: str, context: int) -> bool:
    """Whether prefill is chunked: as asked, or as the version does by default.

    vLLM's newer engine always does; its older one, which 0.10 falls back to with an FP8 KV cache, only for very long
    contexts.
    """
    if settings.chunked_prefill is not None:
        return settings.chunked_prefill
    fp8_cache = settings.kv_cache_dtype not in (None, "auto")
    older_engine = version_parts(version) < (0, 10) or (version_parts(version) < (0, 11) and fp8_cache)
    return not older_engine or context > _LONG_CONTEXT_TOKENS


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_size(value: object) -> bool:
    return isinstance(value, int | float) and _is_number(value) and 0 < value < 10**15


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < _LARGEST
