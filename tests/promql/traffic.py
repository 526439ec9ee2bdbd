"""A server under a load, as a flow: what its replicas do every second, and nothing that a metric would not show.

No planner is asked: the figures are made up, and the same each time.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

Measure = Literal["ttft", "token", "whole", "queue"]
MEASURES: tuple[Measure, ...] = ("ttft", "token", "whole", "queue")

PROMPT, ANSWER = 1000, 200
"""Tokens of every request."""
CACHED = 300
"""Tokens of every prompt that the prefix cache has."""
KV_TOKENS = 48_000
"""Tokens that the KV cache of a replica holds: 40 requests."""
PREFILL_SECONDS = 0.2
SHARES = (0.55, 0.45)
"""What each replica gets of the load."""
# The middle of ten equal parts of a log-normal distribution whose 84th percentile is 1.3 times its median.
SPREAD = (0.65, 0.762, 0.838, 0.904, 0.968, 1.034, 1.106, 1.193, 1.312, 1.539)


@dataclass
class Replica:
    """One replica: what it does now, and what it has counted since its start."""

    share: float
    running: float = 0.0
    waiting: float = 0.0
    prompt_tokens: float = 0.0
    cached_tokens: float = 0.0
    answer_tokens: float = 0.0
    finished: float = 0.0
    preemptions: float = 0.0
    busy: float = 0.0
    observed: dict[Measure, list[tuple[float, float]]] = field(default_factory=lambda: {one: [] for one in MEASURES})
    """What was observed in this second: values, and how often each."""

    @property
    def kv_cache(self) -> float:
        """Share of the KV cache in use."""
        return min(1.0, self.running * (PROMPT + ANSWER) / KV_TOKENS)

    @property
    def token_seconds(self) -> float:
        """Time of a token with so many requests beside it."""
        return 0.02 + 0.0005 * self.running

    def second(self, arriving: float) -> None:
        """Let a second pass in which so many requests a second arrive at all replicas."""
        self.observed = {one: [] for one in MEASURES}
        most = KV_TOKENS / (PROMPT + ANSWER)
        whole = PREFILL_SECONDS + ANSWER * self.token_seconds
        ending = self.running / whole
        queued = self.waiting / ending if self.waiting and ending else 0.0
        self.waiting += arriving * self.share
        starting = min(self.waiting, max(0.0, most - self.running + ending))
        self.waiting -= starting
        self.running += starting - ending
        self.finished += ending
        # What is put back runs again at once: only the count shows it.
        self.preemptions += 0.1 if self.waiting > 1 and self.kv_cache > 0.99 else 0.0
        self.prompt_tokens += PROMPT * starting
        self.cached_tokens += CACHED * starting
        self.answer_tokens += self.running / self.token_seconds
        self.busy = min(1.0, self.running / 8)
        self._observe("queue", queued, starting)
        self._observe("ttft", queued + PREFILL_SECONDS, starting)
        self._observe("token", self.token_seconds, ending)
        self._observe("whole", queued + whole, ending)

    def _observe(self, measure: Measure, value: float, times: float) -> None:
        self.observed[measure] = [(value * one, times / len(SPREAD)) for one in SPREAD]


def passing(arrivals: Callable[[int], float], seconds: int) -> Iterator[tuple[Replica, ...]]:
    """The replicas after each second from 0 on; at 0 they have done nothing.

    Args:
        arrivals: requests a second at a second.
        seconds: how many there are.

    """
    replicas = tuple(Replica(share) for share in SHARES)
    yield replicas
    for second in range(seconds):
        for one in replicas:
            one.second(arrivals(second))
        yield replicas


MINUTE = 60
LENGTH = 240 * MINUTE
"""Seconds of the day below."""


def day(second: int) -> float:
    """Requests a second: an idle hour, a ramp, a plateau, a burst beyond what the replicas serve, and rest again."""
    minute = second / MINUTE
    if minute < 60:
        return 0.0
    if minute < 90:
        return 6.0 * (minute - 60) / 30
    if minute < 120:
        return 6.0
    if minute < 128:
        return 12.0
    return 4.0 if minute < 180 else 0.0
