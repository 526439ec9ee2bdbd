"""A candidate that was simulated, and what it costs at least before it is."""

import math
from dataclasses import dataclass, field, replace
from functools import cached_property

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.planning.cost import HOURS_PER_MONTH
from gke_llm_inference.planning.optimization.candidates import Candidate
from gke_llm_inference.planning.optimization.offers import most_replicas, no_room
from gke_llm_inference.planning.optimization.question import Question
from gke_llm_inference.planning.performance.bands import Band
from gke_llm_inference.planning.performance.calibration_use import SpeedBasis
from gke_llm_inference.planning.performance.plan import ObjectiveName, SpeedVerdict, replica_of, verdict_of
from gke_llm_inference.planning.performance.replica import (
    HEADROOM,
    Distribution,
    Miss,
    Point,
    Replica,
    replicas_for,
    usd_per_million,
)
from gke_llm_inference.planning.performance.workload import LatencyBound, Objectives

COSTLIEST_RUN = 8
"""Simulations that working out one candidate takes at most, where no replicas are counted."""
COSTLIEST_STEP = 3
"""Simulations that a step of counting replicas takes at most."""
_LEAST_GROWTH, _MOST_GROWTH = 1.3, 4.0
_LOWEST_LOAD = 32
_ROUNDS = 6
_TAIL = 1.4


def alone(replica: Replica) -> Point:
    """What a replica does with one request at a time."""
    return replace(replica, workload=replace(replica.workload, rate=None, concurrency=1)).at(1)


@dataclass(frozen=True, kw_only=True)
class Bands:
    """How far the predictions of a candidate may be off."""

    rate: Band
    ttft: Band
    tpot: Band


@dataclass(frozen=True, kw_only=True)
class Option:
    """A candidate, worked out.

    Attributes:
        most: the highest load of one replica that was seen to meet the objectives, and what it does there.
        point: what each replica does at the load that it gets.
        replicas: as many as the load needs, or as the stack states.
        usd_per_month: of all replicas; None without a load.
        usd_per_million_output_tokens: at the load that each replica gets, input not counted.
        request_ms: a mean request's time at that load: its first token, and the others at the median.
        curve: points up to the highest load, for a picture.
        bands: how far the predictions may be off.
        asked: the load of all replicas, where their number is chosen for it.
        replica: one of them.

    """

    candidate: Candidate
    most: Point
    point: Point
    replicas: int
    usd_per_month: float | None
    usd_per_million_output_tokens: float
    request_ms: float
    curve: tuple[Point, ...]
    bands: Bands
    asked: float | None
    replica: Replica = field(compare=False, repr=False)

    @property
    def usd_per_hour(self) -> float:
        """Price of all replicas."""
        return self.replicas * self.candidate.usd_per_hour

    @property
    def cost(self) -> float:
        """USD per month where the load is known, else per million output tokens."""
        return self.usd_per_million_output_tokens if self.usd_per_month is None else self.usd_per_month

    @property
    def usd_at_most(self) -> float:
        """USD per million output tokens at the share of its highest load that a replica is given."""
        mean = self.point.rate and self.usd_per_million_output_tokens * self.point.rate
        return mean / (self.most.rate * HEADROOM)

    @property
    def rate_band(self) -> Band:
        """How far the rate of a replica may be from the prediction."""
        return self.bands.rate

    @property
    def ttft_band(self) -> Band:
        """How far the time to the first token may be from the prediction."""
        return self.bands.ttft

    @property
    def tpot_band(self) -> Band:
        """How far the time per token may be from the prediction."""
        return self.bands.tpot

    @cached_property
    def request_band(self) -> float:
        """How far the time of a mean request may be off, in percent: of both of its parts by their size."""
        first = self.point.ttft_ms.p50
        rest = max(0.0, self.request_ms - first)
        return (first * self.bands.ttft.percent + rest * self.bands.tpot.percent) / max(self.request_ms, 1e-9)

    def verdicts(self, objectives: Objectives) -> dict[ObjectiveName, SpeedVerdict]:
        """Whether it meets each of the objectives at its load: `meets` only with the error band to spare."""
        found: dict[ObjectiveName, SpeedVerdict] = {}
        ttft, tpot, usd = objectives.ttft, objectives.tpot, objectives.usd_per_million_tokens
        if ttft is not None:
            found["ttft"] = self._verdict(self.point.ttft_ms, ttft, self.bands.ttft)
        if tpot is not None:
            found["tpot"] = self._verdict(self.point.tpot_ms, tpot, self.bands.tpot)
        if usd is not None:
            found["maxUsdPerMillionTokens"] = verdict_of(self.usd_per_million_output_tokens, usd, self.bands.rate)
        return found

    @staticmethod
    def _verdict(values: Distribution, bound: LatencyBound, band: Band) -> SpeedVerdict:
        return verdict_of(values.at(bound.percentile), bound.milliseconds, band.at(bound.percentile))

    def usd_if(self, factor: float) -> float:
        """USD per hour of the replicas that the load would need, were a replica's highest load so many times it."""
        if self.asked is None:
            return self.usd_per_hour
        is_closed = self.replica.workload.is_closed
        return replicas_for(self.asked, self.most.load * factor, is_closed=is_closed) * self.candidate.usd_per_hour


