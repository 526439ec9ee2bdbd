"""Node pools of the simulated cluster: what their machines are, and how Google gives them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.facts import ProvisioningName
from gke_llm_inference.catalog.kubernetes_names import (
    ACCELERATOR_COUNT_LABEL,
    ACCELERATOR_LABEL,
    DRIVER_VERSION_LABEL,
    FLEX_START_LABEL,
    GPU_RESOURCE,
    PROVISIONING_LABEL,
    RESERVATION_AFFINITY_LABEL,
    RESERVATION_NAME_LABEL,
    RESERVATION_PROJECT_LABEL,
    SPOT_LABEL,
)
from gke_llm_inference.planning.cluster import region_of
from gke_llm_inference.planning.machines import boot_disk_room_gib, node_allocatable

DEFAULT_DISK_GB = 100
"""GKE's boot disk, unless a pool says otherwise."""
POOL_LABEL = "cloud.google.com/gke-nodepool"
RUN_LABEL = "cloud.google.com/gke-max-run-duration-seconds"
"""Label of nodes whose machines go after so long; a pod may ask for it."""
RECYCLE_LABEL = "cloud.google.com/gke-node-recycle-lead-time-seconds"
"""Label of flex-start nodes that are replaced so long before they end."""

# For how long a flex-start request waits for a machine: DefaultFlexStartCapacityCheckWaitTime of
# GoogleCloudPlatform/cluster-autoscaler @7d25050, pkg/cloudprovider/gke/gke_cloud_provider_impl.go.
_FLEX_WAIT_SECONDS = 900
# GiB per vCPU of Google's general-purpose machines (https://cloud.google.com/compute/docs/machine-resource).
_GIB_PER_VCPU = {"highcpu": 1, "standard": 4, "highmem": 8}


@dataclass(frozen=True)
class Taint:
    """A taint of a node."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True)
class Provision:
    """How Google gives the machines of a pool, and takes them back.

    Attributes:
        reservation: the reservation that they are of.
        project: whose reservation it is; None: the cluster's own.
        wait_seconds: for how long a request waits for a machine, where none is there at once.
        run_seconds: after which a machine goes.
        recycle_seconds: how long before that its node is replaced; None: it is not.
        shutdown_seconds: what a kubelet has before a machine goes; None: as long as GKE gives it.
        critical_seconds: how much of that is for critical pods; None: as much as GKE keeps for them.

    """

    model: ProvisioningName = "onDemand"
    reservation: str | None = None
    project: str | None = None
    wait_seconds: int = 0
    run_seconds: int | None = None
    recycle_seconds: int | None = None
    shutdown_seconds: int | None = None
    critical_seconds: int | None = None

    @classmethod
    def flex_start(cls, *, wait_seconds: int = _FLEX_WAIT_SECONDS, **given: Any) -> "Provision":
        """Flex-start machines; their requests wait as long as GKE lets them unless told otherwise."""
        return cls("flexStart", wait_seconds=wait_seconds, **given)

    @property
    def labels(self) -> dict[str, str]:
        """Labels that GKE's autoscaler gives the nodes (pkg/autoprovisioning/injection.go of its source @7d25050)."""
        run = {} if self.run_seconds is None else {RUN_LABEL: str(self.run_seconds)}
        match self.model:
            case "spot":
                return {**run, PROVISIONING_LABEL: "spot", SPOT_LABEL: "true"}
            case "flexStart":
                recycle = {} if self.recycle_seconds is None else {RECYCLE_LABEL: str(self.recycle_seconds)}
                return {**run, **recycle, PROVISIONING_LABEL: "flex-start", FLEX_START_LABEL: "true"}
            case "reservation" if self.reservation:
                project = {RESERVATION_PROJECT_LABEL: self.project} if self.project else {}
                name = {RESERVATION_NAME_LABEL: self.reservation, RESERVATION_AFFINITY_LABEL: "specific"}
                return {**run, **project, **name, PROVISIONING_LABEL: "standard"}
            case _:
                return {**run, PROVISIONING_LABEL: "standard"}

    @property
    def taints(self) -> tuple[Taint, ...]:
        """Taints that it gives them; flex-start nodes have none unless their pods tolerate one with its value."""
        return (Taint(SPOT_LABEL, "true", "NoSchedule"),) if self.model == "spot" else ()


