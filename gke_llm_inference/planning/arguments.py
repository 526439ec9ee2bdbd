"""Command-line arguments of the inference servers, each with the setting that it comes from, in a fixed order."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from gke_llm_inference.settings import ServerSettings, TgiSettings, VllmSettings

_TGI_KV_CACHE_DTYPES = {"auto": None, "fp8_e4m3": "fp8_e4m3fn", "fp8_e5m2": "fp8_e5m2"}
# The longest n-gram matched (prompt_lookup_max).
_LOOKUP_TOKENS = 4


MODELS_DIRECTORY = "/models"
"""Where a volume with models is mounted."""


@dataclass(frozen=True)
class Argument:
    """One argument.

    Attributes:
        text: as it stands on the command line, `--flag=value` or a positional value.
        setting: key of the server's settings that it comes from.

    """

    text: str
    setting: str

    @property
    def flag(self) -> str:
        """The flag without its value; the text itself of a positional value."""
        return self.text.partition("=")[0]


@dataclass(frozen=True, kw_only=True)
class ModelPlace:
    """Where a server finds its model.

    Attributes:
        told: what vLLM is told.
        in_hub: whether that is a name at Hugging Face, of which there are revisions.
        load_format: how weights are loaded from there; the settings' own if None.
        loader: what the loader is configured with.

    """

    told: str
    in_hub: bool = False
    load_format: str | None = None
    loader: Mapping[str, int | bool] | None = None


def place_in(settings: ServerSettings) -> ModelPlace:
    """The place of a model that is downloaded, or lies on a volume."""
    volume = settings.model_volume
    if volume is None:
        return ModelPlace(told=settings.model, in_hub=True)
    return ModelPlace(told=f"{MODELS_DIRECTORY}/{volume.path}".rstrip("/"))


def vllm_arguments(settings: VllmSettings, port: int, place: ModelPlace) -> tuple[Argument, ...]:
    """Arguments of `vllm serve`; what is not asked for is left to the server's own default.

    An answer's length is capped by the server's generation defaults, a context's by the model length. Wherever the
    model lies, the API calls it by its own name.
    """
    output = settings.max_output_tokens
    guesses = settings.speculative_tokens
    own_name = None if place.in_hub else settings.model
    load_format = settings.load_format if place.load_format is None else place.load_format
    return (
        Argument(place.told, "model"),
        *_flags(
            ("--port", "server", port),
            ("--revision", "revision", settings.revision if place.in_hub else None),
            ("--served-model-name", "servedModelName", settings.served_model_name or own_name),
            ("--tensor-parallel-size", "accelerator.count", settings.shares),
            ("--pipeline-parallel-size", "pipelineParallelSize", settings.stages if settings.stages > 1 else None),
            ("--distributed-executor-backend", "nodes", "mp" if settings.nodes > 1 else None),
            ("--nnodes", "nodes", settings.nodes if settings.nodes > 1 else None),
            ("--quantization", "quantization", settings.quantization),
            ("--load-format", "loadFormat" if place.load_format is None else "modelSource", load_format),
            ("--model-loader-extra-config", "modelSource", _json(place.loader) if place.loader else None),
            ("--kv-cache-dtype", "kvCacheDtype", settings.kv_cache_dtype),
            ("--max-model-len", "maxModelLen", settings.max_model_len),
            (
                "--override-generation-config",
                "maxOutputTokens",
                _json({"max_new_tokens": output}) if output else None,
            ),
            ("--gpu-memory-utilization", "gpuMemoryUtilization", settings.gpu_memory_utilization),
            ("--max-num-seqs", "maxNumSeqs", settings.max_num_seqs),
            ("--max-num-batched-tokens", "maxNumBatchedTokens", settings.max_num_batched_tokens),
            ("--attention-backend", "attentionBackend", settings.attention_backend),
            (
                "--speculative-config",
                "speculativeTokens",
                _json(
                    {
                        "method": "ngram",
                        "num_speculative_tokens": guesses,
                        "prompt_lookup_max": _LOOKUP_TOKENS,
                    }
                )
                if guesses
                else None,
            ),
        ),
        *_switch("--enable-prefix-caching", "prefixCaching", settings.prefix_caching),
        *_switch("--enable-chunked-prefill", "chunkedPrefill", settings.chunked_prefill),
        *([Argument("--enforce-eager", "enforceEager")] if settings.enforce_eager else []),
        *([Argument("--enable-expert-parallel", "expertParallel")] if settings.expert_parallel else []),
    )


def tgi_arguments(settings: TgiSettings, port: int, place: ModelPlace) -> tuple[Argument, ...]:
    """Arguments of `text-generation-launcher`; context and answer become the launcher's token limits.

    A model that is mounted is so where its name is its path, as the launcher calls a model by what it is told.
    The launcher wants the longest prompt to be shorter than prompt and answer together: what the answer may take
    is taken from the prompt.
    """
    total = settings.max_model_len
    prompt = settings.max_input_tokens
    if prompt is None and total is not None:
        prompt = max(1, total - (settings.max_output_tokens or 1))
    kv_cache_dtype = _TGI_KV_CACHE_DTYPES[settings.kv_cache_dtype] if settings.kv_cache_dtype else None
    return _flags(
        ("--model-id", "model", settings.model),
        ("--port", "server", port),
        ("--revision", "revision", settings.revision if place.in_hub else None),
        ("--num-shard", "accelerator.count", settings.accelerator.count),
        ("--quantize", "quantization", settings.quantization),
        ("--kv-cache-dtype", "kvCacheDtype", kv_cache_dtype),
        ("--max-input-tokens", "maxInputTokens", prompt),
        ("--max-total-tokens", "maxModelLen", total),
        ("--max-batch-prefill-tokens", "maxBatchPrefillTokens", settings.max_batch_prefill_tokens),
        ("--cuda-memory-fraction", "cudaMemoryFraction", settings.cuda_memory_fraction),
        ("--speculate", "speculativeTokens", settings.speculative_tokens),
    )


def _flags(*flags: tuple[str, str, str | int | float | None]) -> tuple[Argument, ...]:
    return tuple(Argument(f"{flag}={value}", setting) for flag, setting, value in flags if value is not None)


def _switch(flag: str, setting: str, value: bool | None) -> tuple[Argument, ...]:
    if value is None:
        return ()
    return (Argument(flag if value else flag.replace("--", "--no-", 1), setting),)


def _json(value: Mapping[str, str | int]) -> str:
    return json.dumps(dict(value), separators=(",", ":"), sort_keys=True)
