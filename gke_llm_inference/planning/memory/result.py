"""The result of a memory plan: what each part takes, the verdict, and how both are told."""

import math
from dataclasses import dataclass, field
from typing import Literal, Protocol

from gke_llm_inference.planning.memory.request import Limits, MemoryRequest, Unplanned

Verdict = Literal["fits", "tight", "estimated", "does not fit"]
Cause = Literal["", "start", "load", "profile", "runtime"]

_ORDER: tuple[Verdict, ...] = ("fits", "tight", "estimated", "does not fit")
_FAR = 2
"""A context limit this many times below what fits is worth a word."""
_GIB = 1024


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
        has_room: whether it starts with all that is not modeled at its most, the error margin to spare.

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
    has_room: bool


class LongestContexts(Protocol):
    """How long the contexts of a server may be, in tokens. Most plans are never asked."""

    @property
    def largest(self) -> int:
        """With which it starts."""

    @property
    def comfortable(self) -> int:
        """With which it starts, the error margin to spare."""


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
        contexts: how long a context may be, worked out when it is asked for.
        calibrated: whether the constants were measured for this server, version and number of GPUs.
        notes: what limits the plan's certainty.
        band_mib: what is not modeled takes of the GPU beyond the plan, at least and at most.
        unplanned: what is not modeled: flags, variables, and parts of the model.
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
    calibrated: bool
    notes: tuple[str, ...]
    start_context_mib: float
    contexts: LongestContexts = field(compare=False, repr=False)
    band_mib: tuple[float, float] = (0.0, 0.0)
    unplanned: tuple[Unplanned, ...] = ()

    @property
    def largest_context(self) -> int:
        """Longest context with which the server starts, by the estimate; 0 if none."""
        return self.contexts.largest

    @property
    def comfortable_context(self) -> int:
        """Longest context that fits with the error margin to spare; 0 if none."""
        return self.contexts.comfortable

    @property
    def state(self) -> MemoryState:
        """The start with the least KV cache of those that the request asks for; cold unless it says otherwise."""
        return self.warm if self.request.compile_cache == "warm" else self.cold

    @property
    def judged(self) -> MemoryState:
        """The start that decides whether the server starts.

        Where the cache is kept, every start must do. A filled cache leaves a larger pool, with which a server may run
        out of memory that passes its profile with an empty one; where only restarts in a pod find it filled, they
        count if they cannot do at all.
        """
        return max(self._starts, key=lambda one: (_ORDER.index(one.verdict), not one.has_room))

    @property
    def _starts(self) -> tuple[MemoryState, ...]:
        starts = self.request.compile_cache
        fails = starts == "restarts" and self.warm.verdict == "does not fit"
        return (self.cold, self.warm) if fails or starts == "both" else (self.state,)

    @property
    def peak_mib(self) -> float:
        """Most memory that one of these starts uses until the server is ready, CUDA context included."""
        return max(one.peak_mib for one in self._starts)

    @property
    def verdict(self) -> Verdict:
        """Whether the server starts."""
        return self.judged.verdict

    @property
    def has_room(self) -> bool:
        """Whether the server starts for certain: with all that is not modeled at its most, the margin to spare."""
        return all(one.has_room for one in self._starts)

    @property
    def reason(self) -> str:
        """Why it does not fit, is tight, or is only estimated; empty where it fits."""
        why = self.reason_of(self.judged)
        if not why or self.judged is self.state:
            return why
        when = "once the compile cache is filled" if self.request.compile_cache == "both" else "at a restart in its pod"
        return f"{when}, {why}"

    def reason_of(self, state: MemoryState) -> str:
        """Why that start does not fit, is tight, or is only estimated; empty where it fits."""
        if state.verdict == "estimated":
            return _why_estimated(self, state)
        least, cause = self.band_mib[0], _reason(self, state, self.start_context_mib)
        if cause and least > 0:
            names = ", ".join(one.name for one in self.unplanned)
            return f"{names}: takes at least {_gib(least)} of each GPU beside the plan; {cause}"
        return cause

    @property
    def band(self) -> str:
        """What is not modeled takes so much of each GPU, in words."""
        low, high = self.band_mib
        return f"{low / _GIB:+.2f} to {high / _GIB:+.2f} GiB of each GPU"

    @property
    def starts(self) -> bool:
        """Whether the estimate says that the server starts."""
        return self.verdict != "does not fit"

    @property
    def is_near_miss(self) -> bool:
        """Whether the server misses its memory by less than an estimate's error, where nothing was measured."""
        state = self.judged
        # By how much all of it exceeds the budget: the pool itself is never less than nothing.
        taken = self.weights_mib + state.activation_mib + state.non_torch_mib + state.cuda_graphs_mib
        # What is not modeled counts with what it takes at least; a pool that is stated is neither more nor less.
        over = taken + self.band_mib[0] + self.needed_mib - self.budget_mib
        stated = self.request.kv_cache_mib
        missing = {
            "profile": over if stated is None else self.needed_mib - stated,
            "runtime": state.peak_mib - self.total_mib,
        }.get(state.cause)
        return not self.calibrated and missing is not None and missing <= self.error_margin_mib

    @property
    def summary(self) -> str:
        """The plan in one line: verdict, KV cache, longest context and concurrency at the start that is planned for."""
        if self.request.pooling:
            return self._pooled_summary
        state = self.state
        estimated = "" if self.calibrated or self.verdict == "estimated" else "; estimated, not measured"
        return (
            f"{self.verdict}: a KV cache of {state.kv_cache_mib / _GIB:.2f} GiB per GPU holds "
            f"{state.kv_cache_tokens:,} tokens; longest context {self.largest_context:,}, "
            f"{floored(state.max_concurrency)} requests of {self.limits.max_model_len:,} tokens at once{estimated}"
        )

    @property
    def _pooled_summary(self) -> str:
        estimated = "" if self.calibrated or self.verdict == "estimated" else "; estimated, not measured"
        return (
            f"{self.verdict}: weights of {_gib(self.weights_mib)} and {_gib(self.state.activation_mib)} for a step of "
            f"{self.limits.max_num_batched_tokens:,} tokens, no KV cache to plan; inputs of up to "
            f"{self.limits.max_model_len:,} tokens, {self.limits.max_num_seqs:,} in a step{estimated}"
        )

    @property
    def context_note(self) -> str:
        """Why a context far below what fits gains nothing; empty where the limit is not far below.

        Older guides set limits as low as 640 tokens for a server whose version had less memory left.
        """
        if self.request.pooling or not self.starts or self.comfortable_context < _FAR * self.limits.max_model_len:
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


