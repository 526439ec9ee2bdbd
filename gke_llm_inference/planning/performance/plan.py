"""The speed of a server under its workload: what clients see, what it costs, and whether that is enough."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from gke_llm_inference.catalog.memory_facts import MemoryFacts
from gke_llm_inference.catalog.performance_facts import Basis, PerformanceFacts
from gke_llm_inference.planning.memory.request import MemoryRequest
from gke_llm_inference.planning.performance.bands import Band, Quantity
from gke_llm_inference.planning.performance.calibration_use import SpeedBasis, usual_basis
from gke_llm_inference.planning.performance.prediction import server_limits
from gke_llm_inference.planning.performance.replica import (
    HEADROOM,
    Point,
    Replica,
    replicas_for,
    usd_per_million,
)
from gke_llm_inference.planning.performance.timer import step_timer
from gke_llm_inference.planning.performance.workload import LatencyBound, Objectives, Workload

SpeedVerdict = Literal["meets", "may meet", "misses"]
ObjectiveName = Literal["ttft", "tpot", "maxUsdPerMillionTokens"]

_VERDICTS: tuple[SpeedVerdict, ...] = ("meets", "may meet", "misses")
_LIGHT = 32
_NAMES: dict[ObjectiveName, str] = {
    "ttft": "TTFT",
    "tpot": "TPOT",
    "maxUsdPerMillionTokens": "a million output tokens",
}
_LONG_MS = 20_000
_USUAL_PERCENTILE = 95
RESTS_ON: dict[Basis, str] = {
    "calibrated": "what this server was measured to do on this GPU",
    "measured": "kernels measured on this GPU",
    "transferred": "kernels measured on another GPU or version, with the roofs of this GPU",
    "estimated": "roofs of this GPU from its data sheet or others' tables, or what was not measured",
}
"""What a prediction rests on, in words."""


@dataclass(frozen=True, kw_only=True)
class Price:
    """What a replica costs.

    Attributes:
        usd_per_hour: USD an hour; None where it is not known.
        is_least: whether more comes to it that is not known.
        note: what the number leaves out, or why there is none.

    """

    usd_per_hour: float | None
    is_least: bool = False
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class PerformanceRequest:
    """What a performance plan is made for: what is to be served, and by how many replicas.

    Attributes:
        workload: the requests.
        objectives: what is fast and cheap enough.
        replicas: replicas that share the load; with 0 the server is planned at a load that a replica is given.
        price: of one replica.
        notes: what the prediction leaves out; with any it is an estimate, and promises nothing.

    """

    workload: Workload
    objectives: Objectives
    replicas: int
    price: Price
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Whether an objective is met.

    Attributes:
        objective: its name in the configuration.
        limit: what it allows, in ms or USD.
        percentile: percent of the requests that must meet it; None for a price.
        predicted: what is predicted at the load; None where it grows without end, or is not known.
        least: what it is at best: of a lone request, or the price at the highest load; None where it is not known.
        band: how far the prediction may be off.
        verdict: `meets` only where it does with the error band to spare; None where it cannot be judged.

    """

    objective: ObjectiveName
    limit: float
    percentile: float | None
    predicted: float | None
    least: float | None
    band: Band
    verdict: SpeedVerdict | None

    @property
    def is_out_of_reach(self) -> bool:
        """Whether not even its best is within the limit, the error band granted."""
        return self.least is not None and _low(self.least, self.band) > self.limit

    @property
    def text(self) -> str:
        """What is predicted, with its band."""
        name, band = _NAMES[self.objective], f"(± {self.band.percent:.0f} %)"
        if self.percentile is None:
            least = "at least " if self.verdict is None and self.predicted is not None else ""
            usd = (
                "an amount that is not known"
                if self.predicted is None
                else f"{least}{self.amount(self.predicted)} {band}"
            )
            return f"{name} cost {usd}"
        if self.predicted is None:
            return f"{name} p{self.percentile:g} {'grows' if self.verdict == 'misses' else 'may grow'} without end"
        return f"{name} p{self.percentile:g} is {self.amount(self.predicted)} {band}"

    def amount(self, value: float) -> str:
        """A value of the objective with its unit."""
        return f"{value:,.2f} USD" if self.percentile is None else duration(value)


