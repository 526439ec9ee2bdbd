"""Finds the best way to serve a load by a goal: few candidates are simulated, most are bounded away by arithmetic."""

import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.planning.optimization.candidates import Candidate
from gke_llm_inference.planning.optimization.criteria import CLOSE, IN_MONEY, Criterion, best_of, criteria, widest
from gke_llm_inference.planning.optimization.offers import NO_POOL, NOT_STATED, most_replicas, no_room
from gke_llm_inference.planning.optimization.option import COSTLIEST_RUN, COSTLIEST_STEP, Bounded, Option, Scaling
from gke_llm_inference.planning.optimization.question import Question
from gke_llm_inference.planning.performance.calibration_use import SpeedBasis
from gke_llm_inference.planning.performance.workload import Objectives

SIMULATIONS = 100
"""Simulations of a search at most."""
LATENCY_BUDGET = 5.0
"""How many times the price of the cheapest that serves the goal `latency` may take where the stack names no GPUs: every
further GPU is faster by less, and without a bound the dearest machine would always win."""
_TUNED = 2
_ABREAST = 0.4
"""Share of the simulations for which candidates are tried side by side while none is found."""
_ADVICE_KINDS = 3

Refuses = Callable[[Candidate, int], str | None]
"""Why the planner refuses a candidate with so many replicas; None where it passes."""

BasisOf = Callable[[Candidate], SpeedBasis]
"""What predictions of a candidate rest on: a calibration of the server's, where it says anything of it."""


@dataclass(frozen=True, kw_only=True)
class Optimum:
    """What a search found.

    Attributes:
        question: what was asked.
        best: what to take; None where nothing meets the objectives.
        nearest: what comes nearest where nothing meets them; None where something does, or nothing fits.
        options: everything that was worked out and may be taken, best first.
        advised: the best of what the stack rules out, where it is better by more than the error band.
        considered: candidates that fit their GPUs.
        refused: candidates that the planner refuses or that cannot serve the load, with the reason.
        too_slow: GPUs with which a lone request misses an objective already, and how.
        simulations: how many it took.
        limit_usd_per_hour: what a candidate may cost by the goal `latency`; None where it may cost anything.

    """

    question: Question
    best: Option | None
    nearest: Option | None
    options: tuple[Option, ...]
    advised: Option | None
    considered: int
    refused: tuple[tuple[str, str], ...]
    too_slow: tuple[tuple[str, str], ...]
    simulations: int
    limit_usd_per_hour: float | None = None


