"""What of a plan the simulated cluster has to know: node pools, and how long servers take to start. Pure."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from gke_llm_inference.catalog import Catalog, load_catalog
from gke_llm_inference.catalog.kubernetes_names import (
    ACCELERATOR_COUNT_LABEL,
    ACCELERATOR_LABEL,
    DRIVER_VERSION_LABEL,
    GPU_RESOURCE,
    PROVISIONING_LABEL,
    SPOT_LABEL,
)
from gke_llm_inference.planning.cluster import region_of
from gke_llm_inference.planning.machines import (
    boot_disk_for_gib,
    boot_disk_room_gib,
    cheapest_machine,
    ephemeral_room_gib,
    node_allocatable,
)
from gke_llm_inference.planning.plan import NodePoolPlan, ServerPlan, StackPlan
from gke_llm_inference.planning.pods import pod_request
from gke_llm_inference.settings import StandardCluster

DEFAULT_REGION = "us-central1"
"""Where the nodes of a cluster are that names no place itself."""
SYSTEM_POOL = "system"

_DEFAULT_DISK_GB = 100
_SYSTEM_MACHINE = "e2-standard-4"
_MOST_SYSTEM_NODES = 3
_MOST_NODES = 1000
# GiB per vCPU of Google's general-purpose machines (https://cloud.google.com/compute/docs/machine-resource).
_GIB_PER_VCPU = {"highcpu": 1, "standard": 4, "highmem": 8}
_EFFECTS = {"NO_SCHEDULE": "NoSchedule", "PREFER_NO_SCHEDULE": "PreferNoSchedule", "NO_EXECUTE": "NoExecute"}
_SHARING = {"timeSharing": "time-sharing", "mps": "mps"}


@dataclass(frozen=True)
class Taint:
    """A taint of a node."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True)
class Pool:
    """Nodes that are alike.

    Attributes:
        zones: zones that its nodes are spread over, sorted.
        cpu_millicores, memory_mib, ephemeral_gib, gpus: what a node offers to pods, GKE's DaemonSets included.
        vcpus, machine_memory_gib, disk_gb: what its machine has.

    """

    name: str
    machine_type: str
    zones: tuple[str, ...]
    min_nodes: int
    max_nodes: int
    labels: dict[str, str]
    taints: tuple[Taint, ...]
    vcpus: int
    machine_memory_gib: int
    disk_gb: int
    cpu_millicores: int
    memory_mib: int
    ephemeral_gib: float
    gpus: int


@dataclass(frozen=True)
class Start:
    """How long the pods of a server take.

    Attributes:
        image_seconds: until the container runs.
        expected_seconds: from then until it answers.
        budget_seconds: after which its startup probe gives up.

    """

    namespace: str
    server: str
    image_seconds: int
    expected_seconds: int
    budget_seconds: int


