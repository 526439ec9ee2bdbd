"""Where a pod keeps a model that is too large for its node's boot disk: on local SSDs, or on a disk of its own."""

from collections.abc import Iterable, Iterator

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.planning.machines import candidates, gpu_counts, local_ssd_room_gib
from gke_llm_inference.planning.stages import StackFrame
from gke_llm_inference.settings import Finding, ServerSettings


def local_ssd_gib(settings: ServerSettings, stack: StackFrame) -> float:
    """What a pod may take of local SSDs on every pool that may run it, in GiB; 0 where one of them has none."""
    if not stack.pools_with_local_ssds:
        return 0.0
    asked = settings.accelerator
    pools = [
        pool
        for key, pool in stack.pools.items()
        if pool.accelerator.type == asked.type
        and pool.accelerator.count >= asked.count
        and settings.node_pool in (None, key)
    ]
    shares = []
    for pool in pools:
        clients = pool.sharing.max_clients if pool.sharing else 1
        pods = max(1, min(pool.accelerator.count * clients // asked.count, settings.most_replicas))
        shares.append(local_ssd_room_gib(pool.local_ssds, stack.catalog) / pods)
    return min(shares, default=0.0)


def cache_storage_class(accelerators: Iterable[str], catalog: Catalog) -> str | None:
    """StorageClass of GKE's own for a disk that machines with each of the GPUs can attach; None if there is none.

    Machines of a GPU that is not known are taken to have what most have.
    """
    types = [kinds for accelerator in accelerators for kinds in _disk_types(accelerator, catalog)]
    return catalog.disks.storage_class(tuple(set.intersection(*types)))


def _disk_types(accelerator: str, catalog: Catalog) -> Iterator[set[str]]:
    """Types of disks that each machine with the GPU can attach."""
    disks = catalog.disks
    family = disks.accelerators.get(accelerator)
    machines = [name for count in gpu_counts(accelerator, catalog) for name in candidates(accelerator, count, catalog)]
    if family is None and not machines:
        yield set(disks.storage_classes)
        return
    yield from (set(disks.types(name)) for name in (machines or [f"{family}-"]))


def no_storage_class(path: str, accelerator: str) -> Finding:
    """The problem of a cache disk for machines that attach none which GKE has a StorageClass for."""
    return Finding(
        path=f"{path}.model",
        what=f"no StorageClass of GKE's own makes a disk that machines with {accelerator} can attach",
        why="they attach Hyperdisk only; the pod would wait for its cache disk forever",
        fix="put the model on a volume and set modelVolume, or set resources.ephemeralStorageGib where the nodes have "
        "local SSDs",
    )
