"""Which nodes are added and removed, for any pods."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_llm_inference.planning.machines import node_allocatable, room_for_pods
from local.gke.nodes import node, node_name
from local.gke.pools import Pool
from local.gke.scaling import Addition, Amount, Place, decide, idle, places, quantity, requests_of
from local.gke.simulation import Simulation, simulation_of
from tests.planning.support import CATALOG, GEMMA, existing_stack, planned, standard_stack

NOTHING = Amount()


def additions(pods: list[dict[str, Any]], current: list[Place], pools: list[Pool], system: Amount) -> list[Addition]:
    return list(decide(pods, current, pools, system).added)


def pools_of(**pool: Any) -> dict[str, Pool]:
    raw = standard_stack({"l4": {"maxNodes": 5, **pool}}, {"gemma": GEMMA})
    return {one.name: one for one in simulation_of([planned(raw)]).pools}


def pod(name: str, *, gpus: int = 1, node: str | None = None, **spec: Any) -> dict[str, Any]:
    requests = {"cpu": "4", "memory": "14Gi", **({"nvidia.com/gpu": str(gpus)} if gpus else {})}
    return {
        "metadata": {"name": name, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {
            "containers": [{"resources": {"requests": requests}}],
            "nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-l4"} if gpus else {},
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
            **({"nodeName": node} if node else {}),
            **spec,
        },
        "status": {"phase": "Pending"},
    }


@pytest.mark.parametrize(
    ("text", "number"),
    [("500m", 0.5), ("4", 4), ("2Gi", 2**31), ("1k", 1000), ("1.5G", 1.5e9), ("13324Mi", 13324 * 2**20)],
)
def test_quantities(text: str, number: float) -> None:
    assert quantity(text) == number


def test_a_text_that_is_no_quantity_is_refused() -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        quantity("many")


@given(pods=st.integers(0, 12), nodes=st.integers(0, 5))
def test_every_pod_gets_a_node_up_to_the_pools_maximum(pods: int, nodes: int) -> None:
    pool = pools_of()["l4"]
    current = places([node(pool, number) for number in range(nodes)], [])
    added = additions([pod(f"pod-{number}") for number in range(pods)], current, [pool], NOTHING)
    assert len(added) == max(0, min(pods, pool.max_nodes) - nodes)
    names = [node_name(one.pool.name, one.number) for one in added]
    assert len(set(names) | {place.name for place in current}) == len(names) + nodes


def test_a_pod_that_no_machine_holds_adds_nothing() -> None:
    huge = pod("huge")
    huge["spec"]["containers"][0]["resources"]["requests"]["memory"] = "400Gi"
    assert additions([huge], [], [pools_of()["l4"]], NOTHING) == []


def test_what_gkes_own_pods_take_counts() -> None:
    pool = pools_of()["l4"]
    room = room_for_pods(CATALOG.machine_types[pool.machine_type], CATALOG)
    system = CATALOG.gke.system_pods
    taken = Amount(cpu=system.cpu_millicores / 1000, memory=system.memory_mib * 2**20)
    fits, not_quite = pod("fits"), pod("not-quite")
    fits["spec"]["containers"][0]["resources"]["requests"]["cpu"] = f"{room.cpu_millicores}m"
    not_quite["spec"]["containers"][0]["resources"]["requests"]["cpu"] = f"{room.cpu_millicores + 1}m"
    assert len(additions([fits], [], [pool], taken)) == 1
    assert additions([not_quite], [], [pool], taken) == []


def test_selectors_and_taints_decide_where_a_pod_goes() -> None:
    pools = list(pools_of(provisioning={"model": "spot"}).values())
    assert additions([pod("no-spot")], [], [one for one in pools if one.gpus], NOTHING) == []
    spot = [{"key": "nvidia.com/gpu", "operator": "Exists"}, {"key": "cloud.google.com/gke-spot", "value": "true"}]
    (added,) = additions([pod("spot", tolerations=spot)], [], [one for one in pools if one.gpus], NOTHING)
    assert added.pool.name == "l4"


def test_pods_wait_for_a_node_that_has_just_come_and_not_for_one_that_is_gone() -> None:
    pool = pools_of()["l4"]

    def added_beside(taint: str) -> int:
        one = node(pool, 0)
        one["spec"]["taints"].append({"key": taint, "effect": "NoSchedule"})
        return len(additions([pod("waits")], places([one], []), [pool], NOTHING))

    assert added_beside("node.kubernetes.io/not-ready") == 0
    assert added_beside("node.kubernetes.io/unreachable") == 1


def test_pools_have_their_fewest_nodes_without_any_pod() -> None:
    pools = pools_of(minNodes=2)
    added = additions([], [], [pools["l4"]], NOTHING)
    assert [one.number for one in added] == [0, 1]


def test_only_daemon_sets_leave_a_node_idle() -> None:
    pool = pools_of()["l4"]
    nodes = [node(pool, number) for number in range(3)]
    names = [one["metadata"]["name"] for one in nodes]
    daemon = pod("daemon", gpus=0, node=names[0])
    daemon["metadata"]["ownerReferences"] = [{"kind": "DaemonSet"}]
    done = pod("done", node=names[2])
    done["status"]["phase"] = "Succeeded"
    assert idle(nodes, [daemon, pod("server", node=names[1]), done]) == {names[0], names[2]}


def test_the_larger_of_init_and_main_containers_counts() -> None:
    one = pod("one")
    one["spec"]["initContainers"] = [{"resources": {"requests": {"cpu": "6", "memory": "1Gi"}}}]
    assert requests_of(one) == Amount(cpu=6, memory=14 * 2**30, gpus=1)


def test_nodes_have_the_planners_allocatable_and_gkes_labels() -> None:
    pool = pools_of(diskSizeGb=300)["l4"]
    made = node(pool, 1)
    room = node_allocatable(CATALOG.machine_types[pool.machine_type], CATALOG)
    assert made["status"]["allocatable"]["cpu"] == f"{room.cpu_millicores}m"
    assert made["status"]["allocatable"]["memory"] == f"{room.memory_mib}Mi"
    assert made["status"]["allocatable"]["nvidia.com/gpu"] == "1"
    labels = made["metadata"]["labels"]
    assert labels["node.kubernetes.io/instance-type"] == "g2-standard-8"
    assert labels["cloud.google.com/gke-accelerator"] == "nvidia-l4"
    assert labels["cloud.google.com/gke-nodepool"] == "l4"
    assert labels["cloud.google.com/machine-family"] == "g2"
    assert labels["topology.kubernetes.io/zone"] == "us-central1-b"
    assert labels["topology.kubernetes.io/region"] == "us-central1"
    assert made["spec"]["taints"] == [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]


def test_a_shared_gpu_counts_once_for_every_pod_that_may_share_it() -> None:
    pool = pools_of(sharing={"strategy": "mps", "maxClients": 3}, diskSizeGb=500)["l4"]
    assert pool.gpus == 3
    assert pool.labels["cloud.google.com/gke-gpu-sharing-strategy"] == "mps"
    assert pool.labels["cloud.google.com/gke-max-shared-clients-per-gpu"] == "3"


def test_a_cluster_of_somebody_else_gets_the_machines_that_servers_are_planned_for() -> None:
    plan = planned(existing_stack({"one": GEMMA, "two": {**GEMMA, "accelerator": {"count": 2}}}))
    machines = {pool.machine_type for pool in simulation_of([plan]).pools if pool.gpus}
    assert machines == {server.machine_type for server in plan.servers} == {"g2-standard-8", "g2-standard-24"}


def test_a_simulation_survives_its_file() -> None:
    simulation = simulation_of([planned(existing_stack({"one": GEMMA}))])
    assert Simulation.from_dict(simulation.as_dict()) == simulation
