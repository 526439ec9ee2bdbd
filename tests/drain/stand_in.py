"""A stand-in for an inference server: it answers, and ends as the real one of that version does."""

import asyncio
import contextlib
from collections.abc import Iterable

from gke_llm_inference.planning import ShutdownPlan
from gke_llm_inference.planning.plan import AfterSignal


class RefusedError(Exception):
    """Nothing listens any more: the client cannot connect."""


class AbortedError(Exception):
    """The server takes the request and aborts it, as it is about to end."""


class CutError(Exception):
    """The connection breaks while the answer comes."""


class UnauthorizedError(Exception):
    """The server does not know the request's key; it answers so before it does anything else."""


class StandIn:
    """A server of one pod.

    After SIGTERM one that waits keeps its port and its health as they were, lets running answers end within its timeout
    and aborts new ones, as vLLM does from 0.18 on (`_reject_add_in_shutdown` in vllm/v1/engine/core.py); one that cuts
    ends at once, as older ones do; one that never gets the signal goes on.

    It knows the keys that were there when it started, and no later ones: vLLM reads its configuration file once, as it
    reads its arguments, and a variable of the environment stays what it was.
    """

    def __init__(self, after: AfterSignal, timeout: float, keys: Iterable[str] = ()) -> None:
        self._after, self._timeout = after, timeout
        self._keys = frozenset(keys)
        self._running = 0
        self._drains = False
        self._gone = asyncio.Event()
        self._idle = asyncio.Event()

    @property
    def running(self) -> int:
        """Answers that are under way."""
        return self._running

    @property
    def is_healthy(self) -> bool:
        """What `/health` says: it does not turn while the server drains."""
        return not self._gone.is_set()

    async def answer(self, seconds: float, key: str | None = None) -> None:
        """An answer that takes so long, to a request with a key or without.

        Raises:
            RefusedError: the server is gone.
            UnauthorizedError: it does not know the key, and has some.
            AbortedError: it drains.
            CutError: it ended while the answer came.

        """
        if self._gone.is_set():
            raise RefusedError
        if self._keys and key not in self._keys:
            raise UnauthorizedError
        if self._drains:
            raise AbortedError
        self._running += 1
        try:
            await asyncio.wait_for(self._gone.wait(), seconds)
        except TimeoutError:
            return
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()
        raise CutError

    async def terminate(self) -> None:
        """SIGTERM: returns when the server has ended, or does not care."""
        if self._after == "ignores":
            return
        if self._after == "waits" and self._running:
            self._drains = True
            self._idle.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), self._timeout)
        self.kill()

    def kill(self) -> None:
        """SIGKILL, or the machine is gone."""
        self._gone.set()


def stand_in(plan: ShutdownPlan, speed: float = 1.0, keys: Iterable[str] = ()) -> StandIn:
    """The server of a pod that ends by a plan."""
    return StandIn(plan.after, plan.timeout_seconds / speed, keys)


async def end(server: StandIn, plan: ShutdownPlan, *, at_most: float | None = None, speed: float = 1.0) -> None:
    """What the kubelet does with a pod that is deleted: preStop, SIGTERM, and SIGKILL when its grace is over.

    Args:
        server: the server of the pod.
        plan: how the pod ends.
        at_most: seconds after which the machine is gone; as long as the pod needs if None.
        speed: simulated seconds in one of the loop's.

    """
    grace = plan.grace_seconds if at_most is None else min(plan.grace_seconds, at_most)

    async def orderly() -> None:
        await asyncio.sleep(plan.sleep_seconds / speed)
        await server.terminate()
        await server_is_gone(server)

    try:
        await asyncio.wait_for(orderly(), grace / speed)
    except TimeoutError:
        server.kill()


async def server_is_gone(server: StandIn) -> None:
    """Wait until a server has ended."""
    while server.is_healthy:
        await asyncio.sleep(0.05)
