"""The memory plan of one server: what is left for the KV cache, and whether the server starts."""

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from gke_llm_inference.catalog.memory_facts import MemoryFacts
from gke_llm_inference.planning.memory.band import Band, band_of
from gke_llm_inference.planning.memory.demand import FixedDemand, StartDemand, fixed_demand, start_demand
from gke_llm_inference.planning.memory.request import CompileCache, Limits, MemoryRequest, limits_of
from gke_llm_inference.planning.memory.result import Cause, MemoryPlan, MemoryState, Verdict
from gke_llm_inference.planning.memory.sharding import heads_divide, kv_heads_divide

# CUDA context of an L4 in MiB, by one public log: what torch can never allocate.
_CONTEXT_MIB = 195.0
_NO_BAND = Band()


def plan_memory(request: MemoryRequest, facts: MemoryFacts) -> MemoryPlan:
    """The memory plan of a request that the rules of `planning.compatibility` have nothing against.

    Servers of a stack are often alike: what was planned for one holds for all that ask the same.
    """
    same = _Same(facts)
    try:
        plan = _planned_once(request, same)
    except TypeError:  # a request of a file, with a value that cannot be a key
        plan = _planned(request, same)
    return plan if plan.request.path == request.path else replace(plan, request=request)


def requests_at_once(plan: MemoryPlan, tokens: int, facts: MemoryFacts) -> float:
    """How many requests of so many tokens the KV cache of a plan holds."""
    return plan.state.blocks / fixed_demand(plan.request, plan.limits, facts).layout.request_blocks(tokens)


@dataclass(frozen=True, eq=False)
class _Same:
    """Facts by identity, as what is asked again is asked of the same object."""

    facts: MemoryFacts

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.facts is self.facts

    def __hash__(self) -> int:
        return id(self.facts)


@dataclass(frozen=True)
class _Contexts:
    """The longest contexts of a request, by bisection over the plan itself."""

    request: MemoryRequest
    limits: Limits
    facts: MemoryFacts
    caches: tuple[CompileCache, ...]

    @cached_property
    def largest(self) -> int:
        return min(_largest(self.request, self.limits, self.facts, one, ("fits", "tight")) for one in self.caches)

    @cached_property
    def comfortable(self) -> int:
        return min(_largest(self.request, self.limits, self.facts, one, ("fits",), self.largest) for one in self.caches)


@lru_cache(maxsize=1024)
def _planned_once(request: MemoryRequest, same: _Same) -> MemoryPlan:
    return _planned(request, same)


def _planned(request: MemoryRequest, same: _Same) -> MemoryPlan:
    facts = same.facts
    limits = limits_of(request, facts)
    _assert_possible(request, limits)
    fixed = fixed_demand(request, limits, facts)
    cold = _state(request, fixed, facts, limits.max_model_len, "cold")
    warm = _state(request, fixed, facts, limits.max_model_len, "warm")
    # The first start has the least KV cache, whatever others find.
    asked: CompileCache = "warm" if request.compile_cache == "warm" else "cold"
    activation = (warm if asked == "warm" else cold).activation_mib
    band = band_of(request, fixed, activation, limits.max_model_len)
    return MemoryPlan(
        request=request,
        limits=limits,
        total_mib=request.gpu_memory_mib,
        budget_mib=fixed.budget,
        weights_mib=fixed.weights,
        load_peak_mib=fixed.load_peak,
        kv_bytes_per_token=0 if request.architecture.encoder_only else fixed.layout.token_bytes,
        needed_mib=_needed(request, fixed, limits.max_model_len),
        cold=cold,
        warm=warm,
        error_margin_mib=_error_margin(fixed, activation),
        band_mib=(band.low, band.high),
        contexts=_Contexts(request, limits, facts, ("cold", "warm") if request.compile_cache == "both" else (asked,)),
        calibrated=fixed.calibrated and request.kv_cache_mib is None and not fixed.unplanned,
        notes=fixed.notes,
        unplanned=fixed.unplanned,
        start_context_mib=facts.vllm.runtime.start_context_mib,
    )


def _assert_possible(request: MemoryRequest, limits: Limits) -> None:
    """What the arithmetic rests on; whoever asks has judged the settings already."""
    given, gpus = request.architecture, request.tensor_parallel
    assert request.gpu_memory_mib > 0, "the memory of the GPU is not known"
    assert 0 < limits.max_model_len <= given.max_positions, "the context is beyond the model's"
    assert heads_divide(given, gpus), "attention heads are not divided evenly"
    assert kv_heads_divide(given, gpus), "KV heads are not divided evenly"
    assert request.pipeline_parallel <= given.layers, "a stage has no layer"
    assert request.server == "tgi" or limits.max_num_seqs <= limits.max_num_batched_tokens, "a batch is too small"


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
    follows = limits.runner == "V0" or request.architecture.encoder_only
    fixed = fixed_demand(request, limits, facts)
    demand = start_demand(request, fixed, facts, cache)
    while low < high:
        middle = (low + high + 1) // 2
        if follows:
            fixed = _fixed_at(request, limits, facts, middle)
            demand = start_demand(request, fixed, facts, cache)
        if _judge(request, fixed, facts, demand, middle)[0] in verdicts:
            low = middle
        else:
            high = middle - 1
    return low


