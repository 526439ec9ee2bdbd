"""Command-line arguments of the inference servers. Flags stand as `--flag=value`, in a fixed order."""

from settings import TgiSettings, VllmSettings


def vllm_arguments(settings: VllmSettings, port: int) -> tuple[str, ...]:
    """Arguments of `vllm serve`; what is not asked for is left to the server's own default."""
    return (
        settings.model,
        *_flags(
            {
                "--port": port,
                "--tensor-parallel-size": settings.accelerator.count,
                "--max-model-len": settings.max_model_len,
                "--gpu-memory-utilization": settings.gpu_memory_utilization,
                "--max-num-seqs": settings.max_num_seqs,
                "--max-num-batched-tokens": settings.max_num_batched_tokens,
                "--served-model-name": settings.served_model_name,
                "--revision": settings.revision,
            }
        ),
    )


def tgi_arguments(settings: TgiSettings, port: int) -> tuple[str, ...]:
    """Arguments of `text-generation-launcher`; a context length becomes the launcher's token limits.

    The launcher wants the longest prompt to be shorter than prompt and answer together.
    """
    total = settings.max_model_len
    longest_prompt = settings.max_input_tokens or (total - 1 if total else None)
    return _flags(
        {
            "--model-id": settings.model,
            "--port": port,
            "--num-shard": settings.accelerator.count,
            "--max-input-tokens": longest_prompt,
            "--max-total-tokens": total,
            "--max-batch-prefill-tokens": settings.max_batch_prefill_tokens,
            "--cuda-memory-fraction": settings.cuda_memory_fraction,
            "--revision": settings.revision,
        }
    )


def _flags(values: dict[str, str | int | float | None]) -> tuple[str, ...]:
    return tuple(f"{flag}={value}" for flag, value in values.items() if value is not None)