@dataclass(frozen=True)
class Simulation:
    """Node pools, sorted by name, and the starts of servers, sorted by namespace and name."""

    pools: tuple[Pool, ...]
    starts: tuple[Start, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> "Simulation":
        """The simulation of a JSON form."""
        return cls(
            tuple(
                Pool(
                    **{
                        **pool,
                        "zones": tuple(pool["zones"]),
                        "taints": tuple(Taint(**taint) for taint in pool["taints"]),
                    }
                )
                for pool in document["pools"]
            ),
            tuple(Start(**start) for start in document["starts"]),
        )


def simulation_of(plans: Iterable[StackPlan], catalog: Catalog | None = None) -> Simulation:
    """What the cluster of these plans has: a pool for CPUs, and pools for their servers.

    Pools of a plan are taken as they are. A server without one is on a cluster whose nodes are somebody else's, or on
    Autopilot; it gets a pool of the machine that its plan was made for.
    """
    facts = catalog or load_catalog()
    pools: dict[str, Pool] = {}
    starts: dict[tuple[str, str], Start] = {}
    for plan in plans:
        region = plan.cluster.region or DEFAULT_REGION
        settings = plan.cluster.settings
        if isinstance(settings, StandardCluster):
            system = settings.system_pool
            pools[SYSTEM_POOL] = _system_pool(
                system.machine_type,
                settings.zones or _zones(region),
                system.min_nodes,
                system.max_nodes,
                system.disk_size_gb,
                facts,
            )
        for pool in plan.node_pools:
            pools[pool.name] = _planned_pool(pool, region, facts)
        for server in plan.servers:
            if server.node_pool is None:
                made = _pool_for(server, region, facts)
                if made is not None:
                    pools[made.name] = made
            starts[server.namespace, server.name] = Start(
                server.namespace,
                server.name,
                math.ceil(server.start.part("imagePull").seconds),
                server.start.expected_seconds,
                server.probes.startup_failures * server.probes.startup_period_seconds,
            )
    if SYSTEM_POOL not in pools:
        pools[SYSTEM_POOL] = _system_pool(
            _SYSTEM_MACHINE, _zones(DEFAULT_REGION), 1, _MOST_SYSTEM_NODES, _DEFAULT_DISK_GB, facts
        )
    return Simulation(
        tuple(pool for _, pool in sorted(pools.items())), tuple(start for _, start in sorted(starts.items()))
    )


def _planned_pool(plan: NodePoolPlan, region: str, catalog: Catalog) -> Pool:
    settings = plan.settings
    labels = dict(plan.node_labels)
    clients = 1
    if settings.sharing:
        clients = settings.sharing.max_clients
        labels["cloud.google.com/gke-gpu-sharing-strategy"] = _SHARING[settings.sharing.strategy]
        labels["cloud.google.com/gke-max-shared-clients-per-gpu"] = str(clients)
    spot = settings.provisioning.model == "spot"
    return _gpu_pool(
        plan.name,
        plan.machine_type,
        region,
        zones=plan.zones,
        nodes=(settings.min_nodes, settings.max_nodes),
        disk_gb=settings.disk_size_gb,
        ephemeral_gib=ephemeral_room_gib(settings, catalog),
        driver=plan.driver_version,
        spot=spot,
        clients=clients,
        labels=labels,
        taints=tuple(Taint(taint.key, taint.value, _EFFECTS[taint.effect]) for taint in settings.taints),
        catalog=catalog,
    )


def _pool_for(server: ServerPlan, region: str, catalog: Catalog) -> Pool | None:
    """A pool of the machine that a server is planned for; None where the catalog has no such machine."""
    machine = server.machine_type or cheapest_machine(
        server.gpu_type, server.gpu_count, pod_request(server.resources), catalog
    )
    if machine is None:
        return None
    spot = server.node_selector.get(SPOT_LABEL) == "true"
    driver = server.node_selector.get(DRIVER_VERSION_LABEL, "default")
    disk = max(_DEFAULT_DISK_GB, boot_disk_for_gib(server.resources.ephemeral_storage_gib, catalog))
    name = "-".join(["nap", machine, *(["spot"] if spot else []), driver, str(disk)])
    return _gpu_pool(
        name,
        machine,
        region,
        zones=(),
        nodes=(0, _MOST_NODES),
        disk_gb=disk,
        ephemeral_gib=boot_disk_room_gib(disk, catalog),
        driver=driver,
        spot=spot,
        clients=1,
        labels={},
        taints=(),
        catalog=catalog,
    )


def _gpu_pool(
    name: str,
    machine_type: str,
    region: str,
    *,
    zones: tuple[str, ...],
    nodes: tuple[int, int],
    disk_gb: int,
    ephemeral_gib: float,
    driver: str,
    spot: bool,
    clients: int,
    labels: dict[str, str],
    taints: tuple[Taint, ...],
    catalog: Catalog,
) -> Pool:
    machine = catalog.machine_types[machine_type]
    accelerator = catalog.accelerators[machine.accelerator]
    room = node_allocatable(machine, catalog)
    every_label = {
        **labels,
        ACCELERATOR_LABEL: machine.accelerator,
        ACCELERATOR_COUNT_LABEL: str(machine.gpus),
        "cloud.google.com/gke-gpu": "true",
        DRIVER_VERSION_LABEL: driver,
        **_provisioning(spot=spot),
        **_common_labels(name, machine_type),
    }
    every_taint = [*taints, Taint(GPU_RESOURCE, "present", "NoSchedule")]
    if spot:
        every_taint.append(Taint(SPOT_LABEL, "true", "NoSchedule"))
    return Pool(
        name=name,
        machine_type=machine_type,
        zones=tuple(sorted(zones or accelerator.zones_in(region) or _zones(region))),
        min_nodes=nodes[0],
        max_nodes=nodes[1],
        labels=dict(sorted(every_label.items())),
        taints=tuple(sorted(every_taint, key=lambda taint: (taint.key, taint.effect))),
        vcpus=machine.vcpus,
        machine_memory_gib=machine.memory_gib,
        disk_gb=disk_gb,
        cpu_millicores=room.cpu_millicores,
        memory_mib=room.memory_mib,
        ephemeral_gib=ephemeral_gib,
        gpus=machine.gpus * clients,
    )


@dataclass(frozen=True)
class _Size:
    """The size of a machine without GPUs."""

    vcpus: int
    memory_gib: int


def _system_pool(
    machine_type: str, zones: tuple[str, ...], min_nodes: int, max_nodes: int, disk_gb: int, catalog: Catalog
) -> Pool:
    _, kind, vcpus = machine_type.rsplit("-", 2)
    size = _Size(int(vcpus), int(vcpus) * _GIB_PER_VCPU[kind])
    room = node_allocatable(size, catalog)
    return Pool(
        name=SYSTEM_POOL,
        machine_type=machine_type,
        zones=tuple(sorted(zones)),
        min_nodes=min_nodes,
        max_nodes=max_nodes,
        labels=dict(sorted({**_provisioning(spot=False), **_common_labels(SYSTEM_POOL, machine_type)}.items())),
        taints=(),
        vcpus=size.vcpus,
        machine_memory_gib=size.memory_gib,
        disk_gb=disk_gb,
        cpu_millicores=room.cpu_millicores,
        memory_mib=room.memory_mib,
        ephemeral_gib=boot_disk_room_gib(disk_gb, catalog),
        gpus=0,
    )


def _common_labels(pool: str, machine_type: str) -> dict[str, str]:
    return {
        "beta.kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/instance-type": machine_type,
        "beta.kubernetes.io/os": "linux",
        "cloud.google.com/gke-boot-disk": "pd-balanced",
        "cloud.google.com/gke-container-runtime": "containerd",
        "cloud.google.com/gke-nodepool": pool,
        "cloud.google.com/gke-os-distribution": "cos",
        "cloud.google.com/machine-family": machine_type.partition("-")[0],
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": machine_type,
    }


def _provisioning(*, spot: bool) -> dict[str, str]:
    if spot:
        return {PROVISIONING_LABEL: "spot", SPOT_LABEL: "true"}
    return {PROVISIONING_LABEL: "standard"}


def _zones(region: str) -> tuple[str, ...]:
    return tuple(f"{region_of(region)}-{letter}" for letter in "abc")
