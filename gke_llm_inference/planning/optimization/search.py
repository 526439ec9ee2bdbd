"""Finds the cheapest way to serve a load within its objectives: few candidates are simulated, most are bounded away."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.performance_facts import PerformanceFacts
from gke_llm_inference.planning.cost import HOURS_PER_MONTH
from gke_llm_inference.planning.optimization.candidates import Candidate, candidates
from gke_llm_inference.planning.optimization.question import Objectives, Question, Workload
from gke_llm_inference.planning.performance import (
    Band,
    Served,
    ServerLimits,
    StepTimer,
    error_band,
    server_limits,
    simulate,
    step_timer,
)
from gke_llm_inference.planning.performance.prediction import Percentiles, percentile, percentiles
from gke_llm_inference.planning.stack import StackIdentity, plan_stack
from gke_llm_inference.settings import Finding, Refusal, parse_settings

HEADROOM = 0.8
"""Share of the highest rate within the objectives that a replica is given."""
CLOSE = 0.05
"""Costs that differ by less are the same: predictions are no better."""
SHOWN = 10
"""Candidates that are worked out."""
_SIMULATIONS = 100
_HALVINGS = 5
_TUNED = 2
_CONTEXT_STEP = 1024
_MOST_POOL_NODES = 1000


@dataclass(frozen=True, kw_only=True)
class Point:
    """What a replica does at one rate.

    Attributes:
        rate: requests per second.
        utilization: share of the time in which the GPU works.

    """

    rate: float
    ttft_ms: Percentiles
    tpot_ms: Percentiles
    ttft_p95_ms: float
    tpot_p95_ms: float
    output_tokens_per_second: float
    utilization: float


@dataclass(frozen=True, kw_only=True)
class Option:
    """A candidate, worked out.

    Attributes:
        most: the highest rate of one replica within the objectives, and what it does there.
        point: what each replica does at the rate that it gets.
        usd_per_month: of all replicas; None without a rate.
        usd_per_million_output_tokens: at the rate that each replica gets, input not counted.
        curve: points up to the highest rate, for a picture.
        ttft_band: how far the time to the first token may be from the prediction.
        tpot_band: the same of the time per token.

    """

    candidate: Candidate
    most: Point
    point: Point
    replicas: int
    usd_per_month: float | None
    usd_per_million_output_tokens: float
    curve: tuple[Point, ...]
    ttft_band: Band
    tpot_band: Band

    @property
    def cost(self) -> float:
        """What options are compared by: USD per month where the load is known, else per million output tokens."""
        return self.usd_per_million_output_tokens if self.usd_per_month is None else self.usd_per_month


@dataclass(frozen=True, kw_only=True)
class Optimum:
    """The answer.

    Attributes:
        best: what to take; None where nothing meets the objectives.
        options: everything that was worked out, cheapest first.
        considered: candidates that fit their GPUs.
        refused: candidates that the planner refuses, with its reason.
        too_slow: candidates that break an objective with a lone request already, and how.
        context: tokens that a request may have.

    """

    question: Question
    best: Option | None
    options: tuple[Option, ...]
    considered: int
    refused: tuple[tuple[str, str], ...]
    too_slow: tuple[tuple[str, str], ...]
    context: int


def optimize(question: Question, catalog: Catalog, facts: PerformanceFacts) -> Optimum:
    """The cheapest candidate that the planner passes and that meets the objectives; the same for the same input.

    Args:
        question: what is asked; its model and GPUs are known.
        catalog: the facts to decide by.
        facts: facts about speed.

    Raises:
        Refusal: nothing fits, or no request of the workload fits the model's context.

    """
    context = _context(question, catalog)
    workload = question.workload.within(context)
    found = list(candidates(question.model, question.gpus, question.region, context, catalog))
    if not found:
        raise Refusal([_nothing_fits(question, context)])
    bounded = sorted(
        (_Bounded.of(candidate, question, workload, catalog, facts) for candidate in found),
        key=lambda one: (one.cost, one.candidate.preference, one.candidate.name),
    )
    options: list[Option] = []
    refused: dict[str, str] = {}
    passed: set[str] = set()
    simulations = 0
    for one in _in_turn(bounded, options):
        cheapest = min((option.cost for option in options), default=math.inf)
        if simulations >= _SIMULATIONS:
            break
        if one.cost == math.inf or (len(options) >= SHOWN and one.cost > cheapest * (1 + CLOSE)):
            continue
        name = one.candidate.name
        if name in refused:
            continue
        if name not in passed:
            reason = _refusal(one.candidate, question, context, catalog)
            if reason is not None:
                refused[name] = reason
                continue
            passed.add(name)
        option, used = one.worked_out(workload, question.objectives)
        simulations += used
        if option is not None:
            options.append(option)
    options.sort(key=lambda option: (option.cost, option.candidate.preference))
    return Optimum(
        question=question,
        best=_best(options),
        options=tuple(options),
        considered=len(found),
        refused=tuple(sorted(refused.items())),
        too_slow=_too_slow(bounded),
        context=context,
    )


def _in_turn(bounded: Sequence["_Bounded"], options: Sequence[Option]) -> Iterator["_Bounded"]:
    """Every kind once, the cheapest bound first; then other limits of the kinds that came out cheapest."""
    kinds: dict[str, list[_Bounded]] = {}
    for one in bounded:
        kinds.setdefault(one.candidate.name, []).append(one)
    for same in kinds.values():
        yield min(same, key=lambda one: one.candidate.preference)
    best = sorted(options, key=lambda option: option.cost)[:_TUNED]
    for option in best:
        same = kinds[option.candidate.name]
        yield from (one for one in same if one.candidate is not option.candidate)


def settings_of(candidate: Candidate, replicas: int, context: int) -> dict[str, Any]:
    """The part of a stack file that serves a candidate: its node pool and its server, on a Standard cluster."""
    server: dict[str, Any] = {
        "server": "vllm",
        "model": candidate.weights.model,
        "accelerator": {"type": candidate.gpu, "count": candidate.gpus},
        "maxModelLen": context,
        "maxNumSeqs": candidate.sequences,
        "maxNumBatchedTokens": candidate.batched_tokens,
        "replicas": replicas,
    }
    if candidate.weights.quantization:
        server["quantization"] = candidate.weights.quantization
    if candidate.fp8_cache:
        server["kvCacheDtype"] = "fp8_e4m3"
    accelerator = {"type": candidate.gpu, "count": candidate.gpus}
    return {
        "nodePools": {"gpu": {"accelerator": accelerator, "maxNodes": max(1, replicas)}},
        "servers": {server_name(candidate.weights.model): server},
    }


def server_name(model: str) -> str:
    """A server's name for a model."""
    return "".join(sign if sign.isalnum() else "-" for sign in model.rpartition("/")[2].lower()).strip("-")