def _fixed_at(request: MemoryRequest, limits: Limits, facts: MemoryFacts, context: int) -> FixedDemand:
    """The fixed with another context, which a V0 engine and TGI profile unless they are told how many tokens."""
    other = replace(request, max_model_len=context)
    given = request.max_num_batched_tokens is not None
    limits = replace(limits, max_model_len=context) if given else limits_of(other, facts)
    return fixed_demand(other, limits, facts)


def _state(
    request: MemoryRequest, fixed: FixedDemand, facts: MemoryFacts, context: int, cache: CompileCache
) -> MemoryState:
    demand = start_demand(request, fixed, facts, cache)
    pool, inside = _pool(request, fixed, demand, context)
    layout = fixed.layout
    # What a server that pools keeps is of a step, or saves work that is done twice: it bounds no request.
    held = 0.0 if request.pooling else pool
    blocks = 0 if request.pooling else layout.pool_blocks(pool)
    concurrency = blocks / layout.request_blocks(context)
    peak = _peak(request, fixed, facts, demand, context)
    verdict, cause = _judge(request, fixed, facts, demand, context)
    has_room = verdict == "fits"
    if fixed.unplanned and verdict != "does not fit":
        verdict = "estimated"
    return MemoryState(
        activation_mib=demand.activation,
        cuda_graphs_mib=inside,
        non_torch_mib=demand.non_torch,
        kv_cache_mib=held,
        blocks=blocks,
        kv_cache_tokens=int(concurrency * context),
        max_concurrency=concurrency,
        peak_mib=peak,
        graphs_outside_mib=0.0 if inside else demand.graphs_outside,
        verdict=verdict,
        cause=cause,
        has_room=has_room,
    )


def _needed(request: MemoryRequest, fixed: FixedDemand, context: int) -> float:
    """The cache of one request, without which a server does not start, in MiB; none of an encoder."""
    return 0.0 if request.architecture.encoder_only else fixed.layout.request_mib(context)


def _left(request: MemoryRequest, fixed: FixedDemand, demand: StartDemand, context: int) -> float:
    """What the budget leaves for the KV cache before FlashInfer's charge, in MiB; may be negative.

    What is not modeled counts with what it takes at least.
    """
    if request.kv_cache_mib is not None:
        return request.kv_cache_mib
    least = band_of(request, fixed, demand.activation, context).low if fixed.unplanned else 0.0
    return fixed.budget - fixed.weights - demand.activation - demand.non_torch - demand.graphs_inside - least


def _pool(request: MemoryRequest, fixed: FixedDemand, demand: StartDemand, context: int) -> tuple[float, float]:
    """The KV pool, and what CUDA graphs take within the budget; MiB.

    What is charged for FlashInfer with an FP8 KV cache never makes the pool hold fewer tokens than one at 16 bits: it
    was measured with one model only. The verdict rests on the whole charge all the same.
    """
    if request.architecture.encoder_only:
        return 0.0, demand.graphs_inside
    left = max(0.0, _left(request, fixed, demand, context))
    if request.kv_cache_mib is not None:
        return left, demand.graphs_inside
    charge = min(demand.flashinfer_in_estimate, left / 2)
    return left - charge, demand.graphs_inside + charge


def _peak(request: MemoryRequest, fixed: FixedDemand, facts: MemoryFacts, demand: StartDemand, context: int) -> float:
    """Most memory that is used until the server is ready, in MiB: the whole pool is allocated at once."""
    pool = _pool(request, fixed, demand, context)[0]
    least = band_of(request, fixed, demand.activation, context).low if fixed.unplanned else 0.0
    return facts.vllm.runtime.process_mib + fixed.weights + pool + demand.beyond + least


def _judge(
    request: MemoryRequest, fixed: FixedDemand, facts: MemoryFacts, demand: StartDemand, context: int
) -> tuple[Verdict, Cause]:
    """Verdict and cause; the earliest failure decides."""
    runtime, total = facts.vllm.runtime, request.gpu_memory_mib
    peak = _peak(request, fixed, facts, demand, context)
    needed = _needed(request, fixed, context)
    charge = 0.0 if request.kv_cache_mib is not None else demand.flashinfer_in_estimate
    left = _left(request, fixed, demand, context) - charge
    band = band_of(request, fixed, demand.activation, context) if fixed.unplanned else _NO_BAND
    load = fixed.load_peak + band.weights + runtime.process_mib
    in_torch = peak - runtime.process_mib - demand.outside_torch
    if request.server == "vllm" and fixed.budget > total - runtime.start_context_mib:
        return "does not fit", "start"
    if load > total:
        return "does not fit", "load"
    if needed > left:
        return "does not fit", "profile"
    if in_torch > total - _CONTEXT_MIB or peak > total + runtime.peak_uncertainty_mib:
        return "does not fit", "runtime"
    margin = 0.0 if request.kv_cache_mib is not None else _error_margin(fixed, demand.activation)
    if needed > left - margin - (band.high - band.low):
        return "tight", "profile"
    if load > total - runtime.peak_uncertainty_mib:
        return "tight", "load"
    if peak > total - runtime.peak_uncertainty_mib:
        return "tight", "runtime"
    return "fits", ""


def _error_margin(fixed: FixedDemand, activation: float) -> float:
    margin = fixed.error_margin
    return margin.mib + margin.weights_share * fixed.weights + margin.activation_share * activation + fixed.extra_margin
