"""One replica of a server under a workload: what it does at a load, and the highest load within objectives."""

import math
from dataclasses import dataclass, replace
from functools import cached_property

from gke_llm_inference.catalog.performance_facts import GpuRoofs
from gke_llm_inference.planning.performance.prediction import percentile
from gke_llm_inference.planning.performance.simulation import Served, ServerLimits, simulate
from gke_llm_inference.planning.performance.step_time import StepTimer
from gke_llm_inference.planning.performance.workload import Objectives, Workload

HEADROOM = 0.8
"""Share of the highest load within the objectives that a replica is given."""
_HALVINGS = 5
# A closed loop with more requests than this many full batches only waits longer; small ones are simulated as they are.
_LARGEST_LOOP = 4
_EXACT_LOOP = 256
# A queue grows where what arrives in a time takes more than so much longer to be served.
_KEEPS_UP = 1.25
_KEEPS_UP_MS = 10_000


@dataclass(frozen=True)
class Distribution:
    """A latency of all requests, in ms, ascending."""

    values: tuple[float, ...]

    def at(self, percent: float) -> float:
        """The value below which that percentage of the requests lies."""
        return self.values[min(len(self.values) - 1, int(percent / 100 * len(self.values)))]

    @property
    def p50(self) -> float:
        """Median."""
        return self.at(50)

    @property
    def p90(self) -> float:
        """90th percentile."""
        return self.at(90)

    @property
    def p95(self) -> float:
        """95th percentile."""
        return self.at(95)

    @property
    def p99(self) -> float:
        """99th percentile."""
        return self.at(99)


@dataclass(frozen=True, kw_only=True)
class Point:
    """What a replica does at one load.

    Attributes:
        load: requests per second, or in flight where the loop is closed.
        rate: requests per second that come in, or that end where the loop is closed.
        ttft_ms: time to the first token.
        tpot_ms: time per output token after the first.
        utilization: share of the time in which the GPU works.
        preemptions: requests that lost their cache and were computed again.
        keeps_up: whether the queue does not grow.

    """

    load: float
    rate: float
    ttft_ms: Distribution
    tpot_ms: Distribution
    output_tokens_per_second: float
    input_tokens_per_second: float
    utilization: float
    preemptions: int
    keeps_up: bool

    def meets(self, objectives: Objectives) -> bool:
        """Whether its latencies are within the objectives, and the queue does not grow."""
        ttft, tpot = objectives.ttft, objectives.tpot
        return (
            self.keeps_up
            and (ttft is None or self.ttft_ms.at(ttft.percentile) <= ttft.milliseconds)
            and (tpot is None or self.tpot_ms.at(tpot.percentile) <= tpot.milliseconds)
        )


@dataclass(frozen=True, kw_only=True)
class Miss:
    """How a lone request misses an objective already.

    Attributes:
        objective: `ttft` or `tpot`.
        factor: by how much it misses.
        what: in words, with the time of the step or prompt.

    """

    objective: str
    factor: float
    what: str