@dataclass(frozen=True)
class Pool:
    """Nodes that are alike.

    Attributes:
        zones: zones that its nodes are spread over, sorted.
        cpu_millicores, memory_mib, ephemeral_gib, gpus: what a node offers to pods, GKE's DaemonSets included.
        vcpus, machine_memory_gib, disk_gb: what its machine has.
        provision: how its machines come and go.

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
    provision: Provision = field(default_factory=Provision)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "Pool":
        """The pool of a JSON form."""
        return cls(
            **{
                **document,
                "zones": tuple(document["zones"]),
                "taints": tuple(Taint(**taint) for taint in document["taints"]),
                "provision": Provision(**document["provision"]),
            }
        )

    @property
    def words(self) -> tuple[str, ...]:
        """What a stock may call its machines, but for their zone: model, machine type, reservation.

        There are none without GPUs: of those machines there are always more.
        """
        if not self.gpus:
            return ()
        reservation = self.provision.reservation
        return (self.provision.model, self.machine_type, *([reservation] if reservation else []))


def gpu_pool(
    name: str,
    machine_type: str,
    region: str,
    *,
    zones: tuple[str, ...],
    nodes: tuple[int, int],
    disk_gb: int,
    ephemeral_gib: float,
    driver: str,
    provision: Provision,
    clients: int,
    labels: Mapping[str, str],
    taints: tuple[Taint, ...],
    catalog: Catalog,
) -> Pool:
    """A pool of a machine type with GPUs.

    Its `nodes` are the fewest and the most. It is in all zones of the region that have such GPUs unless told otherwise;
    so many `clients` share a GPU; `labels` and `taints` are those that its nodes have beside GKE's own.
    """
    machine = catalog.machine_types[machine_type]
    accelerator = catalog.accelerators[machine.accelerator]
    room = node_allocatable(machine, catalog)
    every_label = {
        **labels,
        ACCELERATOR_LABEL: machine.accelerator,
        ACCELERATOR_COUNT_LABEL: str(machine.gpus),
        "cloud.google.com/gke-gpu": "true",
        DRIVER_VERSION_LABEL: driver,
        **provision.labels,
        **_common_labels(name, machine_type),
    }
    every_taint = [*taints, *provision.taints, Taint(GPU_RESOURCE, "present", "NoSchedule")]
    return Pool(
        name=name,
        machine_type=machine_type,
        zones=tuple(sorted(zones or accelerator.zones_in(region) or zones_of(region))),
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
        provision=provision,
    )


@dataclass(frozen=True)
class _Size:
    """The size of a machine without GPUs."""

    vcpus: int
    memory_gib: int


def cpu_pool(
    name: str, machine_type: str, zones: tuple[str, ...], nodes: tuple[int, int], disk_gb: int, catalog: Catalog
) -> Pool:
    """A pool of a general-purpose machine type."""
    _, kind, vcpus = machine_type.rsplit("-", 2)
    size = _Size(int(vcpus), int(vcpus) * _GIB_PER_VCPU[kind])
    room = node_allocatable(size, catalog)
    provision = Provision()
    return Pool(
        name=name,
        machine_type=machine_type,
        zones=tuple(sorted(zones)),
        min_nodes=nodes[0],
        max_nodes=nodes[1],
        labels=dict(sorted({**provision.labels, **_common_labels(name, machine_type)}.items())),
        taints=(),
        vcpus=size.vcpus,
        machine_memory_gib=size.memory_gib,
        disk_gb=disk_gb,
        cpu_millicores=room.cpu_millicores,
        memory_mib=room.memory_mib,
        ephemeral_gib=boot_disk_room_gib(disk_gb, catalog),
        gpus=0,
        provision=provision,
    )


def _common_labels(pool: str, machine_type: str) -> dict[str, str]:
    return {
        "beta.kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/instance-type": machine_type,
        "beta.kubernetes.io/os": "linux",
        "cloud.google.com/gke-boot-disk": "pd-balanced",
        "cloud.google.com/gke-container-runtime": "containerd",
        POOL_LABEL: pool,
        "cloud.google.com/gke-os-distribution": "cos",
        "cloud.google.com/machine-family": machine_type.partition("-")[0],
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": machine_type,
    }


def zones_of(region: str) -> tuple[str, ...]:
    """The zones that most regions have."""
    return tuple(f"{region_of(region)}-{letter}" for letter in "abc")