@dataclass(frozen=True, kw_only=True)
class PerformancePlan:
    """The speed of a server under its workload.

    Attributes:
        workload: the requests, cut to the context.
        objectives: what is fast and cheap enough.
        context: tokens that a request may have.
        too_long: share of the requests that have more.
        replicas: replicas that share the load.
        point: what each of them does at its share of the load; without a load at one that a replica is given.
        keeps_up: whether the queue does not grow there.
        highest: what a replica does at the highest load within the objectives; None where it meets them at none.
        needed: replicas that the load needs, each with headroom; None where no load is stated, or no number is enough.
        capacity: requests a second that a replica ends at most where the queue grows; None where it does not.
        ttft: error band of the time to the first token.
        tpot: error band of the time per token.
        throughput: error band of tokens a second, of rates and of what follows from them.
        price: of one replica.
        judgements: of every objective.
        notes: what the prediction leaves out.

    """

    workload: Workload
    objectives: Objectives
    context: int
    too_long: float
    replicas: int
    point: Point
    keeps_up: bool
    highest: Point | None
    needed: int | None
    capacity: float | None
    ttft: Band
    tpot: Band
    throughput: Band
    price: Price
    judgements: tuple[Judgement, ...]
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> SpeedVerdict | None:
        """The worst of the verdicts on the objectives; what cannot be judged may be met. None without objectives."""
        return worst(one.verdict or "may meet" for one in self.judgements)

    @property
    def may_keep_up(self) -> bool:
        """Whether the queue grows by so little that it may not, with the error band granted."""
        return self.capacity is not None and _low(self.point.load, self.throughput) <= self.capacity

    @property
    def output_tokens_per_second(self) -> float:
        """Output tokens a second of one replica, in the long run."""
        return self._tokens(self.workload.mean_output)

    @property
    def input_tokens_per_second(self) -> float:
        """Prompt tokens a second of one replica, in the long run."""
        return self._tokens(self.workload.mean_input)

    @property
    def usd_per_million_output_tokens(self) -> float | None:
        """The price of a replica over its output tokens; input is not counted."""
        return _usd(self.price, self.output_tokens_per_second)

    @property
    def usd_per_million_input_tokens(self) -> float | None:
        """The price of a replica over its prompt tokens; output is not counted."""
        return _usd(self.price, self.input_tokens_per_second)

    @property
    def basis(self) -> Basis:
        """The weakest of what the figures rest on."""
        return self.tpot.basis

    @property
    def headroom(self) -> float:
        """Share of the highest load that a replica is given."""
        return HEADROOM

    @property
    def ttft_text(self) -> str:
        """The time to the first token, at the percentile that is asked for."""
        if not self.keeps_up:
            return "the queue grows"
        percent = self.objectives.ttft.percentile if self.objectives.ttft else _USUAL_PERCENTILE
        return f"TTFT p{percent:g} {duration(self.point.ttft_ms.at(percent))} ± {self.ttft.at(percent).percent:.0f} %"

    @property
    def tpot_text(self) -> str:
        """The time per token, at the percentile that is asked for."""
        percent = self.objectives.tpot.percentile if self.objectives.tpot else _USUAL_PERCENTILE
        return f"TPOT p{percent:g} {duration(self.point.tpot_ms.at(percent))} ± {self.tpot.at(percent).percent:.0f} %"

    @property
    def summary(self) -> str:
        """What there is to know before the server is made, in one line."""
        parts = [
            f"{self.verdict} the objectives" if self.verdict else "",
            self.ttft_text,
            self.tpot_text,
            f"replicas {self.replicas}, {self.needed} needed" if self.needed is not None else "",
        ]
        return f"speed: {', '.join(filter(None, parts))}, at {self.load(self.point.load)} per replica ({self.basis})"

    def load(self, load: float) -> str:
        """A load in words."""
        if self.workload.is_closed:
            return f"{load:,.0f} request{'s' if load != 1 else ''} in flight"
        return f"{rounded(load)} requests a second"

    def _tokens(self, each: float) -> float:
        return (self.point.rate if self.capacity is None else self.capacity) * each


