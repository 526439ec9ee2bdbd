"""By what goals compare candidates, and how much of a difference predictions can tell."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gke_llm_inference.planning.optimization.option import Bounded, Option
from gke_llm_inference.planning.optimization.question import GoalName, Question

CLOSE = 0.05
"""Prices that differ by less are the same."""
IN_MONEY = "USD a month"


@dataclass(frozen=True)
class Criterion:
    """What less of is better.

    Attributes:
        title: in words, as the end of "least".
        value: of an option.
        least: of a candidate that was not simulated, at least.
        tolerance: share by which an option may be worse than the best and is still the same, given both.

    """

    title: str
    value: Callable[[Option], float]
    least: Callable[[Bounded], float]
    tolerance: Callable[[Option, Option], float]


def criteria(question: Question) -> tuple[Criterion, ...]:
    """What options are compared by, the first one first."""
    has_load = question.workload.asked is not None
    found: list[Criterion] = []
    for goal in question.goals:
        for criterion in _OF_GOAL[goal] if has_load else _WITHOUT_LOAD[goal]:
            if criterion not in found:
                found.append(criterion)
    return tuple(found)


def best_of(options: Sequence[Option], compared_by: Sequence[Criterion]) -> Option | None:
    """The best by each criterion in turn; of what they cannot tell apart, the one that gives up least."""
    close = list(options)
    for criterion in compared_by:
        if not close:
            return None
        least = min(close, key=lambda one: (criterion.value(one), one.candidate.preference))
        close = [
            one
            for one in close
            if criterion.value(one) <= criterion.value(least) * (1 + criterion.tolerance(one, least)) + 1e-12
        ]
    return min(close, key=lambda one: one.candidate.preference, default=None)


def widest(options: Sequence[Option]) -> float:
    """The largest tolerance that any criterion may have among options, as a share."""
    return max((max(one.bands.rate.percent, one.request_band) / 100 for one in options), default=CLOSE)


def _rate(one: Option, other: Option) -> float:
    """The wider band of both rates, as a share."""
    return max(one.bands.rate.percent, other.bands.rate.percent) / 100


def _replicas(one: Option, best: Option) -> float:
    """The wider band where an error of the prediction may turn the order of two prices; else what prices tell."""
    band = _rate(one, best)
    cheaper, dearer = one.usd_if(1 + band), best.usd_if(1 / (1 + band))
    may_turn = cheaper <= dearer and (cheaper < one.usd_per_hour or dearer > best.usd_per_hour)
    return max(CLOSE, band) if may_turn else CLOSE


def _request(one: Option, best: Option) -> float:
    return max(one.request_band, best.request_band) / 100


def _price(one: Option, best: Option) -> float:  # noqa: ARG001 - one form for all
    return CLOSE


_COST = Criterion(IN_MONEY, lambda one: one.usd_per_hour, lambda one: one.usd_per_hour, _replicas)
_MACHINE = Criterion("USD an hour", lambda one: one.usd_per_hour, lambda one: one.usd_per_hour, _price)
_TOKENS = Criterion(
    "USD per million output tokens",
    lambda one: one.usd_at_most,
    lambda one: one.usd_per_million,
    _rate,
)
_LATENCY = Criterion("time of a mean request", lambda one: one.request_ms, lambda one: one.request_ms, _request)

_OF_GOAL: dict[GoalName, tuple[Criterion, ...]] = {
    "cost": (_COST,),
    "objectives": (_COST,),
    "throughput": (_TOKENS,),
    "latency": (_LATENCY, _COST),
}
_WITHOUT_LOAD: dict[GoalName, tuple[Criterion, ...]] = {
    "cost": (_MACHINE, _TOKENS),
    "objectives": (_MACHINE, _TOKENS),
    "throughput": (_TOKENS,),
    "latency": (_LATENCY, _MACHINE),
}
