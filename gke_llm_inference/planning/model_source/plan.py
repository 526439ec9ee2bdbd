"""What a plan has of the way that a model takes to its server."""

from dataclasses import dataclass
from typing import Any

from gke_llm_inference.planning.model_source.source import ModelSource


@dataclass(frozen=True, kw_only=True)
class FuseVolume:
    """A directory of a bucket as a volume of a pod, by Cloud Storage FUSE.

    Attributes:
        driver: its CSI driver.
        attributes: what the driver is told.
        cpu_millicores: what the container requests that reads the bucket.
        memory_gib: the same of memory.
        ephemeral_storage_gib: the same of the node's disk.
        unlimited: whether the container may take more of them.
        writable: whether pods write there.

    """

    driver: str
    attributes: dict[str, str]
    cpu_millicores: int
    memory_gib: int
    ephemeral_storage_gib: int
    unlimited: bool
    writable: bool = False

    @property
    def source(self) -> dict[str, Any]:
        """The volume's source in a pod."""
        return {"driver": self.driver, "readOnly": not self.writable, "volumeAttributes": dict(self.attributes)}


@dataclass(frozen=True, kw_only=True)
class DiskPlan:
    """A volume of Hyperdisk ML that GKE fills from the bucket; all pods of a server read it.

    Attributes:
        name: name of its claim, its data source and the account that reads the bucket.
        storage_class: name of its StorageClass.
        zone: zone of the volume, and of the pods.
        size_gib: its size.
        throughput_mib: MiB per second, all readers together.
        uri: what it is filled with, with a slash at the end.
        provisioner: its CSI driver.
        disk_type: its type of disk.
        compute_class: name of the ComputeClass whose nodes fill it.
        ready_seconds: how long the filling may take.

    """

    name: str
    storage_class: str
    zone: str
    size_gib: int
    throughput_mib: int
    uri: str
    provisioner: str
    disk_type: str
    compute_class: str
    ready_seconds: int


@dataclass(frozen=True, kw_only=True)
class TransferNodes:
    """The nodes on which GKE fills volumes from a bucket: the ComputeClass that it looks for.

    Attributes:
        name: its exact name.
        families: families of machines, the first preferred.

    """

    name: str
    families: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class BucketCaches:
    """Caches of the stack's bucket, which keep what pods read in their zones.

    Attributes:
        zones: zones of the pods, sorted.
        ttl_seconds: how long a cache keeps what nobody reads.

    """

    zones: tuple[str, ...]
    ttl_seconds: int


@dataclass(frozen=True, kw_only=True)
class ModelSourcePlan:
    """How a server gets its model.

    Attributes:
        source: where it comes from.
        reader: Kubernetes service account that reads the bucket; None where none does.
        disk: the volume that is filled from the bucket; None without one.
        cached_in: zones in which a cache keeps what pods read, sorted.

    """

    source: ModelSource
    reader: str | None = None
    disk: DiskPlan | None = None
    cached_in: tuple[str, ...] = ()