def plan_performance(
    request: MemoryRequest,
    pool_tokens: int,
    context: int,
    asked: PerformanceRequest,
    *,
    memory: MemoryFacts,
    facts: PerformanceFacts,
    basis: SpeedBasis | None = None,
) -> PerformancePlan:
    """The speed of a server; the same input gives the same plan.

    Args:
        request: the server, on a GPU whose roofs `facts` have.
        pool_tokens: tokens that its KV cache holds.
        context: tokens that a request may have.
        asked: what it is to serve, with how many replicas, at which price.
        memory: facts about memory, for the bits of a weight.
        facts: facts about speed.
        basis: what a calibration says of its hardware; the catalog's constants if None.

    Raises:
        KeyError: the roofs of the GPU are not known.

    """
    basis = basis or usual_basis(request, facts)
    stated, objectives = asked.workload, asked.objectives
    workload = stated.within(context)
    replica = replica_of(request, pool_tokens, workload, memory, basis)

    def band(quantity: Quantity) -> Band:
        found = basis.band(quantity, request, facts)
        if not asked.notes:
            return found
        return replace(found, percent=max(found.percent, facts.bands["estimated"][quantity]), basis="estimated")

    bands = _Bands(ttft=band("ttft_ms.p50"), tpot=band("tpot_ms.p50"), throughput=band("output_tokens_per_second"))
    load = _load(workload, asked.replicas)
    known = None if load is None else replica.at(load)
    highest = _highest(replica, objectives, known)
    point = known or _given(replica, objectives, highest, bands)
    keeps_up = _keeps_up(replica, point)
    plan = PerformancePlan(
        workload=workload,
        objectives=objectives,
        context=context,
        too_long=stated.share_beyond(context),
        replicas=asked.replicas,
        point=point,
        keeps_up=keeps_up,
        highest=highest,
        needed=replicas_for(stated.asked, highest.load, is_closed=stated.is_closed)
        if stated.asked and highest
        else None,
        capacity=None if keeps_up else _capacity(replica, point, highest),
        ttft=bands.ttft,
        tpot=bands.tpot,
        throughput=bands.throughput,
        price=asked.price,
        judgements=(),
        notes=asked.notes,
    )
    return replace(plan, judgements=tuple(_judgements(plan, replica, promises=not asked.notes)))


def least_replicas(
    request: MemoryRequest,
    pool_tokens: int,
    context: int,
    asked: PerformanceRequest,
    *,
    memory: MemoryFacts,
    facts: PerformanceFacts,
    basis: SpeedBasis | None = None,
) -> int | None:
    """The fewest replicas with which a server may meet its objectives, by arithmetic alone; None if no number does.

    Arguments are those of `plan_performance`. Without a load the replicas are as many as are asked for.
    """
    basis = basis or usual_basis(request, facts)
    replica = replica_of(request, pool_tokens, asked.workload.within(context), memory, basis)
    objectives, workload = asked.objectives, replica.workload
    bound = 0.0 if replica.miss(objectives) else replica.bound(objectives)
    if not bound:
        return None
    limit = objectives.usd_per_million_tokens
    if limit is not None and not workload.is_closed:
        at_best = _usd(asked.price, bound * workload.mean_output)
        if at_best is not None and at_best > limit:
            return None
    return replicas_for(workload.asked, bound, is_closed=workload.is_closed) if workload.asked else asked.replicas


def replica_of(
    request: MemoryRequest, pool_tokens: int, workload: Workload, memory: MemoryFacts, basis: SpeedBasis
) -> Replica:
    """A replica of a server under a workload that fits its context."""
    speed = basis.speed
    limits = server_limits(request, pool_tokens, memory, speed.facts, prefix_hit_rate=workload.prefix_hit_rate)
    timer = step_timer(request, speed.gpu, memory, speed.facts, launch_us=speed.launch_us)
    return Replica(timer, limits, speed.gpu, workload)


@dataclass(frozen=True, kw_only=True)
class _Bands:
    ttft: Band
    tpot: Band
    throughput: Band


def _load(workload: Workload, replicas: int) -> float | None:
    """What each replica gets; None where no load is stated, or there is none to take it."""
    if not workload.asked or not replicas:
        return None
    share = workload.asked / replicas
    return float(math.ceil(share)) if workload.is_closed else share


def _highest(replica: Replica, objectives: Objectives, known: Point | None) -> Point | None:
    """What it does at the highest load within the objectives; None where a lone request misses one already."""
    bound = replica.bound(objectives)
    return replica.highest(objectives, bound, known)[0] if bound else None


def _given(replica: Replica, objectives: Objectives, highest: Point | None, bands: _Bands) -> Point:
    """What it does at a load that a replica is given where none is stated: within the objectives for certain, if any.

    That is `HEADROOM` of the highest load at which the predictions meet the objectives with their bands to spare.
    """
    if highest is None:
        return replica.at(1.0 if replica.workload.is_closed else replica.bound(Objectives()) / _LIGHT)
    certain = highest
    if objectives.ttft or objectives.tpot:
        stricter = replace(
            objectives, ttft=_stricter(objectives.ttft, bands.ttft), tpot=_stricter(objectives.tpot, bands.tpot)
        )
        certain = _highest(replica, stricter, highest) or highest
    load = HEADROOM * certain.load
    return replica.at(float(max(1, math.floor(load))) if replica.workload.is_closed else load)


