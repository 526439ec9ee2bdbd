"""The settings of a whole stack."""

from typing import Annotated

from pydantic import Field

from settings.base import DnsLabel, Name, Settings
from settings.cluster import ClusterSettings
from settings.hugging_face import HuggingFaceSettings, NoToken
from settings.node_pools import NodePoolSettings
from settings.servers import ServerSettings


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
    servers: Annotated[dict[Name, ServerSettings], Field(min_length=1)]
    """Inference servers by name."""
