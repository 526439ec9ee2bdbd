"""The example of production on a real control plane: what customers see of changes, and of a machine that is gone."""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from gke_llm_inference.planning.plan import ClusterProfile, StackPlan
from local.gke import LocalGke
from local.gke.nodes import MANAGED
from tests.cluster.support import NAMESPACE, Cluster, Document, documents_of
from tests.cluster.under_load import SPEED, encoded, evicted, keys_in_secret, until
from tests.cluster.whole_stack import DELAY, Asked, WholeStack, deployed, under_load
from tests.drain.losses import GONE_NOTICES
from tests.planning.support import planned
from tests.support import PROJECT, REPOSITORY, Recordings

MODES = os.environ.get("PRODUCTION_MODES", "standard autopilot").split()
OLD, NEW = "oldPlantedPlantedPlanted", "newPlantedPlantedPlanted"
CALM = {"chat": 0.4, "code": 0.3}
"""Seconds between two requests that two replicas answer without an autoscaler's help."""
CROWDED = {"chat": 0.1, "code": 0.04}
"""The same of requests for which four are not too many."""
NOTICED = GONE_NOTICES["a load balancer, by its health checks"]


@dataclass
class Version:
    """The example's stack file with other settings of its servers."""

    documents: list[Document]
    plan: StackPlan

    @classmethod
    def of(cls, recordings: Recordings, mode: str, servers: dict[str, Document]) -> "Version":
        """What the file makes with these settings over its own."""
        content = yaml.safe_load((REPOSITORY / f"examples/production/Pulumi.{mode}.yaml").read_text("utf-8"))
        config: dict[str, Any] = content["config"]
        for name, changes in servers.items():
            config[f"{PROJECT}:servers"][name].update(changes)
        prefix = f"{PROJECT}:"
        raw = {key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)}
        return cls(documents_of(recordings.config(yaml.safe_dump(content))), planned(raw))

    def secrets(self, chat: list[str], code: str) -> dict[str, Document]:
        """What the Secrets with the keys hold."""
        keys = {"chat": chat, "code": [code]}
        return {
            server.api_keys.secret_name: keys_in_secret(server, keys[server.name])
            for server in self.plan.servers
            if server.api_keys is not None
        }


@dataclass
class Production:
    """What happens to the example, and what clients have seen go wrong after each part of it."""

    versions: dict[str, Version]
    mode: str
    seen: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    lost: dict[str, float] = field(default_factory=dict)

    async def all_of_it(self, stack: WholeStack) -> None:
        """One after the other, while requests come."""
        for scene in (self.rollout, self.drain, self.keys, self.scale_out, self.lost_machine):
            await scene(stack)
            self.seen[scene.__name__] = stack.outcomes()

    async def rollout(self, stack: WholeStack) -> None:
        """Both servers get another context."""
        new = self.versions["rollout"]
        await stack.apply(new.documents, new.plan, new.secrets([OLD], OLD))

    async def drain(self, stack: WholeStack) -> None:
        """Every node that has a pod of a server is cordoned and drained, one after the other."""
        cluster = stack.cluster
        for name, pods in [(name, cluster.pods(name)) for name in stack.reached]:
            for pod in pods:
                cluster.core.patch_node(pod.spec.node_name, {"spec": {"unschedulable": True}})
                await until(lambda: evicted(cluster, pod.metadata.name))  # noqa: B023 waited for here
                await until(lambda: cluster.ready(name) == len(pods))  # noqa: B023 waited for here
                cluster.core.patch_node(pod.spec.node_name, {"spec": {"unschedulable": None}})

    async def keys(self, stack: WholeStack) -> None:
        """Two steps for the server that reads two keys, one for the other one, whose clients have both."""
        for step, chat in (("both keys", [NEW, OLD]), ("new key", [NEW])):
            new = self.versions[step]
            secrets = new.secrets(chat, NEW)
            if self.mode == "autopilot":
                await asyncio.to_thread(copied, stack.cluster, secrets)
                await restarted(stack, step)
            else:
                await stack.apply(new.documents, new.plan, secrets)
            # Who sends requests to a pod of the old key alone must not use the new one yet.
            await asyncio.sleep(2 * DELAY / SPEED)
            stack.reached["chat"].clients.keys = [NEW]

    async def scale_out(self, stack: WholeStack) -> None:
        """More requests than two replicas answer."""
        for name, every in CROWDED.items():
            stack.reached[name].clients.every = every
        for name, one in stack.reached.items():
            await until(lambda: stack.cluster.ready(name) == 4)  # noqa: B023 waited for here
            await one.follower.has_endpoints(4)

    async def lost_machine(self, stack: WholeStack) -> None:
        """The machine of one of four replicas, the busiest of them, is gone at once."""
        follower = stack.reached["chat"].follower
        pod = max(stack.cluster.pods("chat"), key=lambda one: follower.servers[one.metadata.uid].running)
        gone = follower.servers[pod.metadata.uid]
        self.lost["running"] = gone.running
        gone.kill()
        stack.cluster.core.patch_node(pod.spec.node_name, {"metadata": {"labels": {MANAGED: None}}})
        await until(lambda: gone not in follower.proxy.endpoints)


