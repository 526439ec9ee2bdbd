"""The memory request that a server's settings ask."""

from dataclasses import replace

from gke_llm_inference.catalog import ServerKind
from gke_llm_inference.catalog.memory_facts import MemoryFacts
from gke_llm_inference.planning.memory.request import WEIGHTS_FORMATS, MemoryRequest, Starts, vllm_version_facts
from gke_llm_inference.planning.models import ServedModel
from gke_llm_inference.settings import ServerSettings, TgiSettings, VllmSettings

_CHECKPOINTS = {
    "awq": "awq",
    "gptq": "gptq",
    "fp8": "ctfp8",
    "fbgemm": "ctfp8",
    "squeezellm": "squeezellm",
    "bitsandbytes": "bitsandbytes",
    "mxfp4": "mxfp4",
    "nvfp4": "nvfp4",
}
_ON_LOAD = {
    "fp8": "fp8",
    "eetq": "eetq",
    "bitsandbytes": "bitsandbytes",
    "bitsandbytes-nf4": "bitsandbytes",
    "bitsandbytes-fp4": "bitsandbytes",
}


def served_weights_format(
    checkpoint: str, bits: int | None, quantization: str | None, server: ServerKind, kind: str = "float"
) -> str:
    """The weights format of a checkpoint as a server loads it.

    Args:
        checkpoint: format of the checkpoint, `none` for one at its own precision.
        bits: bits of its weights, where the format leaves that open.
        quantization: quantization that the server is asked for.
        server: the server; TGI's `bitsandbytes` has 8 bits, vLLM's has 4.
        kind: type of the checkpoint's 8-bit weights, `float` or `int`.

    """
    if checkpoint == "compressed-tensors":
        return "ctw4a16" if bits == 4 else "ctw8a8" if kind == "int" else "ctfp8"
    if checkpoint == "gptq" and bits == 8:
        return "gptq8"
    if checkpoint == "bitsandbytes" and bits == 8:
        return "bitsandbytes8"
    if checkpoint in _CHECKPOINTS:
        return _CHECKPOINTS[checkpoint]
    if quantization is None:
        return "bf16"
    if (quantization, server) == ("bitsandbytes", "tgi"):
        return "bitsandbytes8"
    method = quantization_method(quantization) or ""
    return _ON_LOAD.get(method, method if method in WEIGHTS_FORMATS else "bf16")


def quantization_method(quantization: str | None) -> str | None:
    """The checkpoint format that a quantization of a server belongs to: awq_marlin and auto_awq are both awq."""
    if quantization is None:
        return None
    return quantization.removeprefix("auto_").removesuffix("_marlin")


def memory_request(
    path: str, settings: ServerSettings, version: str, model: ServedModel, facts: MemoryFacts
) -> MemoryRequest:
    """The memory request of a server with these settings.

    Args:
        path: where the server stands in the configuration.
        settings: the settings with presets applied, as extra arguments override them.
        version: version of the server.
        model: the model that it loads.
        facts: facts about memory; a GPU that they do not know needs its memory from the settings, else it is 0.

    """
    visible = facts.versions.visible_memory.get(settings.accelerator.type)
    request = MemoryRequest(
        architecture=model.architecture,
        family=model.family,
        gpu_memory_mib=float(settings.accelerator.memory_mib or (visible.mib if visible else 0)),
        weights_format=served_weights_format(
            model.checkpoint, model.checkpoint_bits, settings.quantization, settings.server, model.checkpoint_type
        ),
        kv_cache_dtype=settings.kv_cache_dtype or "auto",
        max_model_len=settings.max_model_len,
        group_size=model.checkpoint_group_size,
        mla_width=_latent_width(model, settings.server, version, facts),
        tensor_parallel=settings.shares,
        pipeline_parallel=settings.stages,
        server=settings.server,
        version=version,
        accelerator=settings.accelerator.type,
        path=path,
        pooling=settings.pools,
    )
    match settings:
        case VllmSettings():
            return replace(
                request,
                gpu_memory_utilization=settings.gpu_memory_utilization,
                max_num_seqs=settings.max_num_seqs,
                max_num_batched_tokens=settings.max_num_batched_tokens,
                enforce_eager=bool(settings.enforce_eager),
                model_runner=settings.model_runner,
                compile_cache=_starts(settings),
                text_only=settings.takes_text_alone,
            )
        case TgiSettings():
            return replace(
                request,
                gpu_memory_utilization=settings.cuda_memory_fraction,
                max_num_batched_tokens=settings.max_batch_prefill_tokens,
            )


def _latent_width(model: ServedModel, server: ServerKind, version: str, facts: MemoryFacts) -> int | None:
    """Width of compressed keys and values, where the server keeps them so: others cache every head."""
    keeps = server == "vllm" and vllm_version_facts(version, facts).latent_attention
    return model.architecture.latent_width if keeps else None


def _starts(settings: VllmSettings) -> Starts:
    if settings.keep_compile_cache:
        return "both"
    return "warm" if settings.compile_cache == "warm" else "restarts"
