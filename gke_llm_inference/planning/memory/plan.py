"""The memory plan of one server: what each part takes, what is left for the KV cache, and whether the server starts."""

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from gke_llm_inference.catalog import load_catalog
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
    check,
    kv_bytes,
    limits_of,
    tgi_version_facts,
    vllm_version_facts,
)
from gke_llm_inference.planning.memory.sharding import (
    MIB,
    CacheLayout,
    ModelShard,
    shard_of,
    text_parameters,
    tgi_layout,
    vllm_layout,
)
from gke_llm_inference.planning.memory.weights import load_peak_mib, weights_mib

Verdict = Literal["fits", "tight", "does not fit"]
Cause = Literal["", "start", "load", "profile", "runtime"]

_FAR = 2
"""A context limit this many times below what fits is worth a word."""
_GIB = 1024
# Sizes for which vLLM captures CUDA graphs with 256 sequences: 1, 2, 4, 8 to 256 by 8, 272 to 512 by 16.
_USUAL_SIZES = 51
_LARGEST_SIZE = 512
_GRAPH_START = 4
_MORE_DECODE_GRAPHS = 1.15
# CUDA context of an L4 in MiB, by one public log: what torch can never allocate.
_CONTEXT_MIB = 195.0
# More parameters than the language model's shapes account for, as a multiple: a vision tower.
_MORE_THAN_TEXT = 1.01
_VISION_MARGIN_MIB = 500.0
_FLASHINFER_HEADS = (64, 128, 256, 512)


@dataclass(frozen=True, kw_only=True)
class MemoryState:
    """Memory of one GPU at a start with one state of the compile cache; MiB.

    Attributes:
        activation_mib: peak of the profile.
        cuda_graphs_mib: what is set aside for CUDA graphs within the budget.
        non_torch_mib: what torch does not allocate, within the budget.
        kv_cache_mib: the pool.
        blocks: blocks in the pool.
        kv_cache_tokens: tokens that the pool holds, as vLLM prints them for the asked context.
        max_concurrency: requests of the asked context that the pool holds at once.
        peak_mib: most memory that is used until the server is ready, CUDA context included.
        graphs_outside_mib: CUDA graphs that come on top of the budget.
        verdict: whether the server starts.
        cause: at which point it fails: what is free at start, loading, the profile, or running after it.

    """

    activation_mib: float
    cuda_graphs_mib: float
    non_torch_mib: float
    kv_cache_mib: float
    blocks: int
    kv_cache_tokens: int
    max_concurrency: float
    peak_mib: float
    graphs_outside_mib: float
    verdict: Verdict
    cause: Cause


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """The memory plan of one server, per GPU.

    Attributes:
        request: what was asked.
        limits: its settings with the server's defaults.
        total_mib: memory of the GPU as torch sees it.
        budget_mib: what the server may use of it.
        weights_mib: loaded weights.
        load_peak_mib: most memory while they are loaded.
        kv_bytes_per_token: KV cache of one token over all layers of the GPU.
        needed_mib: KV cache of one request of the asked context.
        cold: start with an empty compile cache.
        warm: start with a filled one.
        error_margin_mib: how far the pool may be from its estimate.
        largest_context: longest context with which the server starts, by the estimate; 0 if none.
        comfortable_context: longest context that fits with the error margin to spare; 0 if none.
        calibrated: whether the constants were measured for this server, version and number of GPUs.
        notes: what limits the plan's certainty.
        start_context_mib: memory that is taken before the server compares what is free with its budget.

    """

    request: MemoryRequest
    limits: Limits
    total_mib: float
    budget_mib: float
    weights_mib: float
    load_peak_mib: float
    kv_bytes_per_token: int
    needed_mib: float
    cold: MemoryState
    warm: MemoryState
    error_margin_mib: float
    largest_context: int
    comfortable_context: int
    calibrated: bool
    notes: tuple[str, ...]
    start_context_mib: float

    @property
    def state(self) -> MemoryState:
        """The start that the request asks for; the cold one unless it says otherwise."""
        return self.warm if self.request.compile_cache == "warm" else self.cold

    @property
    def verdict(self) -> Verdict:
        """Whether the server starts."""
        return self.state.verdict

    @property
    def reason(self) -> str:
        """Why it does not fit or is tight; empty where it fits."""
        return self.reason_of(self.state)

    def reason_of(self, state: MemoryState) -> str:
        """Why that start does not fit or is tight; empty where it fits."""
        return _reason(self, state, self.start_context_mib)

    @property
    def starts(self) -> bool:
        """Whether the estimate says that the server starts."""
        return self.verdict != "does not fit"

    @property
    def summary(self) -> str:
        """The plan in one line: verdict, KV cache, longest context and concurrency at the start that is planned for."""
        state = self.state
        estimated = "" if self.calibrated else "; estimated, not measured"
        return (
            f"{self.verdict}: a KV cache of {state.kv_cache_mib / _GIB:.2f} GiB per GPU holds "
            f"{state.kv_cache_tokens:,} tokens; longest context {self.largest_context:,}, "
            f"{floored(state.max_concurrency)} requests of {self.limits.max_model_len:,} tokens at once{estimated}"
        )

    @property
    def context_note(self) -> str:
        """Why a context far below what fits gains nothing; empty where the limit is not far below.

        Older guides set limits as low as 640 tokens for a server whose version had less memory left.
        """
        if not self.starts or self.comfortable_context < _FAR * self.limits.max_model_len:
            return ""
        return (
            f"{self.comfortable_context:,} tokens fit as well: {self.request.server} {self.request.version} gives "
            f"the {self.state.kv_cache_mib / _GIB:.2f} GiB left to its KV cache, whatever the limit, and hands them "
            "out in blocks"
        )

    def gib(self) -> dict[str, float]:
        """The parts in GiB per GPU, by the names of the plan's JSON."""
        state = self.state
        parts = {
            "gpuMemoryGib": self.total_mib,
            "usableGib": self.budget_mib,
            "weightsGib": self.weights_mib,
            "activationGib": state.activation_mib,
            "cudaGraphsGib": state.cuda_graphs_mib + state.graphs_outside_mib,
            "nonTorchGib": state.non_torch_mib,
            "kvCacheGib": state.kv_cache_mib,
        }
        return {name: round(mib / _GIB, 3) for name, mib in parts.items()}


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """What does not depend on the asked context."""

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


