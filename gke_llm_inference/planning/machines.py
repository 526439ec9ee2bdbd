"""What a machine leaves for pods, and the cheapest machine that holds a pod."""

import math
from typing import Protocol

from gke_llm_inference.catalog import Catalog, MachineType
from gke_llm_inference.planning.capacity import Capacity
from gke_llm_inference.settings import NodePoolSettings


class Machine(Protocol):
    """The size of a machine, with or without GPUs."""

    @property
    def vcpus(self) -> int:
        """Number of vCPUs."""

    @property
    def memory_gib(self) -> int:
        """Memory in GiB, before GKE's reservations."""


def node_allocatable(machine: Machine, catalog: Catalog) -> Capacity:
    """What the kubelet of a GKE node offers to pods, GKE's own DaemonSets included.

    Formula and constants: `catalog/gke.yaml`, from the GKE cluster autoscaler's model of its nodes.
    """
    gke = catalog.gke
    total_mib = machine.memory_gib * 1024
    kernel = total_mib / gke.kernel.memory_divisor + gke.kernel.memory_mib + gke.kernel.swiotlb_mib
    memory_reserved = _reserved(total_mib, [(piece.up_to_mib, piece.share) for piece in gke.kube_reserved_memory])
    total_cpu = machine.vcpus * 1000
    cpu_reserved = _reserved(total_cpu, [(piece.up_to_millicores, piece.share) for piece in gke.kube_reserved_cpu])
    return Capacity(
        cpu_millicores=int(total_cpu - cpu_reserved),
        memory_mib=int(total_mib - kernel - memory_reserved - gke.eviction_mib),
    )


def boot_disk_room_gib(disk_size_gb: int, catalog: Catalog) -> float:
    """Ephemeral storage in GiB that pods can request of a boot disk of `disk_size_gb`.

    Formula and constants: `catalog/gke.yaml`.
    """
    disk, rule = catalog.gke.boot_disk, catalog.gke.boot_disk.reserved
    reserved = min(rule.half_share * disk_size_gb, rule.base_gib + rule.share * disk_size_gb, rule.max_gib)
    return (disk_size_gb - disk.partitions_gib) * (1 - disk.eviction_share) - reserved


def boot_disk_for_gib(need: float, catalog: Catalog) -> int:
    """The smallest boot disk, in steps of 10 GB, whose room holds `need` GiB."""
    disk, rule = catalog.gke.boot_disk, catalog.gke.boot_disk.reserved
    usable = 1 - disk.eviction_share
    partitions = disk.partitions_gib * usable
    # The reservation is the least of three lines, so the smallest disk is the largest of their three answers' least.
    sizes = (
        (need + partitions) / (usable - rule.half_share),
        (need + partitions + rule.base_gib) / (usable - rule.share),
        (need + partitions + rule.max_gib) / usable,
    )
    return math.ceil(min(sizes) / 10) * 10


def local_ssd_room_gib(count: int, catalog: Catalog) -> float:
    """Ephemeral storage in GiB that pods can request of so many local SSDs; constants: `catalog/disks.yaml`."""
    ssd, disk = catalog.disks.local_ssd, catalog.gke.boot_disk
    return count * ssd.gib * (1 - ssd.overhead_share) * (1 - disk.eviction_share)


def ephemeral_room_gib(pool: NodePoolSettings, catalog: Catalog) -> float:
    """Ephemeral storage in GiB that pods can request of a node of the pool: of its local SSDs where it has some."""
    if pool.local_ssds:
        return local_ssd_room_gib(pool.local_ssds, catalog)
    return boot_disk_room_gib(pool.disk_size_gb, catalog)


def room_for_pods(machine: MachineType, catalog: Catalog) -> Capacity:
    """What is left on a node for our pods after GKE's DaemonSets; how large its disk is depends on the node pool."""
    allocatable = node_allocatable(machine, catalog)
    return Capacity(
        gpus=machine.gpus,
        cpu_millicores=allocatable.cpu_millicores - catalog.gke.system_pods.cpu_millicores,
        memory_mib=allocatable.memory_mib - catalog.gke.system_pods.memory_mib,
        disk_gib=math.inf,
    )


def holds(machine: MachineType, need: Capacity, catalog: Catalog) -> bool:
    """Whether a node of this machine type can hold `need` beside GKE's DaemonSets."""
    return need.fits(room_for_pods(machine, catalog))


def candidates(accelerator: str, gpus: int, catalog: Catalog) -> list[str]:
    """Machine types with exactly `gpus` of the GPU, cheapest first."""

    def cost(name: str) -> tuple[float, int, int, str]:
        machine = catalog.machine_types[name]
        price = machine.usd_per_hour.on_demand if machine.usd_per_hour else float("inf")
        return (price, machine.vcpus, machine.memory_gib, name)

    fitting = (
        name
        for name, machine in catalog.machine_types.items()
        if machine.accelerator == accelerator and machine.gpus == gpus
    )
    return sorted(fitting, key=cost)


def gpu_counts(accelerator: str, catalog: Catalog) -> list[int]:
    """How many of the GPU a machine can have, in ascending order."""
    return sorted({machine.gpus for machine in catalog.machine_types.values() if machine.accelerator == accelerator})


def cheapest_machine(accelerator: str, gpus: int, need: Capacity, catalog: Catalog) -> str | None:
    """The cheapest machine type with exactly `gpus` GPUs that holds `need`; None if there is none."""
    return next(
        (name for name in candidates(accelerator, gpus, catalog) if holds(catalog.machine_types[name], need, catalog)),
        None,
    )


def _reserved(total: float, slices: list[tuple[int | None, float]]) -> float:
    reserved = 0.0
    lower = 0
    for upper, share in slices:
        top = total if upper is None else min(total, upper)
        reserved += max(0.0, top - lower) * share
        lower = upper or lower
    return reserved