@dataclass(frozen=True)
class Bounded:
    """A candidate and what it may do at best, by arithmetic alone.

    Attributes:
        load: the highest load of a replica that it may serve within the objectives; 0 where it serves none.
        miss: how a lone request misses an objective, where it does.

    """

    candidate: Candidate
    question: Question
    replica: Replica
    load: float
    miss: Miss | None
    bands: Bands

    @classmethod
    def of(cls, candidate: Candidate, question: Question, basis: SpeedBasis, catalog: Catalog) -> "Bounded":
        """The bounds of a candidate whose context the question's workload fits."""
        facts, request = catalog.performance, candidate.plan.request
        tokens = candidate.plan.state.kv_cache_tokens
        replica = replica_of(request, tokens, question.workload, catalog.memory, basis)
        miss = replica.miss(question.objectives)
        load = 0.0 if miss else replica.bound(question.objectives)
        bands = Bands(
            rate=basis.band("output_tokens_per_second", request, facts),
            ttft=basis.band("ttft_ms.p50", request, facts),
            tpot=basis.band("tpot_ms.p50", request, facts),
        )
        return cls(candidate, question, replica, load, miss, bands)

    @property
    def replicas(self) -> int:
        """Replicas at least."""
        asked = self.replica.workload.asked
        if self.question.replicas is not None:
            return self.question.replicas
        is_closed = self.replica.workload.is_closed
        return replicas_for(asked, self.load, is_closed=is_closed) if asked and self.load else 1

    @property
    def usd_per_hour(self) -> float:
        """USD per hour of all replicas at least; infinite where it serves no load, or there is no room for them."""
        if not self.load or self.replicas > most_replicas(self.candidate.offer):
            return math.inf
        return self.replicas * self.candidate.usd_per_hour

    @property
    def usd_per_million(self) -> float:
        """USD per million output tokens at least."""
        workload = self.replica.workload
        if not self.load or workload.is_closed:
            return 0.0 if self.load else math.inf
        return usd_per_million(self.candidate.usd_per_hour, self.load * HEADROOM * workload.mean_output)

    @property
    def request_ms(self) -> float:
        """Time of a mean request at least: alone on the server."""
        if not self.load:
            return math.inf
        return self.replica.lone_ttft_ms(50) + self.replica.workload.mean_output * self.replica.step_ms

    def worked_out(self, objectives: Objectives, *, alone: bool) -> tuple[Option | None, int, str]:
        """The candidate at its load, the simulations that took, and why there is no such option where there is none.

        Args:
            objectives: what latency and price may be.
            alone: whether it is enough to know what a lone request takes, where there is no load.

        """
        asked = self.replica.workload.asked
        if asked is None and alone:
            return self._alone(objectives)
        if asked is None:
            return self._at_most(objectives)
        if self.question.replicas is not None:
            return self._stated(asked, self.question.replicas, objectives)
        scaling = Scaling(self, asked, objectives)
        while scaling.result is None:
            scaling.step()
        return (scaling.result[0], scaling.simulations, scaling.result[1])

    def _at_most(self, objectives: Objectives) -> tuple[Option | None, int, str]:
        """At its share of the highest load."""
        most, points = self.replica.highest(objectives, self.load or self.replica.bound(objectives))
        if most is None:
            return None, len(points), "misses the objectives at any load"
        point = self.replica.at(most.load * HEADROOM)
        replicas = self.question.replicas or 1
        return self.option(most, point, replicas, points, objectives, len(points) + 1)

    def _alone(self, objectives: Objectives) -> tuple[Option | None, int, str]:
        point = alone(self.replica)
        if not point.meets(objectives):
            return None, 1, "misses the objectives with one request at a time"
        return self.option(point, point, self.question.replicas or 1, (point,), objectives, 1)

    def _stated(self, asked: float, replicas: int, objectives: Objectives) -> tuple[Option | None, int, str]:
        share = math.ceil(asked / replicas) if self.replica.workload.is_closed else asked / replicas
        point = self.replica.at(share)
        if not point.meets(objectives):
            return None, 1, f"misses the objectives with {replicas} replicas"
        return self.option(point, point, replicas, (point,), objectives, 1)

    def option(
        self,
        most: Point,
        point: Point,
        replicas: int,
        points: tuple[Point, ...],
        objectives: Objectives,
        used: int,
    ) -> tuple[Option | None, int, str]:
        """The option with what was simulated; none where its tokens are too dear."""
        workload, price = self.replica.workload, self.candidate.usd_per_hour
        per_million = usd_per_million(price, point.rate * workload.mean_output)
        most_usd = objectives.usd_per_million_tokens
        if most_usd is not None and per_million > most_usd:
            return None, used, f"costs {per_million:,.2f} USD per million output tokens"
        curve = {one.load: one for one in (*points, point) if one.load <= most.load}
        option = Option(
            candidate=self.candidate,
            most=most,
            point=point,
            replicas=replicas,
            usd_per_month=replicas * price * HOURS_PER_MONTH if workload.asked else None,
            usd_per_million_output_tokens=per_million,
            request_ms=point.ttft_ms.p50 + workload.mean_output * point.tpot_ms.p50,
            curve=tuple(curve[load] for load in sorted(curve)),
            bands=self.bands,
            asked=workload.asked if self.question.replicas is None else None,
            replica=self.replica,
        )
        return option, used, ""


