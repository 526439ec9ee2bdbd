"""Stack configuration as frozen, strictly typed models. Plain data only: no Pulumi Outputs and no secrets."""

from settings.cluster import (
    AuthorizedNetwork,
    AutopilotCluster,
    ClusterSettings,
    CreatedNetwork,
    ExistingCluster,
    ExistingNetwork,
    Maintenance,
    StandardCluster,
    SystemPool,
)
from settings.findings import Finding, Refusal
from settings.hugging_face import (
    ConfigToken,
    ExistingSecretToken,
    HuggingFaceSettings,
    NoToken,
    SecretManagerToken,
)
from settings.node_pools import (
    AcceleratorSettings,
    FlexStartProvisioning,
    GpuSharing,
    NodePoolSettings,
    NodeTaint,
    OnDemandProvisioning,
    ReservationProvisioning,
    SecondaryBootDisk,
    SpotProvisioning,
)
from settings.parse import nearest, parse_settings, suggestion
from settings.servers import (
    ArchitectureSettings,
    ModelVolume,
    ResourceSettings,
    ServerAccelerator,
    ServerSettings,
    TgiSettings,
    VllmSettings,
)
from settings.stack import StackSettings

__all__ = [
    "AcceleratorSettings",
    "ArchitectureSettings",
    "AuthorizedNetwork",
    "AutopilotCluster",
    "ClusterSettings",
    "ConfigToken",
    "CreatedNetwork",
    "ExistingCluster",
    "ExistingNetwork",
    "ExistingSecretToken",
    "Finding",
    "FlexStartProvisioning",
    "GpuSharing",
    "HuggingFaceSettings",
    "Maintenance",
    "ModelVolume",
    "NoToken",
    "NodePoolSettings",
    "NodeTaint",
    "OnDemandProvisioning",
    "Refusal",
    "ReservationProvisioning",
    "ResourceSettings",
    "SecondaryBootDisk",
    "SecretManagerToken",
    "ServerAccelerator",
    "ServerSettings",
    "SpotProvisioning",
    "StackSettings",
    "StandardCluster",
    "SystemPool",
    "TgiSettings",
    "VllmSettings",
    "nearest",
    "parse_settings",
    "suggestion",
]