@dataclass(frozen=True)
class _Bounded:
    """A candidate and what it costs at least, by arithmetic alone."""

    candidate: Candidate
    cost: float
    rate: float
    question: Question
    timer: StepTimer
    limits: ServerLimits
    ttft_band: Band
    tpot_band: Band
    slow: tuple[float, str]
    """By how much a lone request misses an objective, and how; (0, "") where it may meet them."""

    @classmethod
    def of(
        cls, candidate: Candidate, question: Question, workload: Workload, catalog: Catalog, facts: PerformanceFacts
    ) -> "_Bounded":
        request = candidate.plan.request
        gpu = facts.gpus[candidate.gpu]
        timer = step_timer(request, gpu, catalog.memory, facts)
        limits = server_limits(
            request,
            candidate.plan.state.kv_cache_tokens,
            catalog.memory,
            facts,
            prefix_hit_rate=workload.prefix_hit_rate,
        )
        slow = _slow(timer, limits, workload, question.objectives)
        rate = 0.0 if slow[1] else _highest_rate(timer, limits, workload, question.objectives)
        bands = (error_band("ttft_ms.p50", request, gpu, facts), error_band("tpot_ms.p50", request, gpu, facts))
        bounded = cls(candidate, math.inf, rate, question, timer, limits, *bands, slow)
        if not rate:
            return bounded
        replicas = bounded.replicas(rate) if workload.rate else 1
        cost = bounded.usd_per_month(replicas) if workload.rate else bounded.usd_per_million(rate * HEADROOM, workload)
        return cls(candidate, cost, rate, question, timer, limits, *bands, slow)

    def replicas(self, rate: float) -> int:
        """Replicas of which each may be given so much, with headroom."""
        asked = self.question.workload.rate
        assert asked is not None
        return max(1, math.ceil(asked / (HEADROOM * rate) - 1e-9))

    def usd_per_month(self, replicas: int) -> float:
        return replicas * self.candidate.usd_per_hour * HOURS_PER_MONTH

    def usd_per_million(self, rate: float, workload: Workload) -> float:
        """USD per million output tokens of a replica that serves a rate."""
        return self.candidate.usd_per_hour / (rate * workload.mean_output * 3600) * 1e6

    def point(self, rate: float, workload: Workload) -> tuple[Point, Served]:
        served = simulate(self.timer, self.limits, workload.load(rate))
        between = [value for value in served.between_ms if value is not None] or [0.0]
        return (
            Point(
                rate=rate,
                ttft_ms=percentiles(served.first_ms),
                tpot_ms=percentiles(between),
                ttft_p95_ms=percentile(served.first_ms, 0.95),
                tpot_p95_ms=percentile(between, 0.95),
                output_tokens_per_second=served.output_tokens_per_second,
                utilization=min(1.0, served.busy_ms / served.duration_ms),
            ),
            served,
        )

    def worked_out(self, workload: Workload, objectives: Objectives) -> tuple[Option | None, int]:
        """The highest rate within the objectives by bisection, and what it costs; with the simulations it took."""
        points: dict[float, Point] = {}

        def good(rate: float) -> bool:
            point, served = self.point(rate, workload)
            points[rate] = point
            return _meets(point, objectives) and _keeps_up(served, rate)

        low, high, used = 0.0, self.rate, 1
        if good(high):
            low = high
        else:
            for _ in range(_HALVINGS):
                middle = (low + high) / 2
                used += 1
                if good(middle):
                    low = middle
                else:
                    high = middle
        if not low:
            return None, used
        asked = workload.rate
        replicas = self.replicas(low) if asked else 1
        given = asked / replicas if asked else low * HEADROOM
        point, _ = self.point(given, workload)
        points[given] = point
        option = Option(
            candidate=self.candidate,
            most=points[low],
            point=point,
            replicas=replicas,
            usd_per_month=self.usd_per_month(replicas) if asked else None,
            usd_per_million_output_tokens=self.usd_per_million(given, workload),
            curve=tuple(points[rate] for rate in sorted(points) if rate <= low),
            ttft_band=self.ttft_band,
            tpot_band=self.tpot_band,
        )
        return option, used + 1


