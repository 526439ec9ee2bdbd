"""What a server was measured to do on one's own hardware: the content of a calibration file."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from gke_llm_inference.catalog.facts import ServerKind
from gke_llm_inference.settings.base import ModelId, NonEmpty, PositiveInt, Settings, Version, refused

FORMAT = 1
"""Version of the file's format."""

Milliseconds = Annotated[float, Field(gt=0, le=3_600_000)]
"""A time in ms."""
_LEAST_DECODES = 2


class MeasuredDecode(Settings):
    """Steps in which that many sequences decode and nothing else happens."""

    sequences: PositiveInt
    """Sequences that produce a token in each step."""
    context: PositiveInt
    """Mean tokens in the context of each."""
    step_ms: Milliseconds
    """Median time of a step, in ms."""


class MeasuredTimes(Settings):
    """A time over requests, in ms."""

    p50: Milliseconds
    """Median."""
    p90: Milliseconds
    """90th percentile."""

    @model_validator(mode="after")
    def _ordered(self) -> "MeasuredTimes":
        if self.p90 < self.p50:
            raise refused("its p90 is below its p50", "percentiles rise", "measure again: the file was changed")
        return self


class MeasuredLoop(Settings):
    """Requests of which that many are kept in flight."""

    concurrency: PositiveInt
    """Requests in flight."""
    requests: PositiveInt
    """Requests in all."""
    input_tokens: PositiveInt
    """Tokens of each prompt."""
    output_tokens: Annotated[float, Field(ge=1, le=1_000_000)]
    """Mean tokens of the outputs."""
    output_spread: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """How far outputs are from their mean at most, as a share of it; between, all are as likely."""
    ttft_ms: MeasuredTimes
    """Time to the first token."""
    tpot_ms: MeasuredTimes | None = None
    """Time per output token after the first; none where outputs are one token."""
    output_tokens_per_second: Annotated[float, Field(gt=0, le=10_000_000)]
    """Output tokens of all requests over the whole time."""


class Calibration(Settings):
    """What one server was measured to do: the content of a calibration file."""

    format: Literal[1]
    """Version of the file's format."""
    measured: NonEmpty
    """When it was measured; told in reports, and never compared with a clock."""
    gpu: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,60}$")]
    """GKE's name of the GPU, such as nvidia-l4."""
    gpu_name: NonEmpty
    """Its name as CUDA reports it, such as NVIDIA L4."""
    server: ServerKind
    """Server that was measured."""
    version: Version
    """Its version."""
    model: ModelId
    """Hugging Face id of the model."""
    weights_format: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,40}$")] = "bf16"
    """Format of its weights, such as awq."""
    kv_cache_dtype: Literal["auto", "fp8_e4m3", "fp8_e5m2"] = "auto"
    """Type of the KV cache."""
    tensor_parallel: PositiveInt = 1
    """GPUs that share every layer."""
    max_model_len: PositiveInt
    """Longest context in tokens."""
    max_num_seqs: PositiveInt | None = None
    """Most requests in one batch; the server's default if absent."""
    max_num_batched_tokens: PositiveInt | None = None
    """Most tokens in one step; the server's default if absent."""
    enforce_eager: bool = False
    """Whether there were neither compilation nor CUDA graphs."""
    kv_cache_tokens: PositiveInt
    """Tokens that the KV cache held."""
    api_server: bool = True
    """Whether requests went through the server's HTTP interface."""
    host_launch_us: Annotated[float, Field(gt=0, le=10_000)] | None = None
    """Time in which the host launched one kernel, in µs; that of the measured hosts if absent."""
    decodes: Annotated[tuple[MeasuredDecode, ...], Field(strict=False, max_length=200)]
    """Decode steps."""
    loops: Annotated[tuple[MeasuredLoop, ...], Field(strict=False, max_length=50)]
    """Closed loops."""

    @model_validator(mode="after")
    def _possible(self) -> "Calibration":
        if len(self.decodes) < _LEAST_DECODES or not self.loops:
            raise refused(
                f"has {len(self.decodes)} decode steps and {len(self.loops)} loops",
                f"what is fitted to fewer than {_LEAST_DECODES} steps and one loop says nothing",
                "measure again: the file was changed",
            )
        for loop in self.loops:
            longest = loop.input_tokens + loop.output_tokens
            if longest > min(self.max_model_len, self.kv_cache_tokens):
                raise refused(
                    f"has a loop of {longest:,.0f} tokens a request, more than the server takes",
                    f"its context is {self.max_model_len:,} tokens, and its KV cache holds {self.kv_cache_tokens:,}",
                    "measure again: the file was changed",
                )
        return self