def _reason(plan: MemoryPlan, state: MemoryState, start_context_mib: float) -> str:
    total, pooling = _gib(plan.total_mib), plan.request.pooling
    match state.cause:
        case "start":
            free = _gib(plan.total_mib - start_context_mib)
            return f"the budget of {_gib(plan.budget_mib)} is more than the {free} that are free of {total} at start"
        case "load":
            return f"loading {_gib(plan.weights_mib)} of weights takes {_gib(plan.load_peak_mib)} of {total}"
        case "profile" if plan.request.architecture.encoder_only:
            return (
                f"{_gib(plan.weights_mib)} of weights and {_gib(state.activation_mib)} for a step of "
                f"{plan.limits.max_num_batched_tokens:,} tokens (± {_gib(plan.error_margin_mib)}) are more than the "
                f"budget of {_gib(plan.budget_mib)}"
            )
        case "profile":
            left_mib = plan.budget_mib - plan.weights_mib - state.activation_mib if pooling else state.kv_cache_mib
            needed, left = _distinct(plan.needed_mib, max(0.0, left_mib))
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


def _why_estimated(plan: MemoryPlan, state: MemoryState) -> str:
    names = ", ".join(one.name for one in plan.unplanned)
    spare = state.kv_cache_mib - plan.needed_mib
    if plan.request.pooling:
        spare = plan.budget_mib - plan.weights_mib - state.activation_mib - plan.needed_mib
        return (
            f"{names}: takes {plan.band} beyond the plan; {_gib(max(0.0, spare))} are left of the budget of "
            f"{_gib(plan.budget_mib)} at best"
        ) + ("" if spare >= plan.band_mib[1] - plan.band_mib[0] else ", so it may not start")
    return (
        f"{names}: takes {plan.band} beyond the plan; one request of {plan.limits.max_model_len} tokens needs "
        f"{_gib(plan.needed_mib)} of KV cache, and {_gib(state.kv_cache_mib)} are left at best"
        + ("" if spare >= plan.band_mib[1] - plan.band_mib[0] else ", so it may not start")
    )


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