def plan_memory(request: MemoryRequest, facts: MemoryFacts | None = None) -> MemoryPlan:
    """The memory plan that answers a request.

    Raises:
        Refusal: the request cannot be answered; with every problem of it.

    """
    facts = facts or load_catalog().memory
    limits = check(request, facts)
    parts = _parts(request, limits, facts)
    cold = _state(request, parts, facts, limits.max_model_len, "cold")
    warm = _state(request, parts, facts, limits.max_model_len, "warm")
    asked: CompileCache = request.compile_cache or "cold"
    longest = _largest(request, limits, facts, asked, ("fits", "tight"))
    comfortable = _largest(request, limits, facts, asked, ("fits",), longest)
    return MemoryPlan(
        request=request,
        limits=limits,
        total_mib=request.gpu_memory_mib,
        budget_mib=parts.budget,
        weights_mib=parts.weights,
        load_peak_mib=parts.load_peak,
        kv_bytes_per_token=parts.layout.token_bytes,
        needed_mib=parts.layout.request_mib(limits.max_model_len),
        cold=cold,
        warm=warm,
        error_margin_mib=_error_margin(parts, (warm if asked == "warm" else cold).activation_mib),
        largest_context=longest,
        comfortable_context=comfortable,
        calibrated=parts.calibrated,
        notes=parts.notes,
        start_context_mib=facts.vllm.runtime.start_context_mib,
    )


def _largest(
    request: MemoryRequest,
    limits: Limits,
    facts: MemoryFacts,
    cache: CompileCache,
    verdicts: tuple[Verdict, ...],
    most: int | None = None,
) -> int:
    """The longest context with one of the verdicts, by bisection over the plan itself; 0 if there is none."""
    low, high = 0, request.architecture.max_positions if most is None else most
    follows = limits.runner == "V0"
    parts = _parts(request, limits, facts)
    demand = _demand(request, parts, facts, cache)
    while low < high:
        middle = (low + high + 1) // 2
        if follows:
            parts = _parts_at(request, limits, facts, middle)
            demand = _demand(request, parts, facts, cache)
        if _judge(request, parts, facts, demand, middle)[0] in verdicts:
            low = middle
        else:
            high = middle - 1
    return low


def _parts_at(request: MemoryRequest, limits: Limits, facts: MemoryFacts, context: int) -> _Parts:
    """The parts with another context, which a V0 engine and TGI profile unless they are told how many tokens."""
    other = replace(request, max_model_len=context)
    given = request.max_num_batched_tokens is not None
    limits = replace(limits, max_model_len=context) if given else limits_of(other, facts)
    return _parts(other, limits, facts)


