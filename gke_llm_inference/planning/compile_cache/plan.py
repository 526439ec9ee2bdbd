"""What a plan has of the place where a server keeps what it compiled."""

from dataclasses import dataclass

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
class CompileCachePlan:
    """Where a server keeps what it compiled. It runs as code: who may write there decides what the server does.

    Attributes:
        key: directory of what this image compiles for this model on these GPUs; every other one there is stale.
        disk: the disk that it is on.

    """

    key: str
    disk: CacheDisk

    @property
    def directory(self) -> str:
        """Where vLLM finds it."""
        return f"{CACHE_DIRECTORY}/{self.key}"

    @property
    def place(self) -> str:
        """Where it is, in words."""
        return f"the disk of claim {self.disk.claim}"