def _best(options: Sequence[Option]) -> Option | None:
    """The cheapest; of those that cost the same within the band, the one that gives up least."""
    if not options:
        return None
    close = [option for option in options if option.cost <= options[0].cost * (1 + CLOSE)]
    return min(close, key=lambda option: (option.candidate.preference, option.cost))


def _meets(point: Point, objectives: Objectives) -> bool:
    return (objectives.ttft_ms is None or point.ttft_p95_ms <= objectives.ttft_ms) and (
        objectives.tpot_ms is None or point.tpot_p95_ms <= objectives.tpot_ms
    )


def _keeps_up(served: Served, rate: float) -> bool:
    """Whether the queue does not grow: what arrives in a time is served in little more."""
    requests = len(served.first_ms)
    return served.duration_ms <= 1000 * requests / rate * 1.25 + 10_000


def _highest_rate(timer: StepTimer, limits: ServerLimits, workload: Workload, objectives: Objectives) -> float:
    """A rate that no replica can exceed, in requests per second."""
    prompt = workload.mean_input * (1 - workload.prefix_hit_rate)
    context = workload.mean_input + workload.mean_output / 2
    chunk = min(limits.batched_tokens, round(prompt) or 1)
    prefill = timer.gpu_ms(0, 0, chunk, chunk * chunk / 2, 1) * prompt / chunk
    # Many prompts in one step share its fixed time; a prompt alone is the dearest.
    shared = timer.gpu_ms(0, 0, limits.batched_tokens, limits.batched_tokens * chunk / 2, 1)
    prefill = min(prefill, shared * prompt / limits.batched_tokens)
    most = max(1, min(limits.sequences, int(limits.pool_tokens / context)))
    batches = sorted({1, *(2**power for power in range(1, 11) if 2**power < most), most})
    best = 0.0
    for batch in batches:
        step = timer.gpu_ms(batch, batch * context, 0, 0, 0)
        if objectives.tpot_ms is None or step <= objectives.tpot_ms:
            best = max(best, 1000 / (prefill + workload.mean_output * step / batch))
    return best


