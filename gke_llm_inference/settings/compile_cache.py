"""Settings of the place where a server keeps what it compiled, so that later pods need not compile it again."""

from typing import Annotated, Literal

from pydantic import Field

from gke_llm_inference.settings.base import Settings


class CompileCacheOnDisk(Settings):
    """A disk of the server's own; one pod at a time mounts it."""

    storage: Literal["disk"]
    """A disk of the server's own, for one replica."""
    size_gib: Annotated[int, Field(ge=10, le=1000)] = 10
    """GiB of the disk; changing it replaces the disk."""


KeepCompileCacheSettings = CompileCacheOnDisk
"""Where a server keeps what it compiled."""
