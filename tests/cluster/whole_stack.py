"""A stack of several servers as its file has it, each behind a load balancer, under requests that scale it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gke_llm_inference.planning.plan import StackPlan
from local.gke.pools import Pool
from local.gke.simulation import SYSTEM_POOL, Simulation, simulation_of
from tests.cluster.autoscaled import shortened
from tests.cluster.follower import Follower
from tests.cluster.metrics_api import MetricsApi, served
from tests.cluster.support import Cluster, Document
from tests.cluster.under_load import SPEED, apply_all, is_updated, starts, until
from tests.drain.traffic import Clients, HealthChecks

DELAY = 22.0
"""Simulated seconds until a load balancer learns of an endpoint that is gone. The plan counts with 30; what is left, a
second of this machine's, is for the control plane itself."""


@dataclass(frozen=True)
class Asked:
    """How the clients of a server ask it.

    Attributes:
        every: seconds between two requests.
        keys: the keys that they have.
        tries: how many times they send a request that gets 401.

    """

    every: float
    keys: Sequence[str]
    tries: int = 1


@dataclass(frozen=True)
class Reached:
    """A server: what stands for its pods, the load balancer before them, and the clients."""

    follower: Follower
    clients: Clients

    def loads(self, holds: int) -> dict[str, dict[str, float]]:
        """What each pod says of its requests, of which it answers so many at once."""
        follower = self.follower
        load = {follower.names[uid]: float(follower.servers[uid].running) for uid in follower.ready}
        return {
            "running": {pod: min(requests, holds) for pod, requests in load.items()},
            "waiting": {pod: max(0.0, requests - holds) for pod, requests in load.items()},
        }


@dataclass(frozen=True)
class WholeStack:
    """A stack that runs.

    Attributes:
        cluster: where.
        plan: its plan.
        reached: its servers, by name.

    """

    cluster: Cluster
    plan: StackPlan
    reached: Mapping[str, Reached]

    async def apply(self, documents: Sequence[Document], plan: StackPlan, secrets: Mapping[str, Document]) -> None:
        """Update the stack, until all pods are those of the update."""
        await asyncio.to_thread(apply_all, self.cluster, _for_here(documents), plan, secrets)
        await self.is_updated()

    async def is_updated(self) -> None:
        """Wait until all pods of all servers are as they should be."""
        for name in self.reached:
            await until(lambda: is_updated(self.cluster, name))  # noqa: B023 waited for here

    def outcomes(self) -> dict[str, dict[str, int]]:
        """What has become of the requests to each server so far, answers aside."""
        return {
            name: {what: count for what, count in sorted(one.clients.outcomes.items()) if what != "answered"}
            for name, one in self.reached.items()
        }


Scene = Callable[[WholeStack], Awaitable[None]]


@contextmanager
def deployed(
    cluster: Cluster, documents: Sequence[Document], plan: StackPlan, secrets: Mapping[str, Document], directory: Path
) -> Iterator[dict[str, Reached]]:
    """A stack whose objects are all applied, on nodes that are there already, and the metrics that scale its servers.

    The metrics are those of the stand-ins which the caller adds by name to what this yields.
    """
    simulation = simulation_of([plan])
    pools = tuple(pool if pool.name == SYSTEM_POOL else _with_nodes(pool, plan) for pool in simulation.pools)
    cluster.gke.simulate_as(Simulation(pools, starts(plan)))
    apply_all(cluster, documents, plan, secrets)
    for document in documents:
        # No network is simulated: what stands for the adapter takes its place.
        if document["kind"] == "APIService":
            cluster.delete(document)
    apply_all(cluster, [one for one in _for_here(documents) if one["kind"] == "HorizontalPodAutoscaler"], plan, {})
    for document in documents:
        if document["kind"] == "Deployment":
            cluster.wait(lambda: _is_there(cluster, document), f"{document['metadata']['name']} is ready")  # noqa: B023
    reached: dict[str, Reached] = {}
    metrics = _metrics(documents, plan)

    def of_pods(metric: str) -> dict[str, float] | None:
        if metric not in metrics:
            return None
        server, signal, holds = metrics[metric]
        return reached[server].loads(holds)[signal] if server in reached else {}

    with served(cluster, MetricsApi(of_pods), directory):
        yield reached


def under_load(
    cluster: Cluster, plan: StackPlan, reached: dict[str, Reached], asked: Mapping[str, Asked], scene: Scene
) -> WholeStack:
    """The stack after a scene, with every request over."""
    stack = WholeStack(cluster, plan, reached)

    async def run() -> None:
        async with AsyncExitStack() as context:
            for server in plan.servers:
                assert server.autoscaling is not None
                checks = HealthChecks(5 / SPEED, 5 / SPEED, 2)
                follower = Follower(cluster, server, delay=DELAY, speed=SPEED, checks=checks)
                await context.enter_async_context(follower)
                await follower.has_endpoints(server.autoscaling.min_replicas)
                lengths = [seconds / SPEED for seconds in (1, 5, server.shutdown.longest.seconds, 12, 3)]
                one = asked[server.name]
                clients = Clients(follower.proxy, every=one.every, lengths=lengths, keys=one.keys, tries=one.tries)
                await context.enter_async_context(clients)
                reached[server.name] = Reached(follower, clients)
            await scene(stack)
            # The load balancers learn of the last change, and what was deleted ends.
            await asyncio.sleep(2 * DELAY / SPEED)
            for server in plan.servers:
                await reached[server.name].follower.all_ended()

    asyncio.run(run())
    return stack


def _with_nodes(pool: Pool, plan: StackPlan) -> Pool:
    """A pool that has all of its nodes, one for each pod at its most and a spare one."""
    nodes = min(pool.max_nodes, sum(server.replicas for server in plan.servers) + 1)
    return replace(pool, min_nodes=nodes, max_nodes=nodes)


def _for_here(documents: Sequence[Document]) -> list[Document]:
    """Objects as an update brings them: autoscalers in simulated time, and without what leads to the adapter."""
    return [
        {**one, "spec": shortened(one["spec"], SPEED)} if one["kind"] == "HorizontalPodAutoscaler" else one
        for one in documents
        if one["kind"] != "APIService"
    ]


def _is_there(cluster: Cluster, document: Document) -> bool:
    metadata = document["metadata"]
    status = cluster.apps.read_namespaced_deployment_status(metadata["name"], metadata["namespace"]).status
    return bool(status.ready_replicas)


def _metrics(documents: Sequence[Document], plan: StackPlan) -> dict[str, tuple[str, str, int]]:
    """The server and the signal that each metric of an autoscaler stands for, and what a pod of the server holds."""
    found: dict[str, tuple[str, str, int]] = {}
    autoscalers: dict[str, Any] = {
        one["metadata"]["name"]: one["spec"] for one in documents if one["kind"] == "HorizontalPodAutoscaler"
    }
    for server in plan.servers:
        assert server.autoscaling is not None
        names = [one["pods"]["metric"]["name"] for one in autoscalers[server.name]["metrics"]]
        for name, signal in zip(names, server.autoscaling.signals, strict=True):
            found[name] = (server.name, signal.name, server.autoscaling.holds)
    return found
