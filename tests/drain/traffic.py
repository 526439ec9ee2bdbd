"""Clients that never stop, and the proxy between them and the pods."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.drain.stand_in import AbortedError, CutError, RefusedError, StandIn, UnauthorizedError


@dataclass(frozen=True)
class HealthChecks:
    """How a load balancer asks endpoints whether they are well.

    Attributes:
        interval: seconds from one check to the next.
        timeout: seconds after which a machine that is gone has failed one.
        failures: failed checks in a row after which an endpoint gets no requests.

    """

    interval: float
    timeout: float
    failures: int


class Proxy:
    """Sends requests to the ready endpoints as it knows them: later than they are, like every load balancer."""

    def __init__(self, endpoints: Iterable[StandIn], delay: float) -> None:
        self._known = tuple(endpoints)
        self._delay = delay
        self._failed: Counter[StandIn] = Counter()
        self._unwell: set[StandIn] = set()
        self._next = itertools.count()
        self._changes = itertools.count(1)
        self._latest = 0

    @property
    def endpoints(self) -> tuple[StandIn, ...]:
        """Where it sends requests now."""
        return tuple(one for one in self._known if one not in self._unwell)

    def follow(self, endpoints: Iterable[StandIn], ago: float = 0.0) -> None:
        """The endpoints have changed, so many seconds ago; it learns of it its delay after that."""
        delay = max(0.0, self._delay - ago)
        asyncio.get_running_loop().call_later(delay, self._learn, next(self._changes), tuple(endpoints))

    def _learn(self, change: int, endpoints: tuple[StandIn, ...]) -> None:
        if change > self._latest:
            self._latest, self._known = change, endpoints

    async def check(self, checks: HealthChecks) -> None:
        """Ask the endpoints whether they are well, until this is canceled."""
        loop = asyncio.get_running_loop()
        while True:
            for one in self._known:
                self._failed[one] = 0 if one.is_healthy else self._failed[one] + 1
                if self._failed[one] == checks.failures:
                    loop.call_later(checks.timeout, self._unwell.add, one)
            await asyncio.sleep(checks.interval)

    async def pick(self) -> StandIn:
        """Where the next request goes, each endpoint in turn; it waits for one, as a queue in front would."""
        while not (endpoints := self.endpoints):
            await asyncio.sleep(0.1)
        return endpoints[next(self._next) % len(endpoints)]


class Clients:
    """Requests at an even rate, with answers of given lengths in turn, and what became of them.

    Attributes:
        every: seconds between two requests, from now on.
        keys: the keys that they have, the one that they try first in front. After a 401 they try the other one twice,
            then the first one twice, and so on: each try may reach another pod, and pods whose turn it is may know
            the one key and the other in turn.
        tries: how many times a request is sent at most while it gets 401.
        keeps_pod: whether tries go over one connection that leads to one pod, as that of a Service does.
        outcomes: requests by what became of them.
        tried: answered requests by how often they were sent.

    """

    def __init__(
        self,
        proxy: Proxy,
        *,
        every: float,
        lengths: Iterable[float],
        keys: Sequence[str | None] = (None,),
        tries: int = 1,
        keeps_pod: bool = False,
    ) -> None:
        self._proxy, self.every = proxy, every
        self.keys, self.tries, self.keeps_pod = keys, tries, keeps_pod
        self._lengths = itertools.cycle(lengths)
        self._requests: set[asyncio.Task[None]] = set()
        self._ends = asyncio.Event()
        self.outcomes: Counter[str] = Counter()
        self.tried: Counter[int] = Counter()

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
            await asyncio.sleep(self.every)

    async def _one(self, seconds: float) -> None:
        try:
            await self._accepted(seconds)
        except UnauthorizedError:
            self.outcomes["unauthorized"] += 1
        except RefusedError:
            self.outcomes["refused"] += 1
        except AbortedError:
            self.outcomes["aborted"] += 1
        except CutError:
            self.outcomes["cut"] += 1
        else:
            self.outcomes["answered"] += 1

    async def _accepted(self, seconds: float) -> None:
        """Send a request until a pod knows its key."""
        pod = await self._proxy.pick()
        for number in range(self.tries):
            if number and not self.keeps_pod:
                pod = await self._proxy.pick()
            try:
                await pod.answer(seconds, self.keys[(number + 1) // 2 % len(self.keys)])
            except UnauthorizedError:
                continue
            self.tried[number + 1] += 1
            return
        raise UnauthorizedError