def copied(cluster: Cluster, secrets: dict[str, Document]) -> None:
    """What GKE copies from Secret Manager."""
    for name, held in secrets.items():
        metadata = {"name": name, "namespace": NAMESPACE}
        cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": encoded(held)})


async def restarted(stack: WholeStack, why: str) -> None:
    """`kubectl rollout restart` of every server."""
    metadata = {"annotations": {"kubectl.kubernetes.io/restartedAt": why}}
    for name in stack.reached:
        body = {"spec": {"template": {"metadata": metadata}}}
        stack.cluster.apps.patch_namespaced_deployment(name, NAMESPACE, body)
    await stack.is_updated()


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def cluster(tmp_path: Path, mode: ClusterProfile) -> Iterator[Cluster]:
    gke = LocalGke(tmp_path / "gke")
    try:
        gke.start(mode, speed=SPEED, progress=print)
        yield Cluster(gke)
    finally:
        gke.reset()


def test_changes_cost_clients_nothing_and_a_lost_machine_what_the_docs_say(
    cluster: Cluster, mode: str, recordings: Recordings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    new = {"chat": {"maxModelLen": 8192}, "code": {"maxModelLen": 16384}}
    changes: dict[str, dict[str, Document]] = {"as it is": {}, "rollout": new, "both keys": new, "new key": new}
    if mode == "standard":
        keys = {"both keys": ["apiKeyChat2", "apiKeyChat"], "new key": ["apiKeyChat2"]}
        for step, names in keys.items():
            changes[step] = {**new, "chat": {**new["chat"], "apiKeys": {"source": "config", "keys": names}}}
    versions = {step: Version.of(recordings, mode, servers) for step, servers in changes.items()}
    first = versions["as it is"]
    secrets = first.secrets([OLD], OLD)
    production = Production(versions, mode)
    with deployed(cluster, first.documents, first.plan, secrets, tmp_path_factory.mktemp("adapter")) as reached:
        copied(cluster, {name: held for name, held in secrets.items() if mode == "autopilot"})
        asked = {"chat": Asked(CALM["chat"], [OLD]), "code": Asked(CALM["code"], [OLD, NEW], 5)}
        stack = under_load(cluster, first.plan, reached, asked, production.all_of_it)
    before = {scene: seen for scene, seen in production.seen.items() if scene != "lost_machine"}
    assert before == {scene: {"chat": {}, "code": {}} for scene in before}
    for one in stack.reached.values():
        assert one.clients.outcomes["answered"] > 200
    read = {name: list(one.follower.keys.values()) for name, one in stack.reached.items()}
    # Two pods as they are, after the rollout and after the drain; two in each step of a change; two more to scale out.
    assert read["chat"] == [{OLD}] * 6 + [{NEW, OLD}] * 2 + [{NEW}] * 4
    assert read["code"][:6] == [{OLD}] * 6
    assert {frozenset(one) for one in read["code"][6:]} == {frozenset({NEW})}
    assert stack.reached["code"].clients.tried[2] > 10
    lost = stack.outcomes()
    assert lost["code"] == {}
    assert production.lost["running"] > 0
    assert lost["chat"].pop("cut") == production.lost["running"]
    # A quarter of the requests goes there until the load balancer has noticed.
    assert lost["chat"].pop("refused", 0) <= NOTICED / SPEED / CROWDED["chat"] / 4 + 1
    assert lost["chat"] == {}
