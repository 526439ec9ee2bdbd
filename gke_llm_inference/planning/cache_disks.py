"""The disk of its own on which a pod keeps a model that is too large for its node's disk."""

from collections.abc import Iterable, Iterator

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.planning.machines import candidates, gpu_counts
from gke_llm_inference.settings import Finding


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
