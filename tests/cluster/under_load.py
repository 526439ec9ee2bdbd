"""A server of a control plane under constant requests, while something happens to its pods."""

import asyncio
import base64
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubernetes.client.exceptions import ApiException

from gke_llm_inference.planning.access.api_keys import secret_content
from gke_llm_inference.planning.plan import ServerPlan, StackPlan
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
EVERY = 0.05
"""Seconds between two requests."""


@dataclass(frozen=True)
class Load:
    """A server, what stands for its pods, and the clients.

    Attributes:
        cluster: where it runs.
        recordings: its stack, as the program makes it.
        raw: settings of its stack.
        follower: the stand-ins of its pods, and the proxy before them.
        clients: who sends requests.

    """

    cluster: Cluster
    recordings: Recordings
    raw: Document
    follower: Follower
    clients: Clients

    async def update(self, secrets: Mapping[str, Document] | None = None, **server: Any) -> None:
        """Deploy the server with other settings or Secrets, until all pods are those of the update."""
        raw = {**self.raw, "servers": {"chat": {**self.raw["servers"]["chat"], **server}}}
        plan = await asyncio.to_thread(deploy, self.cluster, self.recordings, raw, secrets)
        await until(lambda: is_updated(self.cluster, plan.name))


Scene = Callable[[Load], Awaitable[None]]


def stack(server: Document, replicas: int = 3, nodes: int = 4, *, token: str = "existingSecret") -> Document:
    """Replicas on an L4 each whose answers have at most 128 tokens, and nodes that are there already."""
    one = {**QWEN, "maxModelLen": 4096, "maxOutputTokens": 128, "replicas": replicas, **server}
    raw = standard_stack({"l4": {"minNodes": nodes, "maxNodes": nodes}}, {"chat": one})
    return {**raw, "huggingFace": {"tokenSource": token}}


def deploy(
    cluster: Cluster, recordings: Recordings, raw: Document, secrets: Mapping[str, Document] | None = None
) -> ServerPlan:
    """The stack with servers that answer after 20 seconds of simulated time, as the engine deploys it.

    Args:
        cluster: where to.
        recordings: the program's resources.
        raw: settings of the stack.
        secrets: what each Secret of the stack holds; pods carry the versions that these get.

    """
    plan = planned(raw)
    (server,) = plan.servers
    cluster.gke.simulate_as(Simulation(simulation_of([plan]).pools, starts(plan)))
    apply_all(cluster, documents_of(recordings.config(config_text(raw))), plan, secrets or {})
    return server


def starts(plan: StackPlan) -> tuple[Start, ...]:
    """Servers that answer after 20 seconds of simulated time."""
    return tuple(Start(NAMESPACE, server.name, 0, 20, 600) for server in plan.servers)


def apply_all(
    cluster: Cluster, documents: Iterable[Document], plan: StackPlan, secrets: Mapping[str, Document]
) -> None:
    """Apply the objects of a stack as the engine does; pods carry the versions that its Secrets get."""
    versions: dict[str, str] = {}
    servers = {server.name: server for server in plan.servers}
    for document in sorted(documents, key=lambda one: {"Namespace": 0, "Secret": 1}.get(one["kind"], 2)):
        name = document["metadata"]["name"]
        if document["kind"] == "Secret":
            document.pop("stringData", None)
            versions[name] = cluster.apply({**document, "data": encoded(secrets[name])})["metadata"]["resourceVersion"]
            continue
        if document["kind"] == "Deployment" and name in servers:
            for annotation, secret in annotated(servers[name]).items():
                if secret in versions:
                    annotations = document["spec"]["template"]["metadata"]["annotations"]
                    assert annotations[annotation] == ""
                    annotations[annotation] = versions[secret]
        cluster.apply(document)


def encoded(held: Mapping[str, str]) -> dict[str, str]:
    """The data of a Secret that holds such texts."""
    return {key: base64.b64encode(text.encode()).decode() for key, text in held.items()}


def annotated(server: ServerPlan) -> dict[str, str]:
    """Annotations with a Secret's version, and the Secret's name."""
    keys = {"llm-inference/api-keys-version": server.api_keys.secret_name} if server.api_keys else {}
    return {"llm-inference/token-version": server.secret_name, **keys}


def keys_in_secret(server: ServerPlan, keys: Sequence[str]) -> Document:
    """What the Secret with the API keys holds."""
    assert server.api_keys is not None
    # In one that Secret Manager fills, under its own name, is what somebody wrote there.
    several = server.api_keys.file is not None
    written = {server.api_keys.secret_key: json.dumps({"api-key": list(keys)}) if several else keys[0]}
    return {**secret_content(server.api_keys, keys), **written}


def is_updated(cluster: Cluster, server: str) -> bool:
    """Whether all pods that a server is to have are those of the last update, and ready."""
    deployment = cluster.apps.read_namespaced_deployment(server, NAMESPACE)
    status = deployment.status
    counts = {status.replicas, status.updated_replicas, status.ready_replicas}
    return bool(status.observed_generation == deployment.metadata.generation and counts == {deployment.spec.replicas})


def under_load(
    cluster: Cluster,
    recordings: Recordings,
    raw: Document,
    scene: Scene,
    *,
    sleep: int | None = None,
    secrets: Mapping[str, Document] | None = None,
    keys: Sequence[str | None] = (None,),
) -> Load:
    """The load after a scene, every request over; `sleep` in place of the planned one."""
    server = deploy(cluster, recordings, raw, secrets)
    cluster.wait(lambda: is_updated(cluster, server.name), "the server", 300)

    async def run() -> Load:
        async with Follower(cluster, server, delay=DELAY, speed=SPEED, sleep=sleep) as follower:
            await follower.has_endpoints(server.replicas)
            longest = server.shutdown.longest.seconds
            lengths = [seconds / SPEED for seconds in (1, 5, longest, 12, 3)]
            async with Clients(follower.proxy, every=EVERY, lengths=lengths, keys=keys) as clients:
                await asyncio.sleep(longest / SPEED)
                load = Load(cluster, recordings, raw, follower, clients)
                await scene(load)
                # The proxy learns of the last change, and what was deleted ends.
                await asyncio.sleep(2 * DELAY / SPEED)
                await follower.all_ended()
            return load

    return asyncio.run(run())


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
