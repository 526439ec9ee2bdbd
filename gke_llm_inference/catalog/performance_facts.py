"""Facts that predictions of speed rest on: roofs of GPUs, constants of kernel classes, and the host."""

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field

from gke_llm_inference.catalog.facts import Facts
from gke_llm_inference.catalog.files import directory, read

KernelClass = Literal["bf16", "fp8", "triton", "int8", "marlin", "bitsandbytes"]
Basis = Literal["calibrated", "measured", "transferred", "estimated"]


class AllReduce(Facts):
    """What summing a tensor over the GPUs of one server takes: latency + bytes / bandwidth."""

    latency_us: float
    gb_per_s: float
    """Bytes of the tensor per second, whatever the algorithm moves."""


class GpuRoofs(Facts):
    """What a GPU reaches by itself, in the best of simple kernels."""

    bandwidth_gb_per_s: float
    """Reading: a large matrix times a vector."""
    bf16_tflops: float
    """Matrix product in bf16 of 4,096 rows, columns and depth."""
    fp8_tflops: float
    """The same in FP8; that of bf16 where the GPU has no such units."""
    int8_tflops: float
    multiprocessors: int
    compute_capability: str
    fp8_kernels: KernelClass = "fp8"
    """Kernels that multiply with FP8 weights: those for 16-bit activations where the GPU has no others."""
    fp8_block_kernels: dict[str, KernelClass] = Field(default={})
    """The same for weights that share scales in blocks, by the first version of vLLM that takes them; if any differ."""
    all_reduce: AllReduce | None = None
    basis: Basis
    """Whether the server ran on this GPU, or its constants are transferred from another, or the roofs are estimated."""
    source: str
    date: str


class KernelConstants(Facts):
    """How near kernels of one weights format come to the roofs."""

    roof: Literal["bf16", "fp8", "int8"]
    bandwidth: float
    """Share of the bandwidth roof with few rows."""
    compute: float
    """Share of the compute roof with few rows."""
    large_compute: float
    """Share of the compute roof with very many rows."""
    few_rows: float
    """Rows up to which the share of the compute roof is that of few rows."""
    sharpness: float
    """Exponent with which the two bounds meet; high is a sharp corner."""
    extra_us: float = 0.0
    """Time per linear layer beside that of any kernel."""
    activation_bytes: float = 0.0
    """Bytes per row and input width for quantizing activations."""
    multiprocessor_gb_per_s: float | None = None
    """Weight bytes that one multiprocessor unpacks a second."""
    row_bandwidth: float | None = None
    """Share of the bandwidth roof of a kernel that reads the weights anew for each row, where few rows have one."""
    host: float = 1.0
    """Time of the host for a layer that prefills, over what it takes with bf16 weights."""
    burst: bool = False
    """Whether the kernels draw so much power that the GPU is faster for a moment than for long."""
    basis: Basis
    source: str


class AttentionConstants(Facts):
    """Attention over the KV cache."""

    bandwidth: float
    """Share of the bandwidth roof that decoding reaches."""
    multiprocessor_gb_per_s: float
    """What one multiprocessor reads of keys and values at most in steps that only decode."""
    block_gb_per_s: float
    """What one thread block reads, where a sequence's context is not split over several."""
    windowed_gb_per_s: float
    """What one multiprocessor reads in layers with a window, where every query head reads anew, mostly cached."""
    block_us: float
    """Start and end of a thread block."""
    tail: float
    """How much of the last wave of blocks is not hidden behind the others."""
    mixed_gb_per_s: float
    """What one multiprocessor reads from the L2 cache in steps that also prefill, where every query head reads anew."""
    prefill: dict[int, float]
    """Share of the bf16 compute roof in prefill, by head width."""
    fp8_bandwidth: float
    """Share of the bandwidth roof with an FP8 KV cache."""
    fp8_layer_us: float
    """Time per layer that an FP8 KV cache adds."""
    fp8_host: float
    """Time of the host for a layer that prefills with an FP8 KV cache, over what it takes without."""
    capped_families: tuple[str, ...]
    """Families whose attention scores have a soft cap."""
    capped: float
    """How fast their thread blocks read, over those of others."""


