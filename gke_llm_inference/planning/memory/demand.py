"""What a server takes of a GPU: what is the same for every context, and what a start takes beside it."""

from dataclasses import dataclass
from functools import lru_cache

from gke_llm_inference.catalog.memory_facts import ErrorMargin, MemoryFacts
from gke_llm_inference.planning.memory.activation import (
    Step,
    cold_mib,
    forward_mib,
    logits_mib,
    step_of,
    v1_sampler_mib,
    v2_sampler_mib,
)
from gke_llm_inference.planning.memory.request import (
    CompileCache,
    Limits,
    MemoryRequest,
    Unplanned,
    format_name,
    kv_bytes,
    tgi_version_facts,
    vllm_version_facts,
)
from gke_llm_inference.planning.memory.sharding import (
    MIB,
    CacheLayout,
    ModelShard,
    shard_of,
    tgi_layout,
    vllm_layout,
)
from gke_llm_inference.planning.memory.unmeasured import unmeasured_parts
from gke_llm_inference.planning.memory.weights import draft_mib, load_peak_mib, weights_mib

# Sizes for which vLLM captures CUDA graphs with 256 sequences: 1, 2, 4, 8 to 256 by 8, 272 to 512 by 16.
_USUAL_SIZES = 51
_LARGEST_SIZE = 512
_GRAPH_START = 4
_MORE_DECODE_GRAPHS = 1.15
_FLASHINFER_HEADS = (64, 128, 256, 512)


@dataclass(frozen=True, kw_only=True)
class FixedDemand:
    """What a server takes whatever context it is asked for, and what it may use; MiB.

    Attributes:
        limits: the request's settings, complete.
        shard: what one GPU has of the model.
        layout: how the KV cache is cut into blocks.
        budget: what the server may use of the GPU.
        weights: loaded weights.
        load_peak: most memory while they are loaded.
        error_margin: how far the KV cache may be from its estimate, by the measurements.
        extra_margin: what comes on top of it for what was not measured.
        calibrated: whether the constants were measured for this server, version and number of GPUs.
        notes: what limits the plan's certainty.
        unplanned: what takes memory that is not modeled: flags, variables, and parts of the model.

    """

    limits: Limits
    shard: ModelShard
    layout: CacheLayout
    budget: float
    weights: float
    load_peak: float
    error_margin: ErrorMargin
    extra_margin: float
    calibrated: bool
    notes: tuple[str, ...]
    unplanned: tuple[Unplanned, ...]


@dataclass(frozen=True, kw_only=True)
class StartDemand:
    """What a start takes beside weights and KV cache, in MiB."""

    activation: float
    graphs_inside: float
    graphs_outside: float
    non_torch: float
    beyond: float
    outside_torch: float
    flashinfer_in_estimate: float


def fixed_demand(request: MemoryRequest, limits: Limits, facts: MemoryFacts) -> FixedDemand:
    """What a request takes whatever its context."""
    constants, shard = facts.vllm, shard_of(request)
    notes: list[str] = []
    extra = 0.0
    calibrated = True
    if request.server == "tgi":
        tgi = tgi_version_facts(request.version, facts)
        weights = weights_mib(request, shard, constants.weights)
        layout = tgi_layout(request, shard)
        budget = request.gpu_memory_mib * limits.utilization * tgi.wiggle_room
        load_peak = load_peak_mib(request, shard, weights, constants, state_rows=0, streams=False)
        margin, calibrated = tgi.error_margin, False
        notes.append(f"TGI {request.version}: {tgi.note}")
    else:
        version = vllm_version_facts(request.version, facts)
        layout = vllm_layout(request, shard, version, constants.block_tokens, limits.max_num_batched_tokens)
        budget = request.gpu_memory_mib * limits.utilization
        rows = limits.max_num_seqs if limits.runner == "V2" else 0
        # Only FP8 was ever made of the whole model at once: bitsandbytes is made weight by weight in every version.
        streams = version.streams_fp8 or format_name(request.weights_format) != "fp8"
        weights = weights_mib(
            request, shard, constants.weights, streams=version.streams_fp8, split_limit_mib=version.split_limit_mib
        )
        load_peak = load_peak_mib(request, shard, weights, constants, state_rows=rows, streams=streams)
        margin, calibrated = version.error_margin or constants.error_margin, version.calibrated
        if not version.calibrated:
            notes.append(f"vLLM {request.version}: {version.note}")
        weights += draft_mib(request)
        load_peak = max(load_peak, weights)
    if request.tensor_parallel > 1 or request.pipeline_parallel > 1:
        extra, calibrated = facts.versions.tensor_parallel.error_margin_mib, False
        notes.append(f"several GPUs: {facts.versions.tensor_parallel.source}")
    parts = unmeasured_parts(request, facts)
    notes += [f"{part.name}: {part.what}" for part in parts]
    return FixedDemand(
        limits=limits,
        shard=shard,
        layout=layout,
        budget=budget,
        weights=weights,
        load_peak=load_peak,
        error_margin=margin,
        extra_margin=extra,
        calibrated=calibrated and not parts,
        notes=tuple(notes),
        unplanned=(*request.unplanned, *parts),
    )


