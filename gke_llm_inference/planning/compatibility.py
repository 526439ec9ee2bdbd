"""Settings of a server that do not go together, whoever set them: the stack or a preset."""

from gke_llm_inference.catalog import Catalog, load_catalog
from gke_llm_inference.planning.machines import gpu_counts
from gke_llm_inference.planning.models import ServedModel
from gke_llm_inference.planning.versions import version_parts
from gke_llm_inference.settings import Finding, ServerSettings, TgiSettings, VllmSettings

_PREQUANTISED = ("awq", "gptq", "squeezellm", "compressed-tensors", "exl2", "marlin")
# Families whose activations overflow in float16 (vllm/config: _FLOAT16_NOT_SUPPORTED_MODELS).
_NO_FLOAT16 = ("gemma2", "gemma3")

# Families for which TGI does not use FlashInfer.
_NO_FLASHINFER = ("falcon", "deepseek_v2")
# From this context on, vLLM's older engine reads prompts in pieces without being told.
_LONG_CONTEXT_TOKENS = 32 * 1024
# What TGI before 3.0 takes for prompt and answer together unless it is told; the launcher's source has it.
_OLD_TGI_DEFAULT_TOKENS = 4096
_FEWEST_TGI_TOKENS = 2


def limit_problems(
    path: str, settings: ServerSettings, version: str, model: ServedModel, catalog: Catalog
) -> list[Finding]:
    """Problems of a server's settings with each other and with its model.

    Args:
        path: where the server stands in the configuration.
        settings: the settings with presets applied.
        version: version of the server.
        model: the model that it loads.
        catalog: the facts to decide by.

    """
    problems = [
        *_token_problems(path, settings, model),
        *_sharding_problems(path, settings, model, catalog),
        *_checkpoint_problems(path, settings, model),
    ]
    match settings:
        case VllmSettings():
            problems += _vllm_problems(path, settings, version, model)
        case TgiSettings():
            problems += _tgi_problems(path, settings, version, model)
    return problems


def _token_problems(path: str, settings: ServerSettings, model: ServedModel) -> list[Finding]:
    problems = []
    longest = model.architecture.max_positions
    context, output = settings.max_model_len, settings.max_output_tokens
    if context is not None and context > longest:
        problems.append(
            Finding(
                f"{path}.maxModelLen",
                f"{context} tokens are more than the model's {longest}",
                "the server refuses a context beyond what the model was made for",
                f"use {longest} or less",
            )
        )
    if output is not None and output >= (context or longest):
        problems.append(
            Finding(
                f"{path}.maxOutputTokens",
                f"{output} tokens of answer leave no room for a prompt within {context or longest}",
                "context counts prompt and answer together",
                f"use {(context or longest) - 1} or less, or a longer maxModelLen",
            )
        )
    return problems


def _sharding_problems(path: str, settings: ServerSettings, model: ServedModel, catalog: Catalog) -> list[Finding]:
    gpus, heads = settings.accelerator.count, model.architecture.attention_heads
    if heads % gpus == 0:
        return []
    divisors = [str(count) for count in gpu_counts(settings.accelerator.type, catalog) if heads % count == 0]
    return [
        Finding(
            f"{path}.accelerator.count",
            f"{gpus} GPUs cannot share {heads} attention heads",
            "tensor parallelism gives every GPU the same number of heads",
            f"use one of: {', '.join(divisors) or '1'}",
        )
    ]


def _checkpoint_problems(path: str, settings: ServerSettings, model: ServedModel) -> list[Finding]:
    quantization = settings.quantization
    if quantization is None:
        return []
    method = _method(quantization)
    where = f"{path}.quantization"
    if model.checkpoint == "none" and method in _PREQUANTISED:
        return [
            Finding(
                where,
                f"{quantization} needs a checkpoint that was quantised before, and {model.id} is not",
                "the server would not find the quantised weights",
                f"use the {method} preset, which proposes a checkpoint where one is known"
                if method in load_catalog().presets
                else "set model to a checkpoint of that format, or leave quantization out",
            )
        ]
    if model.checkpoint != "none" and method != model.checkpoint:
        return [
            Finding(
                where,
                f"{quantization} does not match the checkpoint, which is {model.checkpoint}",
                "the server refuses a method that the checkpoint does not state",
                "remove quantization; the server reads the method from the checkpoint",
            )
        ]
    return []