def _slow(timer: StepTimer, limits: ServerLimits, workload: Workload, objectives: Objectives) -> tuple[float, str]:
    """By how much a lone request misses an objective, and how; (0, "") if it misses none."""
    step = timer.gpu_ms(1, workload.mean_input + workload.mean_output / 2, 0, 0, 0)
    if objectives.tpot_ms is not None and step > objectives.tpot_ms:
        return step / objectives.tpot_ms, f"a lone request takes {step:,.0f} ms per token"
    first = _lone_ttft_ms(timer, limits, workload)
    if objectives.ttft_ms is not None and first > objectives.ttft_ms:
        return first / objectives.ttft_ms, f"a lone prompt of p95 takes {first:,.0f} ms to the first token"
    return 0.0, ""


def _lone_ttft_ms(timer: StepTimer, limits: ServerLimits, workload: Workload) -> float:
    """Time to the first token of the 95th percentile of the prompts, on a server with nothing else to do."""
    prompt = round(percentile(workload.prompts, 0.95) * (1 - limits.prefix_hit_rate))
    time, before = limits.request_ms + limits.token_ms * prompt, 0
    while before < prompt:
        chunk = min(limits.batched_tokens, prompt - before)
        time += timer.gpu_ms(0, 0, chunk, chunk * before + chunk * chunk / 2, 1)
        before += chunk
    return time


def _too_slow(bounded: Sequence["_Bounded"]) -> tuple[tuple[str, str], ...]:
    """GPUs with which nothing meets the objectives, each by what comes nearest."""
    by_gpus: dict[tuple[str, int], list[_Bounded]] = {}
    for one in bounded:
        by_gpus.setdefault((one.candidate.gpu, one.candidate.gpus), []).append(one)
    return tuple(
        (nearest.candidate.name, nearest.slow[1])
        for _, same in sorted(by_gpus.items())
        if all(one.slow[1] for one in same)
        for nearest in [min(same, key=lambda one: (one.slow[0], one.candidate.preference))]
    )


def _context(question: Question, catalog: Catalog) -> int:
    longest = catalog.models[question.model].max_positions
    wanted = question.workload.longest
    return min(longest, math.ceil(wanted / _CONTEXT_STEP) * _CONTEXT_STEP)


def _nothing_fits(question: Question, context: int) -> Finding:
    return Finding(
        path="model",
        what=f"{question.model} with {context:,} tokens of context does not fit any of {', '.join(question.gpus)}",
        why="neither at its own precision nor with FP8 or 4-bit weights, on any number of them",
        fix="name larger GPUs, or shorter requests",
    )


def _refusal(candidate: Candidate, question: Question, context: int, catalog: Catalog) -> str | None:
    """Why the planner refuses a candidate; None where it passes."""
    raw = {
        "cluster": {"mode": "standard", "location": question.region},
        "huggingFace": {"tokenSource": "existingSecret"},
        **settings_of(candidate, 1, context),
    }
    try:
        plan_stack(parse_settings(raw), StackIdentity("optimize", "optimize", "some-project"), catalog)
    except Refusal as refusal:
        return _first(refusal.problems)
    return None


def _first(problems: Sequence[Finding]) -> str:
    return f"{problems[0].what}: {problems[0].why}" if problems else ""


def pareto(options: Sequence[Option]) -> Iterator[Option]:
    """Options of which no other is both cheaper and faster in time per token, cheapest first."""
    fastest = math.inf
    for option in sorted(options, key=lambda option: (option.cost, option.point.tpot_ms.p50)):
        if option.point.tpot_ms.p50 < fastest:
            fastest = option.point.tpot_ms.p50
            yield option