class OverheadConstants(Facts):
    """What a step takes on the GPU beside its matrix products and attention."""

    kernel_us: float
    """Per kernel, its start and end."""
    kernels: int
    """Kernels of a layer beside its linear layers: norms, rotary embedding, cache write, attention, activation."""
    family_kernels: dict[str, float]
    """More of them, by family; not whole, as some are shorter than others."""
    elementwise: float
    """Bytes per byte that the elementwise kernels read and write."""
    row_us: float
    """Per sequence that is sampled."""
    row_vocabulary_bytes: float
    """Bytes per sequence and vocabulary entry for sampling."""


class BurstConstants(Facts):
    """What a GPU is faster for a moment than for long: its power limit acts only after a while."""

    share: float
    """Part of a step's time that a cool GPU saves."""
    time_ms: float
    """Time constant with which it heats up and cools down."""
    rows: int
    """Prompt tokens from which a step is bound by computing."""


class HostConstants(Facts):
    """What the host takes to schedule a step and launch its kernels."""

    launch_us: float
    """Time to launch one kernel outside of a CUDA graph on the measured hosts: what a machine can report."""
    launch_share: float
    """Part of the host's times that is in proportion to it."""
    prefill_ms: float
    """A step that prefills, beside its layers."""
    layer_ms: float
    """Per layer, where the step has too many rows for a CUDA graph."""
    graph_layer_ms: float
    """Per layer, where the parts of a layer are CUDA graphs."""
    graph_rows: int
    """Most rows of a step for which there are graphs."""
    decode_ms: float
    """A step that only decodes: one CUDA graph."""
    sequence_ms: float
    """Added to every step for each sequence that decodes."""
    mixed_sequence_ms: float
    """Added to a step that prefills for each sequence that decodes in it: nothing of such a step is one CUDA graph."""
    joined_ms: float
    """Added to a step that only decodes where requests joined in the step before."""
    request_ms: float
    """To take in a request, before the next step is scheduled."""
    token_us: float
    """The same per prompt token: prompts are hashed in blocks for the prefix cache."""
    jitter: float
    """Standard deviation of the logarithm of the time of a step that prefills, on one host."""
    spread: float
    """How far hosts are apart: the largest over the middle."""


class PipelineConstants(Facts):
    """Asynchronous scheduling: the scheduler is one step ahead of the GPU. In ms."""

    start_ms: float
    """From the call of the scheduler until the GPU can begin."""
    start_sequence_ms: float
    """The same per sequence that decodes: which are prepared before the step is launched."""
    end_ms: float
    """From the last launch until the GPU is done with it."""
    output_ms: float
    """From the end of a step until its tokens are returned."""


class SpeculationFacts(Facts):
    """Verifying drafts of n-grams. Nothing runs ahead: the next drafts need the last tokens."""

    sequence_ms: float
    """Added to every step for each sequence: drafts are looked up, and those that are wrong are dropped."""
    source: str


class EngineFacts(Facts):
    """What older engines of vLLM add to every step, in which nothing runs ahead."""

    before: str
    """The first version without it."""
    step_ms: float
    sequence_ms: float
    source: str


class ApiConstants(Facts):
    """What the API server adds to the time to the first token."""

    request_ms: float
    token_us: float
    source: str


class HardwareDeviations(Facts):
    """How far a machine is from the constants, whatever the model: standard deviations of logarithms."""

    roofs: dict[Basis, float]
    """Roofs of a GPU, by what they rest on."""
    host: float
    """A host's times, where its time to launch a kernel was measured."""
    unknown_host: float
    """The same where it was not."""
    api: float
    """What the API server adds."""


class ModelDeviations(Facts):
    """How far one model is from the constants on hardware that is known: standard deviations of logarithms."""

    memory: float
    compute: float
    host: float


class CalibrationDeviations(Facts):
    """What a calibration's factors are expected to be; what is the hardware's holds for other models too."""

    hardware: HardwareDeviations
    models: ModelDeviations