def _vllm_problems(path: str, settings: VllmSettings, version: str, model: ServedModel) -> list[Finding]:
    problems = []
    batched, sequences = settings.max_num_batched_tokens, settings.max_num_seqs
    if batched is not None and sequences is not None and batched < sequences:
        problems.append(
            Finding(
                f"{path}.maxNumBatchedTokens",
                f"{batched} is less than maxNumSeqs {sequences}",
                "every request of a batch needs at least one token of it",
                f"use {sequences} or more",
            )
        )
    context = settings.max_model_len or model.architecture.max_positions
    if not _reads_in_pieces(settings, version, context) and batched is not None and batched < context:
        problems.append(
            Finding(
                f"{path}.maxNumBatchedTokens",
                f"{batched} is less than the context of {context} tokens",
                "a whole prompt is read in one step: this version does not read it in pieces unless it is told",
                f"use {context} or more, or chunkedPrefill: true",
            )
        )
    weights_are_fp8 = model.checkpoint in ("fp8", "compressed-tensors") or _method(settings.quantization) == "fp8"
    # Since 0.26 compressed-tensors checkpoints without a KV-cache scheme are an exception; which they are is not
    # known before the download.
    if settings.kv_cache_dtype == "fp8_e5m2" and weights_are_fp8:
        problems.append(
            Finding(
                f"{path}.kvCacheDtype",
                "fp8_e5m2 is not possible with FP8 or compressed-tensors weights",
                "vLLM refuses the pair",
                "use fp8_e4m3, or the preset fp8-kv-cache-e4m3",
            )
        )
    if settings.quantization in ("awq", "gptq") and model.family in _NO_FLOAT16:
        problems.append(
            Finding(
                f"{path}.quantization",
                f"{settings.quantization} runs in float16, in which {model.family} overflows",
                "vLLM refuses this pair",
                f"remove quantization: the {settings.quantization} preset takes the Marlin kernel",
            )
        )
    prequantised_shards = model.checkpoint == "bitsandbytes" and settings.accelerator.count > 1
    if prequantised_shards and version_parts(version) < (0, 19):
        problems.append(
            Finding(
                f"{path}.accelerator.count",
                "a bitsandbytes checkpoint cannot be split over GPUs",
                "vLLM of this version refuses it",
                "use one GPU, or the model at its own precision",
            )
        )
    return problems


def _tgi_problems(path: str, settings: TgiSettings, version: str, model: ServedModel) -> list[Finding]:
    problems = []
    default = model.architecture.max_positions
    if version_parts(version) < (3,):
        default = min(default, _OLD_TGI_DEFAULT_TOKENS)
    context = settings.max_model_len or default
    prompt, output = settings.max_input_tokens, settings.max_output_tokens
    if context < _FEWEST_TGI_TOKENS:
        problems.append(
            Finding(
                f"{path}.maxModelLen",
                f"{context} token holds no prompt and answer",
                "the launcher wants at least one token of each",
                f"use {_FEWEST_TGI_TOKENS} or more",
            )
        )
    elif prompt is not None and prompt >= context:
        problems.append(
            Finding(
                f"{path}.maxInputTokens",
                f"{prompt} tokens of prompt leave no room for an answer within {context}",
                "the launcher wants the prompt to be shorter than the context",
                f"use {context - 1} or less",
            )
        )
    elif prompt is not None and output is not None and prompt + output > context:
        problems.append(
            Finding(
                f"{path}.maxInputTokens",
                f"{prompt} tokens of prompt and {output} of answer are more than the context of {context}",
                "context counts both",
                f"use {context - output} or less, or a longer maxModelLen",
            )
        )
    # An answer beyond the model's own context is told already.
    if output is not None and settings.max_model_len is None and output < model.architecture.max_positions:
        problems.append(
            Finding(
                f"{path}.maxOutputTokens",
                "has no effect without maxModelLen",
                "TGI limits prompt and context; what remains is the answer",
                f"add maxModelLen, more than that and {model.architecture.max_positions} or less",
            )
        )
    prefill = settings.max_batch_prefill_tokens
    longest_prompt = prompt if prompt is not None else context - (output or 1)
    if prefill is not None and prefill < longest_prompt and version_parts(version) < (3,):
        problems.append(
            Finding(
                f"{path}.maxBatchPrefillTokens",
                f"{prefill} is less than the longest prompt of {longest_prompt} tokens",
                "TGI before 3.0 reads a whole prompt in one step",
                f"use {longest_prompt} or more, or a smaller maxInputTokens",
            )
        )
    if settings.kv_cache_dtype not in (None, "auto") and (
        model.family in _NO_FLASHINFER or model.architecture.head_dim not in (64, 128, 256)
    ):
        problems.append(
            Finding(
                f"{path}.kvCacheDtype",
                "an FP8 KV cache is not possible with this model",
                "TGI has it with FlashInfer only, for heads of 64, 128 or 256 and not for this family",
                "leave it out, or use vLLM",
            )
        )
    return problems


def _method(quantization: str | None) -> str | None:
    """The checkpoint format that a quantisation of a server belongs to: awq_marlin and auto_awq are both awq."""
    if quantization is None:
        return None
    return quantization.removeprefix("auto_").removesuffix("_marlin")


def _reads_in_pieces(settings: VllmSettings, version: str, context: int) -> bool:
    """Whether long prompts are read in pieces: as asked, or as the version does by itself.

    vLLM's newer engine always does; its older one, which 0.10 falls back to with an FP8 KV cache, only for very long
    contexts.
    """
    if settings.chunked_prefill is not None:
        return settings.chunked_prefill
    fp8_cache = settings.kv_cache_dtype not in (None, "auto")
    older_engine = version_parts(version) < (0, 10) or (version_parts(version) < (0, 11) and fp8_cache)
    return not older_engine or context > _LONG_CONTEXT_TOKENS
