"""Pulumi components that platform teams import; they turn plans into resources and decide nothing themselves."""

from .api_keys import ApiKeys, ApiKeysArgs
from .autoscaling import Autoscaler
from .boot_disk_allowlist import BootDiskAllowlist, BootDiskAllowlistArgs
from .cluster import GkeCluster, GkeClusterArgs
from .compute_class import ComputeClass, ComputeClassArgs
from .configuration import ConfiguredStack, log_plan, read_stack
from .endpoint_picker import EndpointPicker, EndpointPickerArgs
from .gateway import Gateway, GatewayArgs
from .hugging_face_token import HuggingFaceToken, HuggingFaceTokenArgs
from .image_registry import ImageRegistry, ImageRegistryArgs
from .inference_server import InferenceServer, InferenceServerArgs
from .inference_stack import InferenceStack, InferenceStackArgs
from .metrics_adapter import MetricsAdapter, MetricsAdapterArgs
from .model_disk import ModelDisk
from .model_store import ModelStore, ModelStoreArgs
from .network import Network, NetworkArgs
from .node_identity import NodeIdentity, NodeIdentityArgs
from .node_pool import GpuNodePool, GpuNodePoolArgs
from .observability import Observability, ObservabilityArgs
from .served_apis import ServedApis
from .settling import settle
from .stack import StackResources, create_stack

__all__ = [
    "ApiKeys",
    "ApiKeysArgs",
    "Autoscaler",
    "BootDiskAllowlist",
    "BootDiskAllowlistArgs",
    "ComputeClass",
    "ComputeClassArgs",
    "ConfiguredStack",
    "EndpointPicker",
    "EndpointPickerArgs",
    "Gateway",
    "GatewayArgs",
    "GkeCluster",
    "GkeClusterArgs",
    "GpuNodePool",
    "GpuNodePoolArgs",
    "HuggingFaceToken",
    "HuggingFaceTokenArgs",
    "ImageRegistry",
    "ImageRegistryArgs",
    "InferenceServer",
    "InferenceServerArgs",
    "InferenceStack",
    "InferenceStackArgs",
    "MetricsAdapter",
    "MetricsAdapterArgs",
    "ModelDisk",
    "ModelStore",
    "ModelStoreArgs",
    "Network",
    "NetworkArgs",
    "NodeIdentity",
    "NodeIdentityArgs",
    "Observability",
    "ObservabilityArgs",
    "ServedApis",
    "StackResources",
    "create_stack",
    "log_plan",
    "read_stack",
    "settle",
]
