"""Clients that never stop, and the proxy between them and the pods."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterable

from tests.drain.stand_in import AbortedError, CutError, RefusedError, StandIn


class Proxy:
    """Sends requests to the ready endpoints as it knows them: later than they are, like every load balancer."""

    def __init__(self, endpoints: Iterable[StandIn], delay: float) -> None:
        self._known = tuple(endpoints)
        self._delay = delay
        self._next = itertools.count()
        self._changes = itertools.count(1)
        self._latest = 0

    @property
    def endpoints(self) -> tuple[StandIn, ...]:
        """Where it sends requests now."""
        return self._known

    def follow(self, endpoints: Iterable[StandIn]) -> None:
        """The endpoints have changed; it learns of it after its delay."""
        asyncio.get_running_loop().call_later(self._delay, self._learn, next(self._changes), tuple(endpoints))

    def _learn(self, change: int, endpoints: tuple[StandIn, ...]) -> None:
        if change > self._latest:
            self._latest, self._known = change, endpoints

    async def send(self, seconds: float) -> None:
        """One request, in turn to each endpoint; without any it waits for one, as a queue in front would."""
        while not self._known:
            await asyncio.sleep(0.1)
        await self._known[next(self._next) % len(self._known)].answer(seconds)


class Clients:
    """Requests at an even rate, with answers of given lengths in turn, and what became of them."""

    def __init__(self, proxy: Proxy, *, every: float, lengths: Iterable[float]) -> None:
        self._proxy, self._every = proxy, every
        self._lengths = itertools.cycle(lengths)
        self._requests: set[asyncio.Task[None]] = set()
        self._ends = asyncio.Event()
        self.outcomes: Counter[str] = Counter()

    async def __aenter__(self) -> "Clients":
        self._sender = asyncio.ensure_future(self._send())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ends.set()
        await self._sender
        if self._requests:
            await asyncio.wait(self._requests)

    @property
    def errors(self) -> int:
        """Requests that a client saw fail."""
        return self.outcomes.total() - self.outcomes["answered"]

    async def _send(self) -> None:
        while not self._ends.is_set():
            task = asyncio.ensure_future(self._one(next(self._lengths)))
            self._requests.add(task)
            task.add_done_callback(self._requests.discard)
            await asyncio.sleep(self._every)

    async def _one(self, seconds: float) -> None:
        try:
            await self._proxy.send(seconds)
        except RefusedError:
            self.outcomes["refused"] += 1
        except AbortedError:
            self.outcomes["aborted"] += 1
        except CutError:
            self.outcomes["cut"] += 1
        else:
            self.outcomes["answered"] += 1
