"""The memory request that a server's settings ask."""

from gke_llm_inference.catalog import ServerKind, load_catalog
from gke_llm_inference.catalog.memory_facts import MemoryFacts
from gke_llm_inference.planning.memory.request import WEIGHTS_FORMATS, CompileCache, MemoryRequest
from gke_llm_inference.planning.models import ServedModel
from gke_llm_inference.settings import Finding, Refusal, ServerSettings, TgiSettings, VllmSettings

_CHECKPOINTS = {
    "awq": "awq",
    "gptq": "gptq",
    "fp8": "ctfp8",
    "squeezellm": "squeezellm",
    "bitsandbytes": "bitsandbytes",
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
        quantization: quantisation that the server is asked for.
        server: the server; TGI's `bitsandbytes` has 8 bits, vLLM's has 4.
        kind: type of the checkpoint's 8-bit weights, `float` or `int`.

    """
    if checkpoint == "compressed-tensors":
        return "ctw4a16" if bits == 4 else "ctw8a8" if kind == "int" else "ctfp8"
    if checkpoint == "gptq" and bits == 8:
        return "gptq8"
    if checkpoint in _CHECKPOINTS:
        return _CHECKPOINTS[checkpoint]
    if quantization is None:
        return "bf16"
    if (quantization, server) == ("bitsandbytes", "tgi"):
        return "bitsandbytes8"
    method = quantization.removeprefix("auto_").removesuffix("_marlin")
    return _ON_LOAD.get(method, method if method in WEIGHTS_FORMATS else "bf16")


def visible_memory_mib(accelerator: str) -> float:
    """Memory of one GPU of the catalogue in MiB, as CUDA reports it.

    Raises:
        KeyError: the GPU's memory is not known.

    """
    return float(load_catalog().memory.versions.visible_memory[accelerator].mib)


def memory_request(
    path: str,
    settings: ServerSettings,
    version: str,
    model: ServedModel,
    *,
    gpu_memory_mib: float | None = None,
    compile_cache: CompileCache | None = None,
    facts: MemoryFacts | None = None,
) -> MemoryRequest:
    """The memory request that a server's settings ask.

    Args:
        path: where the server stands in the configuration.
        settings: the settings with presets applied.
        version: version of the server.
        model: the model that it loads.
        gpu_memory_mib: memory of one GPU, where it is given rather than known.
        compile_cache: state of the compile cache at start.
        facts: facts about memory; those of the catalogue if absent.

    Raises:
        Refusal: the memory of the GPU is not known.

    """
    facts = facts or load_catalog().memory
    accelerator = settings.accelerator.type
    visible = facts.versions.visible_memory.get(accelerator)
    if gpu_memory_mib is None and visible is None:
        raise Refusal(
            [
                Finding(
                    f"{path}.accelerator.type",
                    f"the memory of {accelerator} is not known",
                    "a plan divides what CUDA reports, which is less than the marketing size",
                    f"give {path}.accelerator.memoryMib as torch.cuda.mem_get_info reports it",
                )
            ]
        )
    share: float | None = None
    sequences = tokens = None
    eager = False
    match settings:
        case VllmSettings():
            share = settings.gpu_memory_utilization
            sequences, tokens = settings.max_num_seqs, settings.max_num_batched_tokens
            eager = bool(settings.enforce_eager)
        case TgiSettings():
            share, tokens = settings.cuda_memory_fraction, settings.max_batch_prefill_tokens
    return MemoryRequest(
        architecture=model.architecture,
        family=model.family,
        gpu_memory_mib=gpu_memory_mib if gpu_memory_mib is not None else float(visible.mib if visible else 0),
        weights_format=served_weights_format(
            model.checkpoint, model.checkpoint_bits, settings.quantization, settings.server, model.checkpoint_type
        ),
        kv_cache_dtype=settings.kv_cache_dtype or "auto",
        max_model_len=settings.max_model_len,
        gpu_memory_utilization=share,
        max_num_seqs=sequences,
        max_num_batched_tokens=tokens,
        enforce_eager=eager,
        model_runner=settings.model_runner if isinstance(settings, VllmSettings) else None,
        compile_cache=compile_cache,
        tensor_parallel=settings.accelerator.count,
        server=settings.server,
        version=version,
        accelerator=accelerator,
        path=path,
    )
