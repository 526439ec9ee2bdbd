"""What a plan has of the place where a server keeps what it compiled."""

from dataclasses import dataclass

from gke_llm_inference.planning.model_source.plan import FuseVolume

CACHE_DIRECTORY = "/compile-cache"
"""Where the server's container has it."""
CACHE_VARIABLE = "VLLM_CACHE_ROOT"
"""What tells vLLM where it is."""


@dataclass(frozen=True, kw_only=True)
class CacheDisk:
    """A disk that one pod at a time mounts.

    Attributes:
        claim: name of its PersistentVolumeClaim.
        size_gib: its size.
        storage_class: StorageClass of the claim.

    """

    claim: str
    size_gib: int
    storage_class: str


@dataclass(frozen=True, kw_only=True)
class CacheBucket:
    """A bucket of a server's own, which all of its pods mount.

    Attributes:
        name: its name, which is nobody else's.
        project: Google Cloud project of the bucket.
        location: its region, which is the cluster's.
        member: what IAM knows the server's Kubernetes service account by, which alone may write there.
        roles: what that account may do with it.
        volume: how pods mount it.
        annotations: what a pod carries that mounts it.
        labels: labels of the bucket.

    """

    name: str
    project: str
    location: str
    member: str
    roles: tuple[str, ...]
    volume: FuseVolume
    annotations: dict[str, str]
    labels: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class CompileCachePlan:
    """Where a server keeps what it compiled. It runs as code: who may write there decides what the server does.

    Attributes:
        key: directory of what this image compiles for this model on these GPUs; every other one there is stale.
        disk: the disk that it is on; None for a bucket.
        bucket: the bucket that it is in; None for a disk.

    """

    key: str
    disk: CacheDisk | None = None
    bucket: CacheBucket | None = None

    @property
    def directory(self) -> str:
        """Where vLLM finds it."""
        return f"{CACHE_DIRECTORY}/{self.key}"

    @property
    def place(self) -> str:
        """Where it is, in words."""
        if self.disk is not None:
            return f"the disk of claim {self.disk.claim}"
        return f"gs://{self.bucket.name}" if self.bucket else ""

    @property
    def annotations(self) -> dict[str, str]:
        """What a pod carries that mounts it."""
        return self.bucket.annotations if self.bucket else {}
