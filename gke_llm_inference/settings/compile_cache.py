"""Settings of the place where a server keeps what it compiled, so that later pods need not compile it again."""

from typing import Annotated, Literal

from pydantic import Field

from gke_llm_inference.settings.base import Settings
from gke_llm_inference.settings.model_store import NewBucketName, ProjectNumber


class CompileCacheInBucket(Settings):
    """A bucket of the server's own, which all of its pods write to."""

    storage: Literal["bucket"]
    """A bucket of the server's own, for any number of replicas."""
    name: NewBucketName
    """Name of the bucket, which nobody else's may have; the stack makes it. Changing it replaces the bucket."""
    project_number: ProjectNumber | None = None
    """Number, not id, of the cluster's project, by which IAM knows its Kubernetes service accounts; that of
    huggingFace if absent."""


class CompileCacheOnDisk(Settings):
    """A disk of the server's own; one pod at a time mounts it."""

    storage: Literal["disk"]
    """A disk of the server's own, for one replica."""
    size_gib: Annotated[int, Field(ge=10, le=1000)] = 10
    """GiB of the disk; changing it replaces the disk."""


KeepCompileCacheSettings = Annotated[CompileCacheInBucket | CompileCacheOnDisk, Field(discriminator="storage")]
"""Where a server keeps what it compiled."""