def _parts(request: MemoryRequest, limits: Limits, facts: MemoryFacts) -> _Parts:
    constants, shard = facts.vllm, shard_of(request)
    weights = weights_mib(request, shard, constants.weights)
    notes: list[str] = []
    extra = 0.0
    calibrated = True
    if request.server == "tgi":
        tgi = tgi_version_facts(request.version, facts)
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
        load_peak = load_peak_mib(request, shard, weights, constants, state_rows=rows, streams=version.streams_fp8)
        margin, calibrated = version.error_margin or constants.error_margin, version.calibrated
        if not version.calibrated:
            notes.append(f"vLLM {request.version}: {version.note}")
    if request.tensor_parallel > 1 or request.pipeline_parallel > 1:
        extra, calibrated = facts.versions.tensor_parallel.error_margin_mib, False
        notes.append(f"several GPUs: {facts.versions.tensor_parallel.source}")
    if request.architecture.experts:
        extra, calibrated = extra + 0.01 * weights, False
        notes.append("mixture of experts: activation is not measured here")
    if request.architecture.parameters > _MORE_THAN_TEXT * text_parameters(request.architecture):
        extra, calibrated = extra + _VISION_MARGIN_MIB, False
        notes.append("more than a language model, such as a vision tower, whose activation is not measured here")
    return _Parts(
        limits=limits,
        shard=shard,
        layout=layout,
        budget=budget,
        weights=weights,
        load_peak=load_peak,
        error_margin=margin,
        extra_margin=extra,
        calibrated=calibrated,
        notes=tuple(notes),
    )


@dataclass(frozen=True, kw_only=True)
class _Demand:
    """What a start takes beside weights and KV cache, in MiB."""

    activation: float
    graphs_inside: float
    graphs_outside: float
    non_torch: float
    beyond: float
    outside_torch: float
    flashinfer_in_estimate: float


def _demand(request: MemoryRequest, parts: _Parts, facts: MemoryFacts, cache: CompileCache) -> _Demand:
    step = step_of(request, parts.shard, parts.limits)
    if request.server == "tgi":
        return _tgi_demand(request, step, facts)
    return _vllm_demand(request, parts, step, facts, cache)


def _vllm_demand(request: MemoryRequest, parts: _Parts, step: Step, facts: MemoryFacts, cache: CompileCache) -> _Demand:
    constants, version = facts.vllm, vllm_version_facts(request.version, facts)
    runtime, graphs = constants.runtime, not request.enforce_eager
    v2 = parts.limits.runner == "V2"
    forward = forward_mib(step, constants, compiled=graphs)
    peak = max(forward, logits_mib(step, constants))
    if not v2:
        peak = max(peak, v1_sampler_mib(step, constants))
    steady = peak * version.activation_factor
    activation = steady
    if graphs and version.cold_peak and cache == "cold":
        activation = max(activation, cold_mib(step, constants))
    flashinfer = _flashinfer(request)
    inside = surcharge = 0.0
    if graphs and version.graphs_in_budget and not v2:
        scale = graph_scale(parts.limits.max_num_seqs)
        inside = scale * constants.graphs.estimate.at(parts.shard.layers, parts.shard.feed_forward)
        surcharge = constants.graphs.flashinfer_estimate_mib if flashinfer else 0.0
    non_torch = constants.non_torch.eager
    if graphs and not v2:
        non_torch = constants.non_torch.graphs.at(parts.shard.layers, parts.shard.feed_forward)
    if step.shard.gpus > 1:
        non_torch = facts.versions.tensor_parallel.non_torch_mib
    captured = _captured(parts, facts, v2=v2, flashinfer=flashinfer) if graphs else 0.0
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
    return _Demand(
        activation=activation,
        graphs_inside=inside,
        graphs_outside=captured,
        non_torch=non_torch,
        beyond=beyond + captured + (non_torch - constants.non_torch.eager),
        outside_torch=_outside_torch(parts, facts) if graphs else 0.0,
        flashinfer_in_estimate=surcharge,
    )


def _tgi_demand(request: MemoryRequest, step: Step, facts: MemoryFacts) -> _Demand:
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
    return _Demand(
        activation=activation,
        graphs_inside=0.0,
        graphs_outside=0.0,
        non_torch=non_torch,
        beyond=activation,
        outside_torch=0.0,
        flashinfer_in_estimate=0.0,
    )


def _state(request: MemoryRequest, parts: _Parts, facts: MemoryFacts, context: int, cache: CompileCache) -> MemoryState:
    demand = _demand(request, parts, facts, cache)
    pool, inside = _pool(parts, demand)
    layout = parts.layout
    blocks = layout.pool_blocks(pool)
    concurrency = blocks / layout.request_blocks(context)
    peak = _peak(parts, facts, demand)
    verdict, cause = _judge(request, parts, facts, demand, context)
    return MemoryState(
        activation_mib=demand.activation,
        cuda_graphs_mib=inside,
        non_torch_mib=demand.non_torch,
        kv_cache_mib=pool,
        blocks=blocks,
        kv_cache_tokens=int(concurrency * context),
        max_concurrency=concurrency,
        peak_mib=peak,
        graphs_outside_mib=0.0 if inside else demand.graphs_outside,
        verdict=verdict,
        cause=cause,
    )


def _left(parts: _Parts, demand: _Demand) -> float:
    """What the budget leaves for the KV cache before FlashInfer's charge, in MiB; may be negative."""
    return parts.budget - parts.weights - demand.activation - demand.non_torch - demand.graphs_inside


