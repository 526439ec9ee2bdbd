"""A queue of requests before pods that answer some at a time: what their metrics say at a moment."""

from collections.abc import Iterable
from dataclasses import dataclass, field

_STEP_SECONDS = 1.0


@dataclass
class QueueOfPods:
    """Requests come at a rate, in turn to each ready pod, and wait there, as they do in an inference server.

    A fluid, not single requests: the same times give the same numbers.

    Attributes:
        answer_seconds: what an answer takes.
        concurrency: answers that a pod works on at a time.
        rate: requests in a second, from now on.
        load: requests of each pod, running and waiting.

    """

    answer_seconds: float
    concurrency: int
    rate: float = 0.0
    load: dict[str, float] = field(default_factory=dict)
    _now: float = 0.0

    @property
    def capacity(self) -> float:
        """Requests in a second that one pod answers."""
        return self.concurrency / self.answer_seconds

    def advance(self, now: float, ready: Iterable[str]) -> None:
        """Let time go by until `now`, with these pods ready all the while; what a pod had that is gone is gone."""
        self.load = {pod: self.load.get(pod, 0.0) for pod in sorted(ready)}
        while self._now < now:
            step = min(_STEP_SECONDS, now - self._now)
            self._now += step
            for pod, requests in self.load.items():
                come = self.rate / len(self.load)
                go = min(requests, self.concurrency) / self.answer_seconds
                self.load[pod] = requests + (come - go) * step

    def running(self) -> dict[str, float]:
        """Answers that each pod works on."""
        return {pod: min(requests, self.concurrency) for pod, requests in self.load.items()}

    def waiting(self) -> dict[str, float]:
        """Requests that wait in each pod."""
        return {pod: max(0.0, requests - self.concurrency) for pod, requests in self.load.items()}
