"""Constant requests while the control plane takes pods away: none is lost by the plan's times, some without them."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest
from kubernetes.client.exceptions import ApiException

from gke_llm_inference.planning.plan import ServerPlan
from local.gke import LocalGke
from local.gke.simulation import Simulation, Start, simulation_of
from tests.cluster.follower import Follower
from tests.cluster.support import NAMESPACE, Cluster, Document, client, config_text, documents_of
from tests.drain.traffic import Clients
from tests.planning.support import QWEN, planned, standard_stack
from tests.support import Recordings

SPEED = 8.0
"""Slow enough for what the control plane itself takes: seconds of simulated time in one second."""
DELAY = 10.0
"""Simulated seconds until the proxy learns of an endpoint that is gone."""
SERVERS = [{"version": "0.26.0"}, {"version": "0.10.0"}, {"server": "tgi", "version": "3.3.7"}]
IDS = ["vLLM 0.26", "vLLM 0.10", "TGI 3.3"]

Scene = Callable[[Cluster, Recordings, Document], Awaitable[None]]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One cluster for all tests: each makes of the one server what it needs."""
    gke = LocalGke(tmp_path_factory.mktemp("drain") / "gke")
    try:
        gke.start("standard", speed=SPEED, progress=print)
        yield Cluster(gke)
    finally:
        gke.reset()


def stack(server: Document, replicas: int = 3, nodes: int = 4) -> Document:
    """Replicas on an L4 each whose answers have at most 128 tokens, and nodes that are there already."""
    one = {**QWEN, "maxModelLen": 4096, "maxOutputTokens": 128, "replicas": replicas, **server}
    raw = standard_stack({"l4": {"minNodes": nodes, "maxNodes": nodes}}, {"chat": one})
    return {**raw, "huggingFace": {"tokenSource": "existingSecret"}}


def deploy(cluster: Cluster, recordings: Recordings, raw: Document) -> ServerPlan:
    """The stack with servers that answer after 20 seconds of simulated time."""
    plan = planned(raw)
    cluster.gke.simulate_as(Simulation(simulation_of([plan]).pools, (Start(NAMESPACE, "chat", 0, 20, 600),)))
    for document in documents_of(recordings.config(config_text(raw))):
        cluster.apply(document)
    return plan.servers[0]


def is_updated(cluster: Cluster, server: ServerPlan) -> bool:
    """Whether all pods are those of the last update."""
    deployment = cluster.apps.read_namespaced_deployment("chat", NAMESPACE)
    status = deployment.status
    counts = {status.replicas, status.updated_replicas, status.ready_replicas}
    return bool(status.observed_generation == deployment.metadata.generation and counts == {server.replicas})


def under_load(
    cluster: Cluster, recordings: Recordings, raw: Document, scene: Scene, *, sleep: int | None = None
) -> Clients:
    """The clients after a scene, every request over; `sleep` in place of the planned one."""
    server = deploy(cluster, recordings, raw)
    cluster.wait(lambda: is_updated(cluster, server), "the server", 300)

    async def run() -> Clients:
        async with Follower(cluster, server, delay=DELAY, speed=SPEED, sleep=sleep) as follower:
            await follower.has_endpoints(server.replicas)
            longest = server.shutdown.longest.seconds
            lengths = [seconds / SPEED for seconds in (1, 5, longest, 12, 3)]
            async with Clients(follower.proxy, every=0.05, lengths=lengths) as clients:
                await asyncio.sleep(longest / SPEED)
                await scene(cluster, recordings, raw)
                # The proxy learns of the last change, and what was deleted ends.
                await asyncio.sleep(2 * DELAY / SPEED)
                await follower.all_ended()
            return clients

    return asyncio.run(run())


async def updated(cluster: Cluster, recordings: Recordings, raw: Document) -> None:
    """A rolling update of all pods."""
    server = deploy(cluster, recordings, {**raw, "servers": {"chat": {**raw["servers"]["chat"], "maxModelLen": 2048}}})
    await until(lambda: is_updated(cluster, server))


async def scaled_in(cluster: Cluster, recordings: Recordings, raw: Document) -> None:
    """One replica in place of three."""
    del recordings, raw
    cluster.apps.patch_namespaced_deployment_scale("chat", NAMESPACE, {"spec": {"replicas": 1}})
    await until(lambda: len(cluster.pods("chat")) == 1)


async def drained(cluster: Cluster, recordings: Recordings, raw: Document) -> None:
    """Every node that has a pod of the server is cordoned and drained, one after the other."""
    del recordings, raw
    for pod in cluster.pods("chat"):
        cluster.core.patch_node(pod.spec.node_name, {"spec": {"unschedulable": True}})
        await until(lambda: evicted(cluster, pod.metadata.name))  # noqa: B023 waited for here
        await until(lambda: cluster.ready("chat") == 3)
        cluster.core.patch_node(pod.spec.node_name, {"spec": {"unschedulable": None}})


def evicted(cluster: Cluster, name: str) -> bool:
    """Whether the budget let a pod go."""
    body = client.V1Eviction(metadata=client.V1ObjectMeta(name=name, namespace=NAMESPACE))
    try:
        cluster.core.create_namespaced_pod_eviction(name, NAMESPACE, body)
    except ApiException as error:
        if error.status != 429:
            raise
        return False
    return True


async def until(look: Callable[[], bool], timeout: float = 240) -> None:
    """Wait until it is so, while the clients go on."""
    ends = time.monotonic() + timeout
    while not await asyncio.to_thread(look):
        assert time.monotonic() < ends, "not within the time"
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("server", SERVERS, ids=IDS)
def test_an_update_loses_no_request(cluster: Cluster, recordings: Recordings, server: Document) -> None:
    clients = under_load(cluster, recordings, stack(server), updated)
    assert clients.errors == 0, clients.outcomes
    assert clients.outcomes["answered"] > 200


@pytest.mark.parametrize("scene", [scaled_in, drained])
def test_no_request_is_lost(cluster: Cluster, recordings: Recordings, scene: Scene) -> None:
    clients = under_load(cluster, recordings, stack(SERVERS[0]), scene)
    assert clients.errors == 0, clients.outcomes


def test_an_update_without_a_spare_gpu_loses_none_either(cluster: Cluster, recordings: Recordings) -> None:
    raw = stack(SERVERS[0], nodes=3)
    assert planned(raw).servers[0].rollout.max_surge == 0
    clients = under_load(cluster, recordings, raw, updated)
    assert clients.errors == 0, clients.outcomes


def test_a_sleep_below_the_delay_of_the_endpoints_loses_some(cluster: Cluster, recordings: Recordings) -> None:
    clients = under_load(cluster, recordings, stack(SERVERS[0]), updated, sleep=2)
    assert clients.outcomes["aborted"] + clients.outcomes["refused"] > 10