def _pool(parts: _Parts, demand: _Demand) -> tuple[float, float]:
    """The KV pool, and what CUDA graphs take within the budget; MiB.

    What is charged for FlashInfer with an FP8 KV cache never makes the pool hold fewer tokens than one at 16 bits: it
    was measured with one model only. The verdict rests on the whole charge all the same.
    """
    left = max(0.0, _left(parts, demand))
    charge = min(demand.flashinfer_in_estimate, left / 2)
    return left - charge, demand.graphs_inside + charge


def _peak(parts: _Parts, facts: MemoryFacts, demand: _Demand) -> float:
    """Most memory that is used until the server is ready, in MiB: the whole pool is allocated at once."""
    return facts.vllm.runtime.process_mib + parts.weights + _pool(parts, demand)[0] + demand.beyond


def _judge(
    request: MemoryRequest, parts: _Parts, facts: MemoryFacts, demand: _Demand, context: int
) -> tuple[Verdict, Cause]:
    """Verdict and cause; the earliest failure decides."""
    runtime, total = facts.vllm.runtime, request.gpu_memory_mib
    peak = _peak(parts, facts, demand)
    needed = parts.layout.request_mib(context)
    left = _left(parts, demand) - demand.flashinfer_in_estimate
    load = parts.load_peak + runtime.process_mib
    in_torch = peak - runtime.process_mib - demand.outside_torch
    if request.server == "vllm" and parts.budget > total - runtime.start_context_mib:
        return "does not fit", "start"
    if load > total:
        return "does not fit", "load"
    if needed > left:
        return "does not fit", "profile"
    if in_torch > total - _CONTEXT_MIB or peak > total + runtime.peak_uncertainty_mib:
        return "does not fit", "runtime"
    if needed > left - _error_margin(parts, demand.activation):
        return "tight", "profile"
    if load > total - runtime.peak_uncertainty_mib:
        return "tight", "load"
    if peak > total - runtime.peak_uncertainty_mib:
        return "tight", "runtime"
    return "fits", ""


def _reason(plan: MemoryPlan, state: MemoryState, start_context_mib: float) -> str:
    total = _gib(plan.total_mib)
    match state.cause:
        case "start":
            free = _gib(plan.total_mib - start_context_mib)
            return f"the budget of {_gib(plan.budget_mib)} is more than the {free} that are free of {total} at start"
        case "load":
            return f"loading {_gib(plan.weights_mib)} of weights takes {_gib(plan.load_peak_mib)} of {total}"
        case "profile":
            needed, left = _distinct(plan.needed_mib, state.kv_cache_mib)
            return (
                f"one request of {plan.limits.max_model_len} tokens needs {needed} of KV cache; "
                f"{left} (± {_gib(plan.error_margin_mib)}) are left of the budget of "
                f"{_gib(plan.budget_mib)} beside {_gib(plan.weights_mib)} of weights and "
                f"{_gib(state.activation_mib)} of activation"
            )
        case "runtime":
            return (
                f"the profile passes, and then sampling {plan.limits.max_num_seqs} sequences and CUDA graphs raise "
                f"the use to {_gib(state.peak_mib)} of {total}"
            )
        case _:
            return ""


def _error_margin(parts: _Parts, activation: float) -> float:
    margin = parts.error_margin
    return margin.mib + margin.weights_share * parts.weights + margin.activation_share * activation + parts.extra_margin


def _captured(parts: _Parts, facts: MemoryFacts, *, v2: bool, flashinfer: bool) -> float:
    """What CUDA graphs take once they are captured, in MiB."""
    graphs = facts.vllm.graphs
    figure = graphs.v2_actual if v2 else graphs.v1_actual
    size = figure.at(parts.shard.layers, parts.shard.feed_forward) * graph_scale(parts.limits.max_num_seqs)
    return size + (graphs.flashinfer_actual_mib if flashinfer else 0.0)


def _outside_torch(parts: _Parts, facts: MemoryFacts) -> float:
    scale = graph_scale(parts.limits.max_num_seqs)
    return scale * facts.vllm.graphs.outside_torch_layer_mib * parts.shard.layers


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


def floored(value: float, digits: int = 1) -> float:
    """A number cut, not rounded: 0.99 requests at once are not one."""
    scale: int = 10**digits
    return math.floor(value * scale) / scale


def _distinct(one: float, other: float) -> tuple[str, str]:
    """Two sizes in GiB, or in MiB where that would show different ones alike."""
    if _gib(one) != _gib(other) or one == other:
        return _gib(one), _gib(other)
    return f"{one:.1f} MiB", f"{other:.1f} MiB"


def _gib(mib: float) -> str:
    return f"{mib / _GIB:.2f} GiB"
