from copy import deepcopy
from typing import Any

import pytest

from gke_llm_inference.preview.recording import Recording
from tests.support import CLUSTER, GPU_NODE_POOL, NODE_POOL, children, find, names_of

UNKNOWN = "[unknown]"


def pool_inputs(
    name: str, *, without: tuple[str, ...] = (), node: dict[str, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    """Inputs of an on-demand pool with one L4 a node, changed."""
    inputs: dict[str, Any] = {
        "autoscaling": {"locationPolicy": "ANY", "totalMinNodeCount": 0, "totalMaxNodeCount": 1},
        "cluster": "gke-llm-inference-test",
        "initialNodeCount": 0,
        "location": "us-central1",
        "management": {"autoRepair": True, "autoUpgrade": True},
        "nodeConfig": {
            "diskSizeGb": 200,
            "diskType": "pd-balanced",
            "gcfsConfig": {"enabled": True},
            "guestAccelerators": [gpus()],
            "gvnic": {"enabled": True},
            "imageType": "COS_CONTAINERD",
            "labels": {"llm-inference/node-pool": name},
            "machineType": "g2-standard-8",
            "metadata": {"disable-legacy-endpoints": "true"},
            "oauthScopes": ["https://www.googleapis.com/auth/cloud-platform"],
            "resourceLabels": {"team": "serving"},
            "serviceAccount": UNKNOWN,
            "shieldedInstanceConfig": {"enableIntegrityMonitoring": True, "enableSecureBoot": True},
            "workloadMetadataConfig": {"mode": "GKE_METADATA"},
        },
        "nodeLocations": ["us-central1-a", "us-central1-b", "us-central1-c"],
        "project": "my-project",
        "upgradeSettings": {"maxSurge": 0, "maxUnavailable": 1, "strategy": "SURGE"},
    }
    inputs = {**deepcopy(inputs), **changes}
    inputs["nodeConfig"].update(node or {})
    return {key: value for key, value in inputs.items() if key not in without}


def gpus(count: int = 1, driver: str = "LATEST", **more: Any) -> dict[str, Any]:
    return {
        "count": count,
        "gpuDriverInstallationConfig": {"gpuDriverVersion": driver},
        "type": "nvidia-l4",
        **more,
    }


def sharing(strategy: str, clients: int) -> dict[str, Any]:
    return {
        "guestAccelerators": [
            gpus(gpuSharingConfig={"gpuSharingStrategy": strategy, "maxSharedClientsPerGpu": clients})
        ]
    }


def from_reservation(name: str) -> dict[str, Any]:
    return {
        "reservationAffinity": {
            "consumeReservationType": "SPECIFIC_RESERVATION",
            "key": "compute.googleapis.com/reservation-name",
            "values": [name],
        }
    }


def scaled(least: int, most: int) -> dict[str, Any]:
    return {"locationPolicy": "ANY", "totalMinNodeCount": least, "totalMaxNodeCount": most}


NO_RESERVATION = {"reservationAffinity": {"consumeReservationType": "NO_RESERVATION"}}

EXPECTED = {
    "on-demand": pool_inputs("on-demand"),
    "spot": pool_inputs("spot", node={"spot": True, **NO_RESERVATION}, autoscaling=scaled(0, 4)),
    "reservation": pool_inputs("reservation", node=from_reservation("l4s")),
    "shared-reservation": pool_inputs(
        "shared-reservation", node=from_reservation("projects/capacity/reservations/l4s")
    ),
    "flex-start": pool_inputs(
        "flex-start",
        node={"flexStart": True, "maxRunDuration": "86400s", **NO_RESERVATION},
        management={"autoRepair": False, "autoUpgrade": True},
        without=("upgradeSettings",),
    ),
    "local-ssd": pool_inputs("local-ssd", node={"ephemeralStorageLocalSsdConfig": {"localSsdCount": 1}}),
    "boot-disks": pool_inputs(
        "boot-disks",
        node={
            "diskSizeGb": 300,
            "diskType": "pd-ssd",
            "secondaryBootDisks": [
                {"diskImage": "projects/my-project/global/images/vllm", "mode": "CONTAINER_IMAGE_CACHE"},
            ],
        },
    ),
    "data-disk": pool_inputs("data-disk", node={"secondaryBootDisks": [{"diskImage": "global/images/weights"}]}),
    "time-sharing": pool_inputs("time-sharing", node=sharing("TIME_SHARING", 4)),
    "mps": pool_inputs("mps", node=sharing("MPS", 2)),
    "old-driver": pool_inputs("old-driver", node={"guestAccelerators": [gpus(driver="DEFAULT")]}),
    "tainted": pool_inputs(
        "tainted",
        node={
            "labels": {"llm-inference/node-pool": "tainted", "tier": "gold"},
            "taints": [
                {"effect": "NO_EXECUTE", "key": "batch", "value": ""},
                {"effect": "NO_SCHEDULE", "key": "team", "value": "serving"},
            ],
        },
    ),
    "quota-bound": pool_inputs(
        "quota-bound",
        autoscaling=scaled(2, 3),
        nodeLocations=["us-central1-a", "us-central1-b"],
    ),
    "four-gpus": pool_inputs("four-gpus", node={"guestAccelerators": [gpus(4)], "machineType": "g2-standard-48"}),
}
POOLS = sorted(EXPECTED)


@pytest.mark.parametrize("name", POOLS)
def test_a_pool_has_exactly_these_inputs(gallery: Recording, name: str) -> None:
    assert find(gallery, NODE_POOL, name).inputs == EXPECTED[name]


@pytest.mark.parametrize("name", POOLS)
def test_a_pool_component_is_one_node_pool_of_the_same_short_name(gallery: Recording, name: str) -> None:
    (pool,) = children(gallery, find(gallery, GPU_NODE_POOL, name))
    assert (pool.type, pool.name) == (NODE_POOL, name)
    assert len(name) <= 32  # Pulumi adds eight characters to make a name of at most 40


@pytest.mark.parametrize("name", POOLS)
def test_a_pool_has_no_name_of_its_own_so_that_its_successor_can_stand_beside_it(gallery: Recording, name: str) -> None:
    assert not {"name", "namePrefix"} & find(gallery, NODE_POOL, name).inputs.keys()


@pytest.mark.parametrize("name", POOLS)
def test_a_pool_comes_after_the_cpu_pool_so_that_google_taints_its_nodes(gallery: Recording, name: str) -> None:
    pool = find(gallery, NODE_POOL, name)
    assert names_of(pool.dependencies) == ["standard-cluster", "standard-nodes-account", "standard-system"]
    assert {key: names_of(urns) for key, urns in pool.property_dependencies.items()} == {
        "cluster": ["standard-cluster"],
        "nodeConfig": ["standard-nodes-account"],
    }


@pytest.mark.parametrize("name", POOLS)
def test_only_a_quota_bound_pool_is_deleted_before_it_is_replaced(gallery: Recording, name: str) -> None:
    options = find(gallery, NODE_POOL, name).options
    assert options.get("deleteBeforeReplace", False) is (name == "quota-bound")
    assert options["ignoreChanges"] == ["initialNodeCount"]


@pytest.mark.parametrize("name", POOLS)
def test_a_pool_never_mixes_limits_per_zone_with_limits_over_all_zones(gallery: Recording, name: str) -> None:
    inputs = find(gallery, NODE_POOL, name).inputs
    assert not {"minNodeCount", "maxNodeCount"} & inputs["autoscaling"].keys()
    assert "nodeCount" not in inputs


@pytest.mark.parametrize("name", POOLS)
def test_a_pool_component_tells_its_machine_and_size(gallery: Recording, name: str) -> None:
    inputs = EXPECTED[name]
    node = inputs["nodeConfig"]
    assert find(gallery, GPU_NODE_POOL, name).outputs == {
        "gpuType": "nvidia-l4",
        "gpusPerNode": node["guestAccelerators"][0]["count"],
        "machineType": node["machineType"],
        "maxNodes": inputs["autoscaling"]["totalMaxNodeCount"],
        "name": UNKNOWN,
    }


def test_a_pool_of_a_cluster_that_exists_runs_as_the_default_account_and_waits_for_nothing(gallery: Recording) -> None:
    pool = find(gallery, NODE_POOL, "protected-pool")
    assert pool.inputs["nodeConfig"]["serviceAccount"] == "default"
    assert pool.inputs["cluster"] == "shared"
    assert pool.dependencies == ()
    assert "resourceLabels" not in pool.inputs["nodeConfig"]


def test_a_pool_never_starts_with_more_nodes_than_it_may_have(gallery: Recording) -> None:
    inputs = find(gallery, NODE_POOL, "single").inputs
    started = inputs["initialNodeCount"] * len(inputs["nodeLocations"])
    assert started <= inputs["autoscaling"]["totalMaxNodeCount"]


def test_a_pool_of_a_cluster_that_exists_runs_as_the_account_that_its_settings_name(gallery: Recording) -> None:
    pool = find(gallery, NODE_POOL, "joined")
    assert pool.inputs["nodeConfig"]["serviceAccount"] == "nodes@my-project.iam.gserviceaccount.com"
    assert pool.inputs["cluster"] == UNKNOWN
    assert names_of(pool.dependencies) == ["existing-nodes-cluster"]


def test_gpu_pools_stand_outside_the_cluster_component(gallery: Recording) -> None:
    cluster = find(gallery, CLUSTER, "standard-cluster")
    assert {find(gallery, NODE_POOL, name).parent for name in POOLS}.isdisjoint({cluster.urn, cluster.parent})
