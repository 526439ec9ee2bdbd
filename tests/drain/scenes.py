"""What happens to the pods of a server: an update, fewer replicas, a drained node, a machine that is gone."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
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
    keys: tuple[str, ...] = ()
    """What the Secret holds: pods that start from now on know these keys."""
    ending: list[asyncio.Task[None]] = field(default_factory=list)

    @classmethod
    def of(cls, plan: ShutdownPlan, replicas: int, delay: float, keys: tuple[str, ...] = ()) -> "Stack":
        """So many ready pods."""
        pods = [stand_in(plan, keys=keys) for _ in range(replicas)]
        return cls(plan, Proxy(pods, delay), pods, keys)

    def add(self) -> None:
        """A new pod is ready."""
        self.pods.append(stand_in(self.plan, keys=self.keys))
        self.proxy.follow(self.pods)

    def delete(self, pod: StandIn, *, at_most: float | None = None) -> asyncio.Task[None]:
        """A pod is deleted: it leaves the endpoints and begins to end."""
        self.pods.remove(pod)
        self.proxy.follow(self.pods)
        task = asyncio.ensure_future(end(pod, self.plan, at_most=at_most))
        self.ending.append(task)
        return task

    def reclaim(self, pod: StandIn, *, seconds: float, noticed: float) -> None:
        """Google takes the machine of a pod back, whose kubelet ends it in the seconds that are left.

        Nobody deletes the pod: it leaves the endpoints when its node's condition is noticed.
        """
        self.pods.remove(pod)
        asyncio.get_running_loop().call_later(noticed, self.proxy.follow, tuple(self.pods))
        self.ending.append(asyncio.ensure_future(end(pod, self.plan, at_most=seconds)))

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


async def new_keys(stack: Stack, plan: ServerPlan, keys: tuple[str, ...], start: float) -> None:
    """The Secret gets other keys; pods that read them take the place of those that did not."""
    stack.keys = keys
    await rolling_update(stack, plan, start)


async def under_load(
    stack: Stack,
    scene: Callable[[Clients], Awaitable[None]] | Awaitable[None],
    lengths: Sequence[float],
    *,
    keys: Sequence[str | None] = (None,),
    tries: int = 1,
    keeps_pod: bool = False,
) -> Clients:
    """The clients after a scene that began while answers of such lengths ran, with every request over."""
    async with Clients(
        stack.proxy, every=EVERY, lengths=lengths, keys=keys, tries=tries, keeps_pod=keeps_pod
    ) as clients:
        await asyncio.sleep(max(lengths))
        await (scene(clients) if callable(scene) else scene)
        await asyncio.sleep(stack.plan.grace_seconds)
    return clients
