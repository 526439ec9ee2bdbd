"""Finds the cheapest way to serve a load within its objectives: few candidates are simulated, most are bounded away."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.performance_facts import PerformanceFacts
from gke_llm_inference.planning.cost import HOURS_PER_MONTH
from gke_llm_inference.planning.optimization.candidates import Candidate, candidates
from gke_llm_inference.planning.optimization.question import Question
from gke_llm_inference.planning.performance import (
    HEADROOM,
    Band,
    Miss,
    Objectives,
    Point,
    Replica,
    Workload,
    error_band,
    replicas_for,
    server_limits,
    step_timer,
    usd_per_million,
)
from gke_llm_inference.planning.stack import StackIdentity, plan_stack
from gke_llm_inference.settings import Finding, Refusal, parse_settings

CLOSE = 0.05
"""Costs that differ by less are the same: predictions are no better."""
SHOWN = 10
"""Candidates that are worked out."""
_SIMULATIONS = 100
_TUNED = 2
_CONTEXT_STEP = 1024


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
        option, used = one.worked_out(question.objectives)
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
    load: float
    """The highest load that it may serve within the objectives; 0 where a lone request misses one."""
    replica: Replica
    ttft_band: Band
    tpot_band: Band
    miss: Miss | None

    @classmethod
    def of(
        cls, candidate: Candidate, question: Question, workload: Workload, catalog: Catalog, facts: PerformanceFacts
    ) -> "_Bounded":
        request = candidate.plan.request
        gpu = facts.gpus[candidate.gpu]
        limits = server_limits(
            request,
            candidate.plan.state.kv_cache_tokens,
            catalog.memory,
            facts,
            prefix_hit_rate=workload.prefix_hit_rate,
        )
        replica = Replica(step_timer(request, gpu, catalog.memory, facts), limits, gpu, workload)
        miss = replica.miss(question.objectives)
        load = 0.0 if miss else replica.bound(question.objectives)
        bands = (error_band("ttft_ms.p50", request, gpu, facts), error_band("tpot_ms.p50", request, gpu, facts))
        return cls(candidate, _least_cost(candidate, workload, load), load, replica, *bands, miss)

    def worked_out(self, objectives: Objectives) -> tuple[Option | None, int]:
        """The highest load within the objectives by bisection, and what it costs; with the simulations it took."""
        most, points = self.replica.highest(objectives, self.load)
        if most is None:
            return None, len(points)
        workload, price = self.replica.workload, self.candidate.usd_per_hour
        asked = workload.asked
        replicas = replicas_for(asked, most.load) if asked else 1
        point = self.replica.at(asked / replicas if asked else most.load * HEADROOM)
        per_million = usd_per_million(price, point.rate * workload.mean_output)
        used = len(points) + 1
        if objectives.usd_per_million_tokens is not None and per_million > objectives.usd_per_million_tokens:
            return None, used
        curve = {one.load: one for one in (*points, point) if one.load <= most.load}
        option = Option(
            candidate=self.candidate,
            most=most,
            point=point,
            replicas=replicas,
            usd_per_month=replicas * price * HOURS_PER_MONTH if asked else None,
            usd_per_million_output_tokens=per_million,
            curve=tuple(curve[load] for load in sorted(curve)),
            ttft_band=self.ttft_band,
            tpot_band=self.tpot_band,
        )
        return option, used


def _least_cost(candidate: Candidate, workload: Workload, load: float) -> float:
    """What options are compared by, if a replica serves so high a load; infinite where it serves none."""
    if not load:
        return math.inf
    if workload.asked:
        return replicas_for(workload.asked, load) * candidate.usd_per_hour * HOURS_PER_MONTH
    return usd_per_million(candidate.usd_per_hour, load * HEADROOM * workload.mean_output)


def _best(options: Sequence[Option]) -> Option | None:
    """The cheapest; of those that cost the same within the band, the one that gives up least."""
    if not options:
        return None
    close = [option for option in options if option.cost <= options[0].cost * (1 + CLOSE)]
    return min(close, key=lambda option: (option.candidate.preference, option.cost))


def _too_slow(bounded: Sequence["_Bounded"]) -> tuple[tuple[str, str], ...]:
    """GPUs with which nothing meets the objectives, each by what comes nearest."""
    by_gpus: dict[tuple[str, int], list[tuple[_Bounded, Miss | None]]] = {}
    for one in bounded:
        by_gpus.setdefault((one.candidate.gpu, one.candidate.gpus), []).append((one, one.miss))
    found = []
    for _, same in sorted(by_gpus.items()):
        missed = [(miss.factor, one.candidate.preference, one.candidate.name, miss.what) for one, miss in same if miss]
        if len(missed) == len(same):
            _, _, name, what = min(missed)
            found.append((name, what))
    return tuple(found)


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
