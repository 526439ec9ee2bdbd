"""Pulumi components that platform teams import; they turn plans into resources and decide nothing themselves."""

from .cluster import GkeCluster, GkeClusterArgs
from .hugging_face_token import HuggingFaceToken, HuggingFaceTokenArgs
from .inference_server import InferenceServer, InferenceServerArgs
from .network import Network, NetworkArgs
from .node_identity import NodeIdentity, NodeIdentityArgs
from .node_pool import GpuNodePool, GpuNodePoolArgs
from .settling import settle

__all__ = [
    "GkeCluster",
    "GkeClusterArgs",
    "GpuNodePool",
    "GpuNodePoolArgs",
    "HuggingFaceToken",
    "HuggingFaceTokenArgs",
    "InferenceServer",
    "InferenceServerArgs",
    "Network",
    "NetworkArgs",
    "NodeIdentity",
    "NodeIdentityArgs",
    "settle",
]
