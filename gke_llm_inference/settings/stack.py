"""The settings of a whole stack."""

from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from gke_llm_inference.settings.access import GatewaySettings
from gke_llm_inference.settings.autoscaling import StackAutoscalingSettings
from gke_llm_inference.settings.base import DnsLabel, ModelId, Name, Settings, refused
from gke_llm_inference.settings.boot_disks import BootDiskAllowlistSettings
from gke_llm_inference.settings.cluster import ClusterSettings, ExistingCluster
from gke_llm_inference.settings.hugging_face import HuggingFaceSettings, NoToken
from gke_llm_inference.settings.image_registry import ImageRegistrySettings
from gke_llm_inference.settings.model_store import Commit, ModelStoreSettings
from gke_llm_inference.settings.network_policy import NetworkPolicySettings
from gke_llm_inference.settings.node_pools import NodePoolSettings
from gke_llm_inference.settings.observability import ObservabilitySettings
from gke_llm_inference.settings.servers import ServerSettings

ImageReference = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9][^\s@]{0,299}$")]
QuotaName = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]{2,99}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]


class StackSettings(Settings):
    """What a stack's configuration says, without the token."""

    cluster: ClusterSettings
    """The GKE cluster to create or to use."""
    node_pools: dict[Name, NodePoolSettings] = {}
    """GPU node pools by name; Autopilot has none."""
    hugging_face: HuggingFaceSettings = NoToken(token_source="none")  # noqa: S106 the name of a source
    """Where the servers find the Hugging Face token."""
    namespace: DnsLabel = "llm-inference"
    """Kubernetes namespace of the servers."""
    create_namespace: bool = True
    """Whether the stack makes the namespace; false where it exists already."""
    gateway: GatewaySettings = GatewaySettings()
    """Load balancers through which servers are reached from outside of the cluster."""
    autoscaling: StackAutoscalingSettings = StackAutoscalingSettings()
    """What all servers that scale have in common."""
    gpu_quota: dict[QuotaName, Annotated[int, Field(ge=0, le=1_000_000)]] = {}
    """GPUs that the project's quotas allow, by Google's names, such as NVIDIA_L4_GPUS; not known if absent."""
    image_digests: dict[ImageReference, Digest] = {}
    """Digest of each image by its name and tag, which then runs whatever the tag has come to stand for."""
    image_registry: ImageRegistrySettings | None = None
    """Repositories of Artifact Registry that images come through, so that nodes stream them; none if absent."""
    model_revisions: dict[ModelId, Commit] = {}
    """Commit of each model by its Hugging Face id, for servers that state no revision."""
    model_store: ModelStoreSettings | None = None
    """A bucket that models are copied to once, and that servers read them from; none if absent."""
    boot_disk_allowlist: BootDiskAllowlistSettings | None = None
    """Who makes the cluster's one list of disk images that nodes may start with; the stack that makes the cluster if
    absent."""
    network_policy: NetworkPolicySettings = NetworkPolicySettings()
    """Who may talk to the servers, and whom they may talk to."""
    observability: ObservabilitySettings = ObservabilitySettings()
    """What is watched: metrics of the servers, and alerts."""
    servers: dict[Name, ServerSettings]
    """Inference servers by name; {} for a stack whose cluster or node pools other stacks use."""

    @model_validator(mode="after")
    def _makes_something(self) -> "StackSettings":
        if not self.servers and not self.node_pools and isinstance(self.cluster, ExistingCluster):
            raise refused(
                "has no servers, no node pools and no cluster of its own",
                "there would be nothing to serve and nothing to make",
                "add a server under servers",
            )
        return self