@dataclass(frozen=True)
class Replica:
    """A replica and the requests that it gets.

    Attributes:
        timer: the times of its steps.
        limits: what bounds its batches.
        gpu: roofs of its GPU.
        workload: requests that fit its context.

    """

    timer: StepTimer
    limits: ServerLimits
    gpu: GpuRoofs
    workload: Workload

    def at(self, load: float) -> Point:
        """What it does at a load: requests per second, or in flight; those that only wait are not simulated."""
        most = float(max(_EXACT_LOOP, _LARGEST_LOOP * self._largest_batch))
        if not self.workload.is_closed or load <= most:
            return self._simulated(load)
        full = self._simulated(most)
        # What is in flight beyond that waits for its turn first: Little's law.
        waits = 1000 * (load - most) / full.rate
        return replace(full, load=load, ttft_ms=Distribution(tuple(value + waits for value in full.ttft_ms.values)))

    def _simulated(self, load: float) -> Point:
        workload = self.workload
        served = simulate(self.timer, self.limits, workload.load(load))
        rate = 1000 * len(served.first_ms) / served.duration_ms if workload.is_closed else load
        return Point(
            load=load,
            rate=rate,
            ttft_ms=Distribution(tuple(sorted(served.first_ms))),
            tpot_ms=Distribution(tuple(sorted(value for value in served.between_ms if value is not None)) or (0.0,)),
            output_tokens_per_second=served.output_tokens_per_second,
            input_tokens_per_second=rate * workload.mean_input,
            utilization=min(1.0, served.busy_ms / served.duration_ms),
            preemptions=served.preemptions,
            keeps_up=workload.is_closed or _keeps_up(served, load),
        )

    def miss(self, objectives: Objectives) -> Miss | None:
        """How a lone request misses an objective; None where it may meet them."""
        step, tpot = self.step_ms, objectives.tpot
        if tpot is not None and step > tpot.milliseconds:
            return Miss(
                objective="tpot",
                factor=step / tpot.milliseconds,
                what=f"a lone request takes {step:,.1f} ms per token",
            )
        ttft = objectives.ttft
        if ttft is not None and (first := self.lone_ttft_ms(ttft.percentile)) > ttft.milliseconds:
            return Miss(
                objective="ttft",
                factor=first / ttft.milliseconds,
                what=f"a lone prompt of p{ttft.percentile:g} takes {first:,.0f} ms to the first token",
            )
        return None

    @cached_property
    def step_ms(self) -> float:
        """Time of a step that decodes a lone request of mean length."""
        return self.timer.gpu_ms(1, self.workload.mean_input + self.workload.mean_output / 2, 0, 0, 0)

    def lone_ttft_ms(self, percent: float) -> float:
        """Time to the first token of that percentile of the prompts, on a server with nothing else to do."""
        limits = self.limits
        prompt = round(percentile(self.workload.prompts, percent / 100) * (1 - limits.prefix_hit_rate))
        time, before = limits.request_ms + limits.token_ms * prompt, 0
        while before < prompt:
            chunk = min(limits.batched_tokens, prompt - before)
            time += self.timer.gpu_ms(0, 0, chunk, chunk * before + chunk * chunk / 2, 1)
            before += chunk
        return time

    def bound(self, objectives: Objectives) -> float:
        """A load that it cannot exceed within the objectives, by arithmetic alone."""
        if self.workload.is_closed:
            return float(self._largest_batch)
        timer, limits, workload = self.timer, self.limits, self.workload
        prompt = workload.mean_input * (1 - workload.prefix_hit_rate)
        context = workload.mean_input + workload.mean_output / 2
        chunk = min(limits.batched_tokens, round(prompt) or 1)
        prefill = timer.gpu_ms(0, 0, chunk, chunk * chunk / 2, 1) * prompt / chunk
        # Many prompts in one step share its fixed time; a prompt alone is the dearest.
        shared = timer.gpu_ms(0, 0, limits.batched_tokens, limits.batched_tokens * chunk / 2, 1)
        prefill = min(prefill, shared * prompt / limits.batched_tokens)
        most = self._largest_batch
        best = 0.0
        for batch in sorted({1, *(2**power for power in range(1, 11) if 2**power < most), most}):
            step = timer.gpu_ms(batch, batch * context, 0, 0, 0)
            if objectives.tpot is None or step <= objectives.tpot.milliseconds:
                best = max(best, 1000 / (prefill + workload.mean_output * step / batch))
        return best

    def highest(
        self, objectives: Objectives, bound: float, known: Point | None = None
    ) -> tuple[Point | None, tuple[Point, ...]]:
        """What it does at the highest load within the objectives, by bisection below a bound; None if at none.

        Args:
            objectives: what is fast enough.
            bound: a load that it does not exceed.
            known: what it does at a load of interest, from which the search starts where it is given.

        Returns:
            That point, and all points that were simulated, by their load.

        """
        points: dict[float, Point] = {} if known is None else {known.load: known}

        def good(load: float) -> bool:
            if load not in points:
                points[load] = self.at(load)
            return points[load].meets(objectives)

        low, high = 0.0, bound
        if known is not None and known.load < bound:
            low, high = (known.load, bound) if known.meets(objectives) else (0.0, known.load)
        if good(high):
            low = high
        else:
            for _ in range(_HALVINGS):
                middle = self._between(low, high)
                if middle in (low, high):
                    break
                if good(middle):
                    low = middle
                else:
                    high = middle
        return points.get(low), tuple(points[load] for load in sorted(points))

    def _between(self, low: float, high: float) -> float:
        middle = (low + high) / 2
        return float(math.ceil(middle)) if self.workload.is_closed else middle

    @cached_property
    def _largest_batch(self) -> int:
        context = self.workload.mean_input + self.workload.mean_output / 2
        return max(1, min(self.limits.sequences, int(self.limits.pool_tokens / context)))


def replicas_for(asked: float, highest: float, *, is_closed: bool = False) -> int:
    """Replicas that a load needs, if each is given `HEADROOM` of the highest that it serves within the objectives.

    No more than there are requests in flight: where each has one, a further replica has none.
    """
    found = max(1, math.ceil(asked / (HEADROOM * highest) - 1e-9))
    return min(found, math.ceil(asked)) if is_closed else found


def usd_per_million(usd_per_hour: float, tokens_per_second: float) -> float:
    """USD per million tokens of a machine at its price per hour."""
    return usd_per_hour / (tokens_per_second * 3600) * 1e6


def _keeps_up(served: Served, rate: float) -> bool:
    requests = len(served.first_ms)
    return served.duration_ms <= 1000 * requests / rate * _KEEPS_UP + _KEEPS_UP_MS