def _stricter(bound: LatencyBound | None, band: Band) -> LatencyBound | None:
    return bound and replace(bound, milliseconds=bound.milliseconds / (1 + band.at(bound.percentile).percent / 100))


def _keeps_up(replica: Replica, point: Point) -> bool:
    return point.keeps_up and (replica.workload.is_closed or point.load <= replica.bound(Objectives()))


def _capacity(replica: Replica, point: Point, highest: Point | None) -> float:
    """Requests a second that it ends where more come in: as many as in the simulation, or as it keeps up with."""
    ended = point.output_tokens_per_second / replica.workload.mean_output
    return min(max(ended, highest.load if highest else 0.0), replica.bound(Objectives()))


def _judgements(plan: PerformancePlan, replica: Replica, *, promises: bool) -> Iterator[Judgement]:
    objectives, point = plan.objectives, plan.point

    def verdict(predicted: float | None, limit: float, band: Band) -> SpeedVerdict:
        found = "misses" if predicted is None else verdict_of(predicted, limit, band)
        return found if promises or found == "misses" else "may meet"

    if objectives.ttft is not None:
        bound = objectives.ttft
        first = point.ttft_ms.at(bound.percentile) if plan.keeps_up else None
        alone = replica.lone_ttft_ms(bound.percentile)
        band = plan.ttft.at(bound.percentile)
        judged = verdict(first, bound.milliseconds, band)
        if plan.may_keep_up and verdict(alone, bound.milliseconds, band) != "misses":
            judged = "may meet"
        yield Judgement(
            objective="ttft",
            limit=bound.milliseconds,
            percentile=bound.percentile,
            predicted=first,
            least=alone,
            band=band,
            verdict=judged,
        )
    if objectives.tpot is not None:
        bound = objectives.tpot
        between, band = point.tpot_ms.at(bound.percentile), plan.tpot.at(bound.percentile)
        yield Judgement(
            objective="tpot",
            limit=bound.milliseconds,
            percentile=bound.percentile,
            predicted=between,
            least=replica.step_ms,
            band=band,
            verdict=verdict(between, bound.milliseconds, band),
        )
    if objectives.usd_per_million_tokens is not None:
        limit, usd = objectives.usd_per_million_tokens, plan.usd_per_million_output_tokens
        at_best = None if plan.highest is None else _usd(plan.price, plan.highest.rate * plan.workload.mean_output)
        dear = None if usd is None else verdict(usd, limit, plan.throughput)
        yield Judgement(
            objective="maxUsdPerMillionTokens",
            limit=limit,
            percentile=None,
            predicted=usd,
            least=at_best,
            band=plan.throughput,
            # Of a price to which something comes only that it is too high is certain.
            verdict=None if plan.price.is_least and dear != "misses" else dear,
        )


def verdict_of(predicted: float, limit: float, band: Band) -> SpeedVerdict:
    """Whether a prediction is within a limit: `meets` with its whole error band, `misses` with none of it."""
    if _low(predicted, band) > limit:
        return "misses"
    return "meets" if _high(predicted, band) <= limit else "may meet"


def worst(verdicts: Iterable[SpeedVerdict]) -> SpeedVerdict | None:
    """The worst of some verdicts; None without any."""
    return max(verdicts, key=_VERDICTS.index, default=None)


def _usd(price: Price, tokens_per_second: float) -> float | None:
    return None if price.usd_per_hour is None else usd_per_million(price.usd_per_hour, tokens_per_second)


def duration(milliseconds: float) -> str:
    """A latency in words."""
    if milliseconds < _LONG_MS:
        return f"{milliseconds:,.0f} ms" if milliseconds >= 100 else f"{milliseconds:,.1f} ms"
    return f"{milliseconds / 1000:,.0f} s"


def rounded(value: float) -> str:
    """A rate or price with two decimals, or two digits where it is small; without zeros at its end."""
    text = f"{value:,.2f}" if value >= 0.1 else f"{value:.2g}"
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def _low(value: float, band: Band) -> float:
    return value * (1 - band.percent / 100)


def _high(value: float, band: Band) -> float:
    return value * (1 + band.percent / 100)