def search(
    question: Question,
    found: Sequence[Candidate],
    catalog: Catalog,
    refuses: Refuses,
    basis_of: BasisOf,
    *,
    shown: int,
    is_capped: bool,
) -> Optimum:
    """The best of the candidates that the planner passes; the same for the same input.

    Args:
        question: what is asked; its workload fits the context of every candidate.
        found: the candidates.
        catalog: the facts to decide by.
        refuses: the planner's word on a candidate.
        basis_of: what predictions of a candidate rest on.
        shown: how many candidates are worked out at least, where there are so many.
        is_capped: whether the goal `latency` is bound to a multiple of the cheapest price.

    """
    bounded = [Bounded.of(candidate, question, basis_of(candidate), catalog) for candidate in found]
    own = [one for one in bounded if not one.candidate.offer.advised]
    others = [one for one in bounded if one.candidate.offer.advised]
    compared_by = criteria(question)
    cap = _cap(own) if is_capped and question.goals[0] == "latency" else None
    run = _Run(question, compared_by, refuses)
    run.work(_within(own, cap), shown, SIMULATIONS if not others else SIMULATIONS * 3 // 4, question.objectives)
    options = run.passing(shown)
    best = best_of(options, compared_by)
    ordered = _ordered(options, best, compared_by)
    nearest = None
    if best is None and question.objectives != Objectives():
        nearest = run.nearest(own)
    advised = _advised(question, compared_by, refuses, others, best, cap, SIMULATIONS - run.simulations)
    return Optimum(
        question=question,
        best=best,
        nearest=nearest,
        options=ordered,
        advised=advised.best,
        considered=len(found),
        refused=tuple(sorted((run.refused | run.failed | advised.refused).items())),
        too_slow=_too_slow(own),
        simulations=run.simulations + advised.simulations,
        limit_usd_per_hour=cap,
    )


class _Run:
    """Works candidates out until no other can be better."""

    def __init__(self, question: Question, compared_by: Sequence[Criterion], refuses: Refuses) -> None:
        self._question, self._compared_by, self._refuses = question, compared_by, refuses
        self._alone = question.goals[0] == "latency"
        self._passed: set[str] = set()
        self.options: list[Option] = []
        self.refused: dict[str, str] = {}
        self.failed: dict[str, str] = {}
        self.simulations = 0

    def work(self, bounded: Sequence[Bounded], shown: int, budget: int, objectives: Objectives) -> None:
        """Works out what may be best, the best bound first, within a number of simulations.

        Every kind once, with the limits that are preferred; then other limits of the kinds that came out best.
        """
        first = self._compared_by[0]
        kinds: dict[str, list[Bounded]] = {}
        for one in sorted(bounded, key=lambda one: (first.least(one), one.candidate.preference)):
            if one.load and one.replicas > most_replicas(one.candidate.offer):
                self.failed.setdefault(one.candidate.name, no_room(one.candidate.offer))
            elif one.load and first.least(one) < math.inf:
                kinds.setdefault(one.candidate.name, []).append(one)
        by_cost = first.title == IN_MONEY and self._question.replicas is None
        work = self._scale if by_cost else self._in_turn
        work(
            [min(same, key=lambda one: one.candidate.preference) for same in kinds.values()], shown, budget, objectives
        )
        found = sorted(self.options, key=lambda one: (first.value(one), one.candidate.preference))[:_TUNED]
        # Other limits than the server's own are taken for a gain beyond the band alone.
        others = [
            one
            for option in found
            for one in kinds.get(option.candidate.name, ())
            if one.candidate is not option.candidate and self._may_gain(one, option)
        ]
        work(others, 1, budget, objectives)

    def _in_turn(self, bounded: Sequence[Bounded], shown: int, budget: int, objectives: Objectives) -> None:
        """One candidate after the other, each worked out whole."""
        first = self._compared_by[0]
        for one in bounded:
            if self.simulations + COSTLIEST_RUN > budget:
                return
            if self._is_hopeless(first.least(one), shown) or not self._is_passed(one.candidate):
                continue
            option, used, why = one.worked_out(objectives, alone=self._alone)
            self.simulations += used
            self._keep(one.candidate, option, why)

    def _scale(self, bounded: Sequence[Bounded], shown: int, budget: int, objectives: Objectives) -> None:
        """A simulation at a time, always of what is likely the cheapest, until nothing else may be cheaper.

        What a candidate costs at least rises with every number of replicas that is not enough.
        """
        asked = self._question.workload.asked
        assert asked is not None
        coming = [(one, Scaling(one, asked, objectives)) for one in bounded]
        heap = [(scaling.likely_usd, one.candidate.preference, place) for place, (one, scaling) in enumerate(coming)]
        heapq.heapify(heap)
        while heap and self.simulations + COSTLIEST_STEP <= budget:
            _, preference, place = heapq.heappop(heap)
            scaling = coming[place][1]
            if self._is_hopeless(scaling.least_usd, shown) or not self._is_passed(scaling.candidate):
                continue
            before = scaling.simulations
            scaling.step()
            # Where no bound is near, one that is found first bounds all others.
            while not self.options and scaling.result is None and self.simulations > budget * _ABREAST:
                if self.simulations + scaling.simulations - before + COSTLIEST_STEP > budget:
                    break
                scaling.step()
            self.simulations += scaling.simulations - before
            if scaling.result is None:
                heapq.heappush(heap, (scaling.likely_usd, preference, place))
            else:
                self._keep(scaling.candidate, *scaling.result)
        for _, _, place in heap:
            self.failed.setdefault(coming[place][0].candidate.name, f"not found within {SIMULATIONS} simulations")

    def _may_gain(self, one: Bounded, option: Option) -> bool:
        """Whether a candidate may be better than an option by more than the band, by any criterion."""
        margin = 1 + one.bands.rate.percent / 100
        return any(criterion.least(one) * margin < criterion.value(option) for criterion in self._compared_by)

    def _is_passed(self, candidate: Candidate) -> bool:
        """Whether the planner passes candidates of the kind."""
        name = candidate.name
        if name not in self._passed and name not in self.refused:
            reason = self._refuses(candidate, 1)
            if reason is None:
                self._passed.add(name)
            else:
                self.refused[name] = reason
        return name in self._passed

    def _keep(self, candidate: Candidate, option: Option | None, why: str) -> None:
        if option is not None:
            self.options.append(option)
        else:
            self.failed.setdefault(candidate.name, why)

    def passing(self, shown: int) -> list[Option]:
        """The best of each kind, that pass the planner as they are, with limits and replicas."""
        options = list(self.options)
        for name in {option.candidate.name for option in options}:
            self.failed.pop(name, None)
        kept: list[Option] = []
        while len(kept) < shown and (best := best_of(options, self._compared_by)) is not None:
            reason = self._refuses(best.candidate, best.replicas)
            if reason is None:
                kept.append(best)
                options = [one for one in options if one.candidate.name != best.candidate.name]
            else:
                options.remove(best)
                self.refused.setdefault(best.candidate.name, reason)
        for name in {option.candidate.name for option in kept}:
            self.refused.pop(name, None)
        return kept

    def nearest(self, bounded: Sequence[Bounded]) -> Option | None:
        """What misses the objectives by least, worked out without them."""
        missed = sorted(
            bounded,
            key=lambda one: (
                one.miss.factor if one.miss else 1.0,
                one.replicas * one.candidate.usd_per_hour,
                one.candidate.preference,
            ),
        )
        for one in missed:
            if self.simulations + COSTLIEST_RUN > SIMULATIONS:
                return None
            name = one.candidate.name
            if name in self.refused:
                continue
            option, used, _ = one.worked_out(Objectives(), alone=self._alone)
            self.simulations += used
            if option is None:
                continue
            reason = self._refuses(one.candidate, option.replicas)
            if reason is None:
                return option
            self.refused[name] = reason
        return None

    def _is_hopeless(self, least: float, shown: int) -> bool:
        """Whether even the best that it may be is worse by more than any error, where enough is known to be shown."""
        if len({option.candidate.name for option in self.options}) < shown:
            return False
        first = self._compared_by[0]
        best = min((first.value(option) for option in self.options), default=math.inf)
        return least > best * (1 + widest(self.options))


@dataclass(frozen=True)
class _Advice:
    best: Option | None
    refused: dict[str, str]
    simulations: int


def _advised(
    question: Question,
    compared_by: Sequence[Criterion],
    refuses: Refuses,
    others: Sequence[Bounded],
    best: Option | None,
    cap: float | None,
    budget: int,
) -> _Advice:
    """The best of what the stack rules out, if it is better than what it may have by more than the error band."""
    first = compared_by[0]
    most = first.value(best) if best is not None else math.inf
    promising = [one for one in _within(others, cap) if first.least(one) < most]
    run = _Run(question, compared_by, refuses)
    found = None
    # What the stack's own GPUs would be as Spot VMs says more than what it does not name at all.
    for ruled_out in (False, True):
        same = [one for one in promising if (one.candidate.offer.advised in (NOT_STATED, NO_POOL)) is ruled_out]
        names = list(dict.fromkeys(one.candidate.name for one in sorted(same, key=first.least)))[:_ADVICE_KINDS]
        run.work([one for one in same if one.candidate.name in names], 1, budget, question.objectives)
        found = found or best_of(run.passing(1), compared_by)
    if found is not None and best is not None:
        # That Spot VMs are cheaper is no prediction.
        spot = found.candidate.offer.provisioning == "spot" != best.candidate.offer.provisioning
        margin = 1 + (CLOSE if spot else first.tolerance(best, found))
        if first.value(found) * margin >= first.value(best):
            found = None
    return _Advice(found, run.refused, run.simulations)


def _cap(bounded: Sequence[Bounded]) -> float | None:
    """What a candidate may cost an hour where the goal is latency."""
    cheapest = min((one.usd_per_hour for one in bounded), default=math.inf)
    return None if cheapest == math.inf else LATENCY_BUDGET * cheapest


def _within(bounded: Sequence[Bounded], cap: float | None) -> list[Bounded]:
    return [one for one in bounded if cap is None or one.usd_per_hour <= cap]


def _ordered(options: Sequence[Option], best: Option | None, compared_by: Sequence[Criterion]) -> tuple[Option, ...]:
    rest = sorted(
        (option for option in options if option is not best),
        key=lambda one: (*(criterion.value(one) for criterion in compared_by), one.candidate.preference),
    )
    return (best, *rest) if best is not None else tuple(rest)


def _too_slow(bounded: Sequence[Bounded]) -> tuple[tuple[str, str], ...]:
    """GPUs with which nothing meets the objectives, each by what comes nearest."""
    by_gpus: dict[tuple[str, int], list[Bounded]] = {}
    for one in bounded:
        by_gpus.setdefault((one.candidate.gpu, one.candidate.gpus), []).append(one)
    found = []
    for _, same in sorted(by_gpus.items()):
        missed = [
            (one.miss.factor, one.candidate.preference, one.candidate.name, one.miss.what) for one in same if one.miss
        ]
        if len(missed) == len(same):
            _, _, name, what = min(missed)
            found.append((name, what))
    return tuple(found)


def pareto(options: Sequence[Option]) -> Iterator[Option]:
    """Options of which no other is both cheaper and faster in time per token, cheapest first."""
    fastest = math.inf
    for option in sorted(options, key=lambda option: (option.cost, option.point.tpot_ms.p50)):
        if option.point.tpot_ms.p50 < fastest:
            fastest = option.point.tpot_ms.p50
            yield option
