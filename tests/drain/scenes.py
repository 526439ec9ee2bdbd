"""What happens to the pods of a server: an update, fewer replicas, a drained node, a machine that is gone."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field

from gke_llm_inference.planning import ServerPlan, ShutdownPlan
from tests.drain.stand_in import StandIn, end, stand_in
from tests.drain.traffic import Clients, Proxy

EVERY = 0.5
"""Seconds between two requests."""
DELAYS = {"service": 12.0, "gateway": 28.0}
"""Seconds until a proxy learns of an endpoint that is gone: a bit less than the catalog counts with."""


@dataclass
class Stack:
    """The pods of a server, the proxy in front of them, and how a pod ends."""

    plan: ShutdownPlan
    proxy: Proxy
    pods: list[StandIn]
    ending: list[asyncio.Task[None]] = field(default_factory=list)

    @classmethod
    def of(cls, plan: ShutdownPlan, replicas: int, delay: float) -> "Stack":
        """So many ready pods."""
        pods = [stand_in(plan) for _ in range(replicas)]
        return cls(plan, Proxy(pods, delay), pods)

    def add(self) -> None:
        """A new pod is ready."""
        self.pods.append(stand_in(self.plan))
        self.proxy.follow(self.pods)

    def delete(self, pod: StandIn, *, at_most: float | None = None) -> asyncio.Task[None]:
        """A pod is deleted: it leaves the endpoints and begins to end."""
        self.pods.remove(pod)
        self.proxy.follow(self.pods)
        task = asyncio.ensure_future(end(pod, self.plan, at_most=at_most))
        self.ending.append(task)
        return task

    def lose(self, pod: StandIn) -> int:
        """A pod's machine is gone, and nobody has noticed yet; the answers that ran on it."""
        running = pod.running
        pod.kill()
        return running


async def rolling_update(stack: Stack, plan: ServerPlan, start: float) -> None:
    """Every pod is replaced as the plan's rollout says: first the new one, or first the old one."""
    for pod in tuple(stack.pods):
        if plan.rollout.max_surge:
            await asyncio.sleep(start)
            stack.add()
            stack.delete(pod)
        else:
            await stack.delete(pod)
            await asyncio.sleep(start)
            stack.add()
            # The proxy must know the new pod before the next old one goes.
            await asyncio.sleep(DELAYS["service"])
    await asyncio.gather(*stack.ending)


async def scale_in(stack: Stack, to: int) -> None:
    """Fewer replicas: the pods that are too many are deleted together."""
    await asyncio.gather(*(stack.delete(pod) for pod in stack.pods[to:]))


async def node_drain(stack: Stack, start: float) -> None:
    """Nodes are drained one after the other; the budget lets the next pod go when the last one's successor is ready."""
    for pod in tuple(stack.pods):
        await stack.delete(pod)
        await asyncio.sleep(start)
        stack.add()
        await asyncio.sleep(DELAYS["service"])


async def under_load(stack: Stack, scene: Awaitable[None], lengths: Sequence[float]) -> Clients:
    """The clients after a scene that began while answers of such lengths ran, with every request over."""
    async with Clients(stack.proxy, every=EVERY, lengths=lengths) as clients:
        await asyncio.sleep(max(lengths))
        await scene
        await asyncio.sleep(stack.plan.grace_seconds)
    return clients
