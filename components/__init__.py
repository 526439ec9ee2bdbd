"""Pulumi components that platform teams import; they turn plans into resources and decide nothing themselves."""

from components.cluster import GkeCluster, GkeClusterArgs
from components.hugging_face_token import HuggingFaceToken, HuggingFaceTokenArgs
from components.inference_server import InferenceServer, InferenceServerArgs
from components.network import Network, NetworkArgs
from components.node_identity import NodeIdentity, NodeIdentityArgs
from components.node_pool import GpuNodePool, GpuNodePoolArgs
from components.settling import settle

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
