"""Settings of GPU node pools, and of the ways in which Google provisions GPUs."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from gke_llm_inference.settings.base import Labels, NonEmpty, PositiveInt, Settings, Zones, refused
from gke_llm_inference.settings.boot_disks import HeldImages

MOST_NODES = 1000
"""Nodes that a node pool may have."""

MachineTypeName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)+$")]


class AcceleratorSettings(Settings):
    """GPUs of one node, or of one pod of a server."""

    type: str = "nvidia-l4"
    """GPU as GKE names it, such as nvidia-l4."""
    count: PositiveInt = 1
    """How many of them."""


class OnDemandProvisioning(Settings):
    """On-demand machines: list price, kept until released."""

    model: Literal["onDemand"]
    """List price, no end."""


class SpotProvisioning(Settings):
    """Spot VMs: cheaper, preempted at any time with about 30 seconds' notice."""

    model: Literal["spot"]
    """Cheaper, may be preempted at any time."""


class FlexStartProvisioning(Settings):
    """Flex-start machines: obtained when capacity allows, for at most seven days."""

    model: Literal["flexStart"]
    """When capacity allows, seven days at most."""
    max_run_seconds: Annotated[int, Field(ge=600, le=604800)] = 604800
    """Seconds after which Google takes the machine back."""


class ReservationProvisioning(Settings):
    """Machines of a specific reservation."""

    model: Literal["reservation"]
    """From a reservation."""
    name: NonEmpty
    """Name of the reservation."""
    project: NonEmpty | None = None
    """Project that owns a shared reservation; the stack's own if absent."""


ProvisioningSettings = Annotated[
    OnDemandProvisioning | SpotProvisioning | FlexStartProvisioning | ReservationProvisioning,
    Field(discriminator="model"),
]


class GpuSharing(Settings):
    """Several pods on one GPU."""

    strategy: Literal["timeSharing", "mps"]
    """Turns on the whole GPU, or a share of it at the same time."""
    max_clients: Annotated[int, Field(ge=2, le=48)]
    """Pods that may share one GPU."""


class SecondaryBootDisk(Settings):
    """A disk with container images or data that every node of the pool starts with."""

    image: Annotated[str, StringConstraints(pattern=r"^(projects/[^/]+/)?global/images/[^/]+$")]
    """Disk image, such as projects/my-project/global/images/vllm."""
    mode: Literal["containerImageCache", "data"] = "containerImageCache"
    """What the disk holds."""
    container_images: HeldImages = ()
    """Container images that it holds, by the names that pods run them by; taken to hold the servers' if empty."""


class NodeTaint(Settings):
    """A taint of the pool's nodes beside the GPU taint that GKE sets."""

    key: Annotated[
        str,
        StringConstraints(
            pattern=r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$"
        ),
    ]
    """Key, outside the domains of Google, Kubernetes and NVIDIA."""
    value: Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$")]
    """Value, which may be empty."""
    effect: Literal["NO_SCHEDULE", "PREFER_NO_SCHEDULE", "NO_EXECUTE"] = "NO_SCHEDULE"
    """What happens to pods that do not tolerate it; the servers of the pool do."""


class NodePoolSettings(Settings):
    """A node pool with GPUs on a Standard cluster."""

    accelerator: AcceleratorSettings = AcceleratorSettings()
    """GPUs of each node; changing them replaces the pool."""
    machine_type: MachineTypeName | None = None
    """Machine type; if absent, the cheapest that holds the servers which run on the pool."""
    zones: Zones = ()
    """Zones to take machines from; all zones of the region that have the GPU if empty."""
    driver_version: Literal["default", "latest"] | None = None
    """NVIDIA driver; if absent, chosen for the servers' CUDA version. Changing it replaces the pool."""
    min_nodes: Annotated[int, Field(ge=0, le=MOST_NODES)] = 0
    """Fewest nodes over all zones."""
    max_nodes: Annotated[int, Field(ge=1, le=MOST_NODES)] = 1
    """Most nodes over all zones."""
    provisioning: ProvisioningSettings = OnDemandProvisioning(model="onDemand")
    """How Google provides the machines; changing it replaces the pool."""
    disk_size_gb: Annotated[int, Field(ge=50, le=65_536)] = 200
    """Boot disk in GB: images, and model caches that have no disk of their own."""
    disk_type: Literal["pd-balanced", "pd-ssd", "hyperdisk-balanced"] = "pd-balanced"
    """Type of the boot disk; some machines boot from Hyperdisk alone."""
    local_ssds: Annotated[int, Field(ge=0)] = 0
    """375 GB local SSDs for ephemeral storage; changing it replaces the pool."""
    secondary_boot_disks: Annotated[tuple[SecondaryBootDisk, ...], Field(strict=False)] = ()
    """A disk with images or data beside the boot disk, one at most; changing it replaces the pool."""
    sharing: GpuSharing | None = None
    """Several pods on one GPU; changing it replaces the pool."""
    labels: Labels = {}
    """Kubernetes labels of the nodes."""
    taints: Annotated[tuple[NodeTaint, ...], Field(strict=False)] = ()
    """Taints beside the GPU taint that GKE sets."""
    delete_before_replace: bool = False
    """Whether a replacement deletes the old pool first: needed where the GPU quota cannot hold both."""

    @model_validator(mode="after")
    def _ordered(self) -> "NodePoolSettings":
        if self.min_nodes > self.max_nodes:
            raise refused(
                f"minNodes {self.min_nodes} exceeds maxNodes {self.max_nodes}",
                "the autoscaler needs a range",
                "raise maxNodes or lower minNodes",
            )
        return self
