"""Every server gets a node pool and every pool a machine that holds its pods, or the plan is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from gke_llm_inference.planning.capacity import Capacity
from gke_llm_inference.planning.machines import holds
from tests.planning.support import (
    CATALOG,
    GEMMA,
    QWEN,
    architecture,
    existing_stack,
    only_pool,
    only_problem,
    only_server,
    planned,
    problems_of,
    standard_stack,
)

if TYPE_CHECKING:
    from tests.settings.support import Raw

SHARED = {"sharing": {"strategy": "timeSharing", "maxClients": 4}}


@pytest.mark.parametrize(
    ("server", "pool", "machine"),
    [
        ({}, {}, "g2-standard-8"),
        ({"resources": {"cpu": 2, "memoryGib": 8}}, {}, "g2-standard-4"),
        ({"resources": {"cpu": 8}}, {}, "g2-standard-12"),
        ({"resources": {"memoryGib": 50}}, {}, "g2-standard-16"),
        ({"resources": {"cpu": 20}}, {}, "g2-standard-32"),
        ({}, {"machineType": "g2-standard-32"}, "g2-standard-32"),
        ({"accelerator": {"count": 2}}, {"accelerator": {"count": 2}}, "g2-standard-24"),
        ({"accelerator": {"count": 4}}, {"accelerator": {"count": 4}}, "g2-standard-48"),
        ({"accelerator": {"count": 8}}, {"accelerator": {"count": 8}}, "g2-standard-96"),
        ({}, {"accelerator": {"count": 2}}, "g2-standard-24"),
        *(
            ({"accelerator": {"type": gpu}}, {"accelerator": {"type": gpu}, **rest}, machine)
            for gpu, machine, rest in (
                ("nvidia-tesla-a100", "a2-highgpu-1g", {}),
                ("nvidia-a100-80gb", "a2-ultragpu-1g", {}),
                ("nvidia-h100-80gb", "a3-highgpu-1g", {"provisioning": {"model": "spot"}}),
            )
        ),
        *(
            (
                {"accelerator": {"type": gpu, "count": 8}},
                {"accelerator": {"type": gpu, "count": 8}},
                machine,
            )
            for gpu, machine in (
                ("nvidia-tesla-a100", "a2-highgpu-8g"),
                ("nvidia-a100-80gb", "a2-ultragpu-8g"),
                ("nvidia-h100-80gb", "a3-highgpu-8g"),
            )
        ),
    ],
)
def test_a_pool_gets_the_cheapest_machine_that_holds_its_server(server: Raw, pool: Raw, machine: str) -> None:
    plan = planned(standard_stack({"pool": pool}, {"gemma": {**GEMMA, **server}}))
    assert plan.node_pools[0].machine_type == machine
    assert plan.servers[0].machine_type == machine
    assert plan.servers[0].node_pool == "pool"


def test_a_pool_that_nothing_runs_on_gets_the_cheapest_machine() -> None:
    pools = {"l4": {}, "pair": {"accelerator": {"count": 2}}, "spare": {}}
    plan = planned(standard_stack(pools, {"gemma": {**GEMMA, "nodePool": "l4"}}))
    machines = {pool.key: pool.machine_type for pool in plan.node_pools}
    assert machines == {"l4": "g2-standard-8", "pair": "g2-standard-24", "spare": "g2-standard-4"}


def test_a_pool_for_several_pods_of_a_node_gets_a_machine_for_all_of_them() -> None:
    pool = {"accelerator": {"count": 2}}
    held = {**GEMMA, "replicas": 2, "resources": {"cpu": 11}}
    assert only_pool(standard_stack({"pair": pool}, {"gemma": held})).machine_type == "g2-standard-24"
    problem = only_problem(standard_stack({"pair": pool}, {"gemma": {**held, "resources": {"cpu": 12}}}))
    assert problem.path == "nodePools.pair.maxNodes"
    assert problem.what == "1 is less than the 2 nodes that its servers need"


def test_a_pod_that_no_machine_holds_is_refused_with_the_room_of_the_largest() -> None:
    problem = only_problem(standard_stack({"l4": {}}, {"gemma": {**GEMMA, "resources": {"cpu": 32}}}))
    assert problem.path == "servers.gemma.resources"
    assert problem.what == "32 vCPU and 14 GiB are more than any machine with 1 × nvidia-l4 has"
    assert problem.why.startswith("g2-standard-32 has 31.2 vCPU and 115.5 GiB left")
    assert "use a larger machine type or more GPUs" in problem.fix


def test_a_machine_of_the_pool_that_is_too_small_is_refused_with_its_room() -> None:
    problem = only_problem(standard_stack({"l4": {"machineType": "g2-standard-4"}}, {"gemma": GEMMA}))
    assert problem.path == "servers.gemma.resources"
    assert problem.what == "4 vCPU and 14 GiB are more than the machine of nodePools.l4 has"
    assert problem.why.startswith("g2-standard-4 has 3.3 vCPU and 11.8 GiB left")


@pytest.mark.parametrize(
    ("pool", "servers", "nodes"),
    [
        ({}, {"gemma": {**GEMMA, "replicas": 2}}, 2),
        ({"maxNodes": 2}, {"gemma": {**GEMMA, "replicas": 3}}, 3),
        ({}, {"gemma": GEMMA, "qwen": QWEN}, 2),
        ({"accelerator": {"count": 2}}, {"gemma": {**GEMMA, "replicas": 5}}, 3),
        ({"accelerator": {"count": 4}}, {"gemma": {**GEMMA, "replicas": 3, "accelerator": {"count": 2}}}, 2),
    ],
    ids=["two replicas", "three replicas", "two servers", "two GPUs a node", "two GPUs a pod"],
)
def test_a_pool_that_cannot_grow_to_hold_its_servers_is_refused(pool: Raw, servers: Raw, nodes: int) -> None:
    problem = only_problem(standard_stack({"l4": pool}, servers))
    assert problem.path == "nodePools.l4.maxNodes"
    assert problem.what == f"{pool.get('maxNodes', 1)} is less than the {nodes} nodes that its servers need"
    assert problem.fix == f"use {nodes} or more"
    assert only_pool(standard_stack({"l4": {**pool, "maxNodes": nodes}}, servers)).settings.max_nodes == nodes


def test_a_server_without_replicas_needs_no_capacity() -> None:
    servers = {"gemma": GEMMA, "idle": {**GEMMA, "replicas": 0}}
    assert [server.replicas for server in planned(standard_stack({"l4": {}}, servers)).servers] == [1, 0]


def test_a_server_without_replicas_gets_a_machine_that_holds_its_pod_once_it_has_one() -> None:
    server = only_server(standard_stack({"l4": {}}, {"idle": {**QWEN, "replicas": 0}}))
    assert server.machine_type == "g2-standard-8"


@pytest.mark.parametrize(
    ("pools", "server", "chosen"),
    [
        ({"a": {}, "b": {}}, {}, "a"),
        ({"a": {}, "b": {}}, {"nodePool": "b"}, "b"),
        ({"pair": {"accelerator": {"count": 2}}, "single": {}}, {}, "single"),
        ({"a": {"machineType": "g2-standard-32"}, "b": {"machineType": "g2-standard-12"}}, {}, "b"),
        ({"a": {}, "b": {"provisioning": {"model": "spot"}}}, {}, "b"),
        ({"a100": {"accelerator": {"type": "nvidia-tesla-a100"}}, "l4": {}}, {}, "l4"),
        ({"pair": {"accelerator": {"count": 2}}, "l4": {}}, {"accelerator": {"count": 2}}, "pair"),
        ({"a": {"machineType": "g2-standard-4"}, "b": {"machineType": "g2-standard-16"}}, {}, "b"),
    ],
    ids=["by name", "as asked", "by GPUs", "by price", "by Spot price", "by type", "by count", "by room"],
)
def test_a_server_runs_on_the_cheapest_pool_that_can_hold_it(pools: Raw, server: Raw, chosen: str) -> None:
    assert only_server(standard_stack(pools, {"gemma": {**GEMMA, **server}})).node_pool == chosen


@pytest.mark.parametrize(
    ("server", "path", "what", "fix"),
    [
        ({"nodePool": "L4s"}, "nodePool", "L4s is not one of nodePools", "did you mean l4?"),
        (
            {"nodePool": "l4", "accelerator": {"count": 2}},
            "nodePool",
            "nodes of l4 have 1 × nvidia-l4",
            "choose another pool",
        ),
        (
            {"nodePool": "l4", "accelerator": {"type": "nvidia-tesla-a100"}},
            "nodePool",
            "nodes of l4 have 1 × nvidia-l4",
            "choose another pool",
        ),
        (
            {"accelerator": {"count": 2}},
            "accelerator",
            "no node pool has 2 × nvidia-l4",
            "add to nodePools: {l4: {accelerator: {type: nvidia-l4, count: 2}}}",
        ),
    ],
    ids=["unknown", "too few GPUs", "other GPU", "none"],
)
def test_a_server_without_a_pool_for_it_is_refused(server: Raw, path: str, what: str, fix: str) -> None:
    problem = only_problem(standard_stack({"l4": {}}, {"gemma": {**GEMMA, **server}}))
    assert (problem.path, problem.what) == (f"servers.gemma.{path}", what)
    assert problem.fix.startswith(fix)


@pytest.mark.parametrize("gpu", ["nvidia-l4", "nvidia-tesla-a100", "nvidia-a100-80gb"])
def test_the_pool_that_a_refusal_proposes_makes_the_plan_possible(gpu: str) -> None:
    servers = {"gemma": {**GEMMA, "accelerator": {"type": gpu, "count": 2}}}
    fix = only_problem(standard_stack({}, servers)).fix
    pools = yaml.safe_load(fix.removeprefix("add to nodePools: "))
    assert only_server(standard_stack(pools, servers)).node_pool is not None


def test_an_existing_cluster_without_pools_is_taken_to_have_the_gpus() -> None:
    server = only_server(existing_stack({"gemma": GEMMA}))
    assert (server.node_pool, server.machine_type) == (None, "g2-standard-8")


def test_a_pod_that_no_machine_holds_is_refused_on_an_existing_cluster_too() -> None:
    problem = only_problem(existing_stack({"gemma": {**GEMMA, "resources": {"memoryGib": 116}}}))
    assert problem.what == "4 vCPU and 116 GiB are more than any machine with 1 × nvidia-l4 has"


@pytest.mark.parametrize(
    ("cluster", "possible"),
    [({"kubeconfigContext": "local"}, False), ({"name": "theirs", "location": "us-central1"}, True)],
    ids=["kubeconfig", "by name"],
)
def test_pools_of_an_existing_cluster_need_its_name_in_google_cloud(cluster: Raw, *, possible: bool) -> None:
    raw = {**existing_stack({"gemma": GEMMA}, **cluster), "nodePools": {"l4": {}}}
    if possible:
        assert only_server(raw).node_pool == "l4"
        return
    problem = next(problem for problem in problems_of(raw) if problem.path == "nodePools")
    assert problem.what == "need a cluster in Google Cloud"
    assert "cluster.name and cluster.location" in problem.fix


def test_a_pod_with_several_gpus_is_refused_where_gpus_are_shared() -> None:
    pool = {"accelerator": {"count": 2}, **SHARED}
    problem = only_problem(standard_stack({"pair": pool}, {"gemma": {**GEMMA, "accelerator": {"count": 2}}}))
    assert problem.path == "servers.gemma.accelerator.count"
    assert "remove nodePools.pair.sharing" in problem.fix


def test_shared_gpus_count_once_for_each_client() -> None:
    servers = {"gemma": {**GEMMA, "replicas": 5, "resources": {"cpu": 1, "memoryGib": 5, "ephemeralStorageGib": 20}}}
    problem = only_problem(standard_stack({"l4": SHARED}, servers))
    assert problem.what == "1 is less than the 2 nodes that its servers need"


@pytest.mark.parametrize(
    ("pool", "servers", "machine"),
    [
        (
            {"sharing": {"strategy": "timeSharing", "maxClients": 2}},
            {"gemma": {**GEMMA, "replicas": 2}},
            "g2-standard-12",
        ),
        (
            {"accelerator": {"count": 2}},
            {"gemma": {**GEMMA, "resources": {"cpu": 11}}, "qwen": {**QWEN, "resources": {"cpu": 12}}},
            "g2-standard-24",
        ),
    ],
    ids=["pods that share a GPU", "pods of two servers"],
)
def test_a_node_holds_all_the_pods_that_its_gpus_are_counted_for(pool: Raw, servers: Raw, machine: str) -> None:
    plan = planned(standard_stack({"pool": {**pool, "maxNodes": 1}}, servers))
    assert plan.node_pools[0].machine_type == machine
    cpu = sum(server.replicas * server.resources.cpu_millicores for server in plan.servers)
    memory = sum(server.replicas * server.resources.memory_gib for server in plan.servers)
    assert holds(CATALOG.machine_types[machine], Capacity(cpu_millicores=cpu, memory_mib=memory * 1024), CATALOG)


def test_pods_that_need_more_than_the_nodes_room_beside_its_gpus_need_more_nodes() -> None:
    servers = {"gemma": {**GEMMA, "resources": {"cpu": 20}}, "qwen": {**QWEN, "resources": {"cpu": 20}}}
    pool = {"accelerator": {"count": 2}}
    problem = only_problem(standard_stack({"pair": pool}, servers))
    assert (problem.path, problem.fix) == ("nodePools.pair.maxNodes", "use 2 or more")
    assert only_pool(standard_stack({"pair": {**pool, "maxNodes": 2}}, servers)).machine_type == "g2-standard-24"


@pytest.mark.parametrize(
    ("disk", "storage", "fix"),
    [(50, 18, "use 60 or more"), (200, 99, "use 210 or more")],
)
def test_a_boot_disk_that_cannot_hold_its_pods_storage_is_refused(disk: int, storage: int, fix: str) -> None:
    servers = {"gemma": {**GEMMA, "resources": {"ephemeralStorageGib": storage}}}
    problem = only_problem(standard_stack({"l4": {"diskSizeGb": disk}}, servers))
    assert problem.path == "nodePools.l4.diskSizeGb"
    assert problem.what == f"a disk of {disk} GB does not hold the {storage} GiB of ephemeral storage of its pods"
    assert problem.fix == fix
    assert only_pool(standard_stack({"l4": {"diskSizeGb": int(fix.split()[1])}}, servers)).name == "l4"


def test_local_ssds_take_the_place_of_the_boot_disk() -> None:
    servers = {"gemma": {**GEMMA, "resources": {"ephemeralStorageGib": 300}}}
    assert only_pool(standard_stack({"l4": {"localSsds": 1}}, servers)).settings.local_ssds == 1


@pytest.mark.parametrize(
    ("accelerator", "path", "what", "fix"),
    [
        ({"type": "l4"}, "type", "l4 is not a GPU of the catalog", "use one of: nvidia-a100-80gb, nvidia-b200"),
        ({"count": 3}, "count", "no machine has 3 × nvidia-l4", "use 4"),
        ({"type": "nvidia-tesla-a100", "count": 16}, "count", "no machine has 16 × nvidia-tesla-a100", "use 8"),
    ],
    ids=["unknown GPU", "3 L4", "16 A100"],
)
@pytest.mark.parametrize("cluster", ["autopilot", "standard", "existing"])
def test_gpus_that_no_machine_has_are_refused_on_every_cluster(
    cluster: str, accelerator: dict[str, Any], path: str, what: str, fix: str
) -> None:
    server = {**GEMMA, "model": "tiiuae/falcon-40b-instruct", "accelerator": accelerator}
    if accelerator.get("count") == 3:
        server["model"] = "me/mine"
        server["architecture"] = architecture(attentionHeads=48)
    raw = existing_stack({"gemma": server})
    if cluster != "existing":
        raw["cluster"] = {"mode": cluster, "location": "us-central1"}
    problem = next(problem for problem in problems_of(raw) if problem.path.startswith("servers.gemma.accelerator."))
    assert (problem.path, problem.what) == (f"servers.gemma.accelerator.{path}", what)
    assert problem.fix.startswith(fix)


def test_provisioning_of_a_server_belongs_to_its_pool_on_standard() -> None:
    problem = only_problem(standard_stack({"l4": {}}, {"gemma": {**GEMMA, "provisioning": {"model": "spot"}}}))
    assert (problem.path, problem.fix) == ("servers.gemma.provisioning", "move it to nodePools")
