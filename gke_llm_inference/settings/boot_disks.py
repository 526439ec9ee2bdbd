"""Settings of disks that nodes start with, which hold container images already."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from gke_llm_inference.settings.base import Image, Settings

DiskImage = Annotated[
    str, StringConstraints(pattern=r"^projects/[a-z][a-z0-9-]{4,28}[a-z0-9]/global/images/[a-z]([-a-z0-9]*[a-z0-9])?$")
]
HeldImages = Annotated[tuple[Image, ...], Field(strict=False)]


class ServerBootDisk(Settings):
    """A disk with container images that the nodes of a server start with, where Google makes nodes for its pods."""

    image: DiskImage
    """Disk image, such as projects/my-project/global/images/vllm."""
    container_images: HeldImages = ()
    """Container images that it holds, by the names that pods run them by; taken to hold the server's if empty."""


class CreatedBootDiskAllowlist(Settings):
    """The cluster's one list of disk images that nodes may start with, made by this stack."""

    mode: Literal["create"]
    """This stack makes it, and no other on the cluster."""
    images: Annotated[tuple[DiskImage, ...], Field(strict=False)] = ()
    """Disk images that other stacks on the cluster use; those of this stack's servers are allowed in any case."""


class ExistingBootDiskAllowlist(Settings):
    """The cluster's one list of disk images that nodes may start with, made elsewhere."""

    mode: Literal["existing"]
    """Made elsewhere, with this stack's disk images in it."""


BootDiskAllowlistSettings = Annotated[CreatedBootDiskAllowlist | ExistingBootDiskAllowlist, Field(discriminator="mode")]
"""Who makes the cluster's list of disk images that nodes may start with."""
