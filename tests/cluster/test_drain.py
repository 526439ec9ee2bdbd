"""Constant requests while the control plane takes pods away: none is lost by the plan's times, some without them.

Drained nodes, and a key of a server that takes one, are in test_production.py.
"""

import asyncio
import time
from collections.abc import Iterator

import pytest

from local.gke import LocalGke
from local.gke.nodes import MANAGED
from tests.cluster.support import NAMESPACE, Cluster, Document
from tests.cluster.under_load import (
    DELAY,
    EVERY,
    SPEED,
    Load,
    keys_in_secret,
    stack,
    under_load,
    until,
)
from tests.planning.support import planned
from tests.support import Recordings

SERVERS = [{"version": "0.26.0"}, {"version": "0.10.0"}, {"server": "tgi", "version": "3.3.7"}]
IDS = ["vLLM 0.26", "vLLM 0.10", "TGI 3.3"]
OLD, NEW = "oldPlantedPlantedPlanted", "newPlantedPlantedPlanted"
TOKENS = ("hf_plantedPlantedPlanted1", "hf_plantedPlantedPlanted2")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One cluster for all tests: each makes of the one server what it needs."""
    gke = LocalGke(tmp_path_factory.mktemp("drain") / "gke")
    try:
        gke.start("standard", speed=SPEED, progress=print)
        yield Cluster(gke)
    finally:
        gke.reset()


async def updated(load: Load) -> None:
    """A rolling update of all pods."""
    await load.update(maxModelLen=2048)


async def scaled_in(load: Load) -> None:
    """One replica in place of three."""
    cluster = load.cluster
    cluster.apps.patch_namespaced_deployment_scale("chat", NAMESPACE, {"spec": {"replicas": 1}})
    await until(lambda: len(cluster.pods("chat")) == 1)


@pytest.mark.parametrize("server", SERVERS, ids=IDS)
def test_an_update_loses_no_request(cluster: Cluster, recordings: Recordings, server: Document) -> None:
    clients = under_load(cluster, recordings, stack(server, 2, 3), updated).clients
    assert clients.errors == 0, clients.outcomes
    assert clients.outcomes["answered"] > 200


def test_fewer_replicas_lose_no_request(cluster: Cluster, recordings: Recordings) -> None:
    clients = under_load(cluster, recordings, stack(SERVERS[0]), scaled_in).clients
    assert clients.errors == 0, clients.outcomes


def test_an_update_without_a_spare_gpu_loses_none_either(cluster: Cluster, recordings: Recordings) -> None:
    raw = stack(SERVERS[0], nodes=3)
    assert planned(raw).servers[0].rollout.max_surge == 0
    clients = under_load(cluster, recordings, raw, updated).clients
    assert clients.errors == 0, clients.outcomes


def test_a_sleep_below_the_delay_of_the_endpoints_loses_some(cluster: Cluster, recordings: Recordings) -> None:
    clients = under_load(cluster, recordings, stack(SERVERS[0], 2, 3), updated, sleep=2).clients
    assert clients.outcomes["aborted"] + clients.outcomes["refused"] > 10


def test_keys_that_change_in_two_steps_and_a_new_token_lose_no_request(
    cluster: Cluster, recordings: Recordings
) -> None:
    """vLLM, whose pods read both keys from a file that is mounted from the Secret."""

    def with_keys(names: list[str]) -> Document:
        return {"version": "0.33.0", "apiKeys": {"source": "config", "keys": names}}

    def secrets(names: list[str], *keys: str, token: str = TOKENS[0]) -> dict[str, Document]:
        plan = planned(stack(with_keys(names), 2, 3, token="config")).servers[0]
        assert plan.api_keys is not None
        return {
            plan.secret_name: {plan.secret_key: token},
            plan.api_keys.secret_name: keys_in_secret(plan, keys),
        }

    async def rotated(load: Load) -> None:
        await load.update(secrets(["apiKey2", "apiKey"], NEW, OLD), **with_keys(["apiKey2", "apiKey"]))
        # Who sends requests to a pod of the old key alone must not use the new one yet.
        await asyncio.sleep(2 * DELAY / SPEED)
        load.clients.keys = [NEW]
        await load.update(secrets(["apiKey2"], NEW), **with_keys(["apiKey2"]))
        await load.update(secrets(["apiKey2"], NEW, token=TOKENS[1]), **with_keys(["apiKey2"]))

    raw = stack(with_keys(["apiKey"]), 2, 3, token="config")
    load = under_load(cluster, recordings, raw, rotated, secrets=secrets(["apiKey"], OLD), keys=[OLD])
    assert load.clients.errors == 0, load.clients.outcomes
    assert load.clients.outcomes["answered"] > 200
    assert list(load.follower.keys.values()) == [{OLD}] * 2 + [{NEW, OLD}] * 2 + [{NEW}] * 4


def test_a_machine_that_is_gone_costs_what_ran_there_and_what_was_sent_until_it_was_noticed(
    cluster: Cluster, recordings: Recordings
) -> None:
    seen: dict[str, float] = {}

    async def lost(load: Load) -> None:
        pod = load.cluster.pods("chat")[0]
        gone = load.follower.servers[pod.metadata.uid]
        began = time.monotonic()
        seen["running"] = gone.running
        gone.kill()
        load.cluster.core.patch_node(pod.spec.node_name, {"metadata": {"labels": {MANAGED: None}}})
        await until(lambda: gone not in load.follower.proxy.endpoints)
        seen["seconds"] = time.monotonic() - began
        seen["errors"] = load.clients.errors

    load = under_load(cluster, recordings, stack(SERVERS[0]), lost)
    outcomes = load.clients.outcomes
    assert seen["running"] > 0
    assert outcomes["cut"] == seen["running"]
    # A third of the requests goes there until nobody sends any, and not one after that.
    assert 10 < outcomes["refused"] <= seen["seconds"] / EVERY / 3 + 1
    assert load.clients.errors == outcomes["cut"] + outcomes["refused"] == seen["errors"]
