"""Stack configuration as frozen, strictly typed models. Plain data only: no Pulumi Outputs and no secrets."""

from gke_llm_inference.settings.cluster import (
    AuthorizedNetwork,
    AutopilotCluster,
    ClusterSettings,
    CreatedNetwork,
    DatabaseEncryption,
    ExistingCluster,
    ExistingNetwork,
    Maintenance,
    StandardCluster,
    SystemPool,
)
from gke_llm_inference.settings.findings import Finding, Refusal
from gke_llm_inference.settings.hugging_face import (
    ConfigToken,
    ExistingSecretToken,
    HuggingFaceSettings,
    NoToken,
    SecretManagerToken,
)
from gke_llm_inference.settings.lifecycle import ShutdownSettings
from gke_llm_inference.settings.network_policy import (
    NetworkDestination,
    NetworkPeer,
    NetworkPolicySettings,
    ServerNetworkPolicySettings,
)
from gke_llm_inference.settings.node_pools import (
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
from gke_llm_inference.settings.parse import nearest, parse_settings, suggestion
from gke_llm_inference.settings.servers import (
    ArchitectureSettings,
    ModelVolume,
    ResourceSettings,
    ServerAccelerator,
    ServerSettings,
    TgiSettings,
    VllmSettings,
)
from gke_llm_inference.settings.stack import StackSettings
from gke_llm_inference.settings.workload import LatencyObjective, ObjectiveSettings, TokenCounts, WorkloadSettings

__all__ = [
    "AcceleratorSettings",
    "ArchitectureSettings",
    "AuthorizedNetwork",
    "AutopilotCluster",
    "ClusterSettings",
    "ConfigToken",
    "CreatedNetwork",
    "DatabaseEncryption",
    "ExistingCluster",
    "ExistingNetwork",
    "ExistingSecretToken",
    "Finding",
    "FlexStartProvisioning",
    "GpuSharing",
    "HuggingFaceSettings",
    "LatencyObjective",
    "Maintenance",
    "ModelVolume",
    "NetworkDestination",
    "NetworkPeer",
    "NetworkPolicySettings",
    "NoToken",
    "NodePoolSettings",
    "NodeTaint",
    "ObjectiveSettings",
    "OnDemandProvisioning",
    "Refusal",
    "ReservationProvisioning",
    "ResourceSettings",
    "SecondaryBootDisk",
    "SecretManagerToken",
    "ServerAccelerator",
    "ServerNetworkPolicySettings",
    "ServerSettings",
    "ShutdownSettings",
    "SpotProvisioning",
    "StackSettings",
    "StandardCluster",
    "SystemPool",
    "TgiSettings",
    "TokenCounts",
    "VllmSettings",
    "WorkloadSettings",
    "nearest",
    "parse_settings",
    "suggestion",
]