class CalibrationFacts(Facts):
    """How a calibration on one's own hardware is judged."""

    deviations: CalibrationDeviations
    most: float
    """Times as slow or as fast as the constants say that the measured GPU may be and be the one that it claims."""
    usual_cases: int
    """Measured cases that the usual band counts as, where a band follows from a calibration's own misses."""
    others: float
    """How many times the measured band that of other models on the same hardware is."""
    floor: dict[str, float]
    """What no band is narrower than, in percent, by quantity: how far measurements repeat."""
    source: str


class SpeedResidual(Facts):
    """Size of the differences between predictions and measurements, in percent."""

    samples: int
    median: float
    p90: float
    worst: float


class TailFacts(Facts):
    """How many times as wide as the median's the error band of a latency's tail is: of nine of ten, at both."""

    p90: float
    p99: float


class PerformanceFacts(Facts):
    """Everything that a prediction of speed rests on."""

    source: str
    date: str
    version: str
    """The vLLM version that was measured."""
    gpus: dict[str, GpuRoofs]
    kernels: dict[KernelClass, KernelConstants]
    attention: AttentionConstants
    overhead: OverheadConstants
    burst: BurstConstants
    host: HostConstants
    pipeline: PipelineConstants
    api: ApiConstants
    old_engine: EngineFacts
    speculation: SpeculationFacts
    bands: dict[Basis, dict[str, float]]
    """How far nine of ten predictions are off at most, in percent, by what they rest on and by quantity."""
    unknown_host: dict[str, float]
    """The same at least, where the time in which the host launches a kernel is not known, by quantity."""
    tails: dict[str, TailFacts]
    """Of `ttft_ms` and `tpot_ms`."""
    calibration: CalibrationFacts
    residuals: dict[str, SpeedResidual] = Field(default={})
    """Of models that were left out of the fit, by quantity."""


MEASURED_VERSION = "0.26.0"
"""The vLLM version that was measured."""


def measurements_path() -> Path:
    """The measurements that the constants are fitted to, one JSON object per line."""
    return directory("performance") / f"measurements-vllm-{MEASURED_VERSION}.jsonl"


def steps_path() -> Path:
    """The scheduler's own steps of the same runs, one JSON object per run; not installed."""
    return directory("performance") / f"steps-vllm-{MEASURED_VERSION}.jsonl.gz"


def left_out_path() -> Path:
    """Errors of the measurements, each with constants fitted without its model or its GPU, one JSON object per line."""
    return directory("performance") / f"left-out-vllm-{MEASURED_VERSION}.jsonl"


def aiconfigurator_path() -> Path:
    """Errors of AIConfigurator 0.12.0 on the same measurements, one JSON object per line."""
    return directory("performance") / "aiconfigurator-0.12.0.jsonl"


def published_path() -> Path:
    """What others published of an L4, one JSON object per line; nothing is fitted to it."""
    return directory("performance") / "published-l4.jsonl"


def speculation_path() -> Path:
    """Steps and loads with guesses of n-grams, one JSON object per line; one constant of speed is set by them."""
    return directory("performance") / f"speculation-vllm-{MEASURED_VERSION}.jsonl"


def experts_path() -> Path:
    """Steps of models with experts, one JSON object per line; nothing is fitted to them."""
    return directory("performance") / f"experts-vllm-{MEASURED_VERSION}.jsonl"


def api_server_path() -> Path:
    """Loads on vLLM's OpenAI server, as its clients saw them, one JSON object per line."""
    return directory("performance") / f"api-server-vllm-{MEASURED_VERSION}.jsonl"


def facts_path() -> Path:
    """Roofs and fitted constants."""
    return directory("performance") / "facts.yaml"


@cache
def read_performance_facts() -> PerformanceFacts:
    """Read the facts that ship with the package.

    Raises:
        pydantic.ValidationError: the file does not have the shape that this module states.

    """
    return PerformanceFacts.model_validate(read(facts_path()))