def start_demand(request: MemoryRequest, fixed: FixedDemand, facts: MemoryFacts, cache: CompileCache) -> StartDemand:
    """What a start with that state of the compile cache takes."""
    step = step_of(request, fixed.shard, fixed.limits)
    if request.server == "tgi":
        return _tgi_demand(request, step, facts)
    return _vllm_demand(request, fixed, step, facts, cache)


def _vllm_demand(
    request: MemoryRequest, fixed: FixedDemand, step: Step, facts: MemoryFacts, cache: CompileCache
) -> StartDemand:
    constants, version = facts.vllm, vllm_version_facts(request.version, facts)
    runtime, graphs = constants.runtime, not request.enforce_eager
    v2 = fixed.limits.runner == "V2"
    forward = forward_mib(step, constants, compiled=graphs)
    peak = forward
    if not request.pooling:
        peak = max(peak, logits_mib(step, constants), 0.0 if v2 else v1_sampler_mib(step, constants))
    steady = peak * version.activation_factor
    activation = steady
    if graphs and version.cold_peak and cache == "cold":
        activation = max(activation, cold_mib(step, constants))
    flashinfer = _flashinfer(request)
    inside = surcharge = 0.0
    if graphs and version.graphs_in_budget and not v2:
        scale = graph_scale(fixed.limits.max_num_seqs)
        inside = scale * constants.graphs.estimate.at(fixed.shard.layers, fixed.shard.feed_forward)
        surcharge = constants.graphs.flashinfer_estimate_mib if flashinfer else 0.0
    non_torch = constants.non_torch.eager
    if graphs and not v2:
        non_torch = constants.non_torch.graphs.at(fixed.shard.layers, fixed.shard.feed_forward)
    if step.shard.gpus > 1 or request.pipeline_parallel > 1:
        non_torch = facts.versions.tensor_parallel.non_torch_mib
    captured = _captured(fixed, facts, v2=v2, flashinfer=flashinfer) if graphs else 0.0
    if v2:
        sampler = v2_sampler_mib(step, constants)
        beyond = max(sampler, steady)
        if graphs:
            beyond = max(sampler + runtime.v2_graphs_mib, steady + runtime.forward_graphs_mib)
    else:
        beyond = steady + runtime.v1_base_mib
    if flashinfer:
        workspace = runtime.flashinfer_token_bytes * step.tokens * step.shard.query / MIB
        beyond += max(runtime.flashinfer_workspace_mib, workspace)
    return StartDemand(
        activation=activation,
        graphs_inside=inside,
        graphs_outside=captured,
        non_torch=non_torch,
        beyond=beyond + captured + (non_torch - constants.non_torch.eager),
        outside_torch=_outside_torch(fixed, facts) if graphs else 0.0,
        flashinfer_in_estimate=surcharge,
    )


def _tgi_demand(request: MemoryRequest, step: Step, facts: MemoryFacts) -> StartDemand:
    """TGI's warm-up: one prefill of the most prompt tokens, after which it takes what is free.

    Formula: free memory less (1 − fraction × wiggle room) × total, over the bytes of a token
    (flash_causal_lm.py); the context counts as used, as TGI asks the driver what is free.
    """
    constants, version = facts.vllm, tgi_version_facts(request.version, facts)
    rows = step.tokens if version.prefill_logprobs else min(step.tokens, step.rows)
    logits = 2 * rows * step.shard.vocabulary / MIB
    activation = forward_mib(step, constants, compiled=False) + logits
    non_torch = constants.runtime.process_mib
    if step.shard.gpus > 1:
        non_torch += facts.versions.tensor_parallel.non_torch_mib
    return StartDemand(
        activation=activation,
        graphs_inside=0.0,
        graphs_outside=0.0,
        non_torch=non_torch,
        beyond=activation,
        outside_torch=0.0,
        flashinfer_in_estimate=0.0,
    )


def _captured(fixed: FixedDemand, facts: MemoryFacts, *, v2: bool, flashinfer: bool) -> float:
    """What CUDA graphs take once they are captured, in MiB."""
    graphs = facts.vllm.graphs
    figure = graphs.v2_actual if v2 else graphs.v1_actual
    size = figure.at(fixed.shard.layers, fixed.shard.feed_forward) * graph_scale(fixed.limits.max_num_seqs)
    return size + (graphs.flashinfer_actual_mib if flashinfer else 0.0)


def _outside_torch(fixed: FixedDemand, facts: MemoryFacts) -> float:
    scale = graph_scale(fixed.limits.max_num_seqs)
    return scale * facts.vllm.graphs.outside_torch_layer_mib * fixed.shard.layers


@lru_cache(maxsize=64)
def graph_scale(sequences: int) -> float:
    """Graphs for that many sequences, as a multiple of those for 256; sizes go up to twice the sequences."""
    largest = min(2 * sequences, _LARGEST_SIZE)
    sizes = sum(1 for size in (1, 2, 4) if size <= largest)
    sizes += min(largest, 256) // 8 + max(0, largest - 256) // 16
    more = _MORE_DECODE_GRAPHS if sequences >= _LARGEST_SIZE else 1.0
    return more * (sizes + _GRAPH_START) / (_USUAL_SIZES + _GRAPH_START)


def _flashinfer(request: MemoryRequest) -> bool:
    """Whether vLLM attends with FlashInfer, which it picks on an L4 for an FP8 KV cache and heads of these widths."""
    return kv_bytes(request.kv_cache_dtype) == 1 and request.architecture.head_dim in _FLASHINFER_HEADS