class Scaling:
    """The fewest replicas of a candidate that serve a load, found one simulation after the other.

    Each must meet the objectives at more than it gets: at its part of the load over `HEADROOM`.

    Attributes:
        result: the option, or why there is none; None as long as it is not known.
        simulations: how many it took so far.

    """

    def __init__(self, bounded: Bounded, asked: float, objectives: Objectives) -> None:
        self._bounded, self._asked, self._objectives = bounded, asked, objectives
        self._is_closed = bounded.replica.workload.is_closed
        self._room = most_replicas(bounded.candidate.offer)
        self._points: dict[float, Point] = {}
        bound = bounded.load or bounded.replica.bound(objectives)
        self._most = _LOWEST_LOAD * replicas_for(asked, bound)
        self._low = replicas_for(asked, bound, is_closed=self._is_closed) - 1
        self._next = max(self._low + 1, self._likely(bound))
        self._good: int | None = None
        self.result: tuple[Option | None, str] | None = None
        self.simulations = 0

    @property
    def candidate(self) -> Candidate:
        """What is scaled."""
        return self._bounded.candidate

    @property
    def likely_usd(self) -> float:
        """USD per hour of what is tried next: an estimate, by which to choose whose turn it is."""
        return (self._next if self._good is None else self._good) * self.candidate.usd_per_hour

    @property
    def least_usd(self) -> float:
        """USD per hour that it costs at least, by what is known so far."""
        return (self._low + 1) * self.candidate.usd_per_hour

    def step(self) -> None:
        """One more simulation, or the last few where the number is found."""
        if self._good is None:
            if self._next > self._room:
                self.result = None, no_room(self.candidate.offer)
            elif self._next > self._most or (self._is_closed and self._low and self._load(self._low) <= 1):
                self.result = None, "misses the objectives at any load"
            elif self._meets(self._load(self._next)):
                self._good = self._next
            else:
                growth = self._missed_by(self._points[self._load(self._next)])
                self._low, self._next = self._next, max(self._next + 1, math.ceil(growth * self._next))
        elif self._good - self._low > 1:
            middle = (self._low + self._good) // 2
            if self._meets(self._load(middle)):
                self._good = middle
            else:
                self._low = middle
        if self.result is None and self._good is not None and self._good - self._low == 1:
            self._finish(self._good)

    def _finish(self, replicas: int) -> None:
        load = self._load(replicas)
        # Whether as many are enough if the prediction is off by its band decides what it can be told from.
        sure = self._load(replicas, 1 + self._bounded.bands.rate.percent / 100)
        most = self._point(sure if self._meets(sure) else load)
        share = float(math.ceil(self._asked / replicas)) if self._is_closed else self._asked / replicas
        point = self._point(share)
        points = tuple(self._points.values())
        option, _, why = self._bounded.option(most, point, replicas, points, self._objectives, self.simulations)
        self.result = option, why

    def _likely(self, bound: float) -> int:
        """Replicas that the time per token likely takes: prompts of others take their share of every second.

        With l requests a second, prompts of p ms and answers of n tokens, a token takes t = step(b) / (1 - l p), where
        b = l n t sequences run; its 95th percentile is taken to lie two fifths above that.
        """
        replica, tpot = self._bounded.replica, self._objectives.tpot
        workload, timer = replica.workload, replica.timer
        if tpot is None or self._is_closed:
            return 1
        prompt = max(1, round(workload.mean_input * (1 - workload.prefix_hit_rate)))
        prefill = timer.gpu_ms(0, 0, prompt, prompt * prompt / 2, 1)
        context = workload.mean_input + workload.mean_output / 2

        def is_fast(load: float) -> bool:
            free = 1 - load * prefill / 1000
            if free <= 0:
                return False
            batch, time = 1, 0.0
            for _ in range(_ROUNDS):
                time = timer.gpu_ms(batch, batch * context, 0, 0, 0) / free
                batch = max(1, min(replica.limits.sequences, round(load / 1000 * workload.mean_output * time)))
            return _TAIL * time <= tpot.milliseconds

        low, high = 0.0, bound
        for _ in range(_ROUNDS):
            middle = (low + high) / 2
            low, high = (middle, high) if is_fast(middle) else (low, middle)
        return min(self._most, replicas_for(self._asked, max(low, bound / _LOWEST_LOAD)))

    def _missed_by(self, point: Point) -> float:
        """How many times the replicas to try next, by how far this number is from the objectives."""
        ttft, tpot = self._objectives.ttft, self._objectives.tpot
        factors = [_LEAST_GROWTH]
        factors += [point.ttft_ms.at(ttft.percentile) / ttft.milliseconds] if ttft else []
        factors += [point.tpot_ms.at(tpot.percentile) / tpot.milliseconds] if tpot else []
        return min(_MOST_GROWTH, max(factors))

    def _load(self, replicas: int, over: float = 1.0) -> float:
        load = self._asked / replicas / HEADROOM * over
        if not self._is_closed:
            return load
        return float(math.ceil(load)) if replicas < self._asked else 1.0

    def _meets(self, load: float) -> bool:
        return self._point(load).meets(self._objectives)

    def _point(self, load: float) -> Point:
        if load not in self._points:
            self._points[load] = self._bounded.replica.at(load)
            self.simulations += 1
        return self._points[load]
