"""Clusters and node pools: protection, addresses and identity."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field

from gke_llm_inference.planning.exposure import control_plane_openings
from gke_llm_inference.policy.model import NoSettings, ResourcePolicy
from gke_llm_inference.policy.pools import CLUSTER, NODE_POOL, accelerators, is_gpu_pool, largest_size
from gke_llm_inference.policy.resources import Opaque, Resource, at, items
from gke_llm_inference.settings.base import PositiveInt, Settings

_CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"
_DEFAULT_ACCOUNT = "-compute@developer.gserviceaccount.com"
_BASIC_ROLES = ("roles/owner", "roles/editor", "roles/viewer")
_IAM_SUFFIXES = ("IAMMember", "IAMBinding", "IamMember", "IamBinding")


def _deletion_protection(resource: Resource, _: NoSettings) -> Iterator[str]:
    # The provider protects a cluster that does not say.
    if resource.type == CLUSTER and resource.at("deletionProtection") is False and not resource.protect:
        yield "can be deleted: deletionProtection is false"


class ControlPlaneSettings(Settings):
    """How wide the ranges may be that reach the control plane."""

    widest_ipv4: Annotated[int, Field(ge=1, le=32)]
    """Shortest prefix of a range of public IPv4 addresses."""
    widest_ipv6: Annotated[int, Field(ge=1, le=128)]
    """Shortest prefix of a range of public IPv6 addresses."""


def _control_plane_access(resource: Resource, settings: ControlPlaneSettings) -> Iterator[str]:
    if resource.type == CLUSTER:
        for reason in control_plane_openings(resource.properties, settings.widest_ipv4, settings.widest_ipv6):
            yield f"its control plane is open to the internet: {reason}"


def _private_nodes(resource: Resource, _: NoSettings) -> Iterator[str]:
    if resource.type == CLUSTER:
        private = resource.at("privateClusterConfig", "enablePrivateNodes")
        if private is not True and not isinstance(private, Opaque):
            yield "its nodes have public addresses: privateClusterConfig.enablePrivateNodes is not true"
    elif resource.type == NODE_POOL and resource.at("networkConfig", "enablePrivateNodes") is False:
        yield "its nodes have public addresses: networkConfig.enablePrivateNodes is false"


def _node_identity(resource: Resource, _: NoSettings) -> Iterator[str]:
    if resource.type == CLUSTER and items(resource.at("nodePools")):
        yield "its node pools are written into it, where no policy looks at them: make each a NodePool of its own"
    where = _identity_path(resource)
    if where is None:
        return
    path = ".".join(where)
    account, scopes = resource.at(*where, "serviceAccount"), resource.at(*where, "oauthScopes")
    if _is_default_account(account):
        yield f"its nodes run as the project's default service account: {path}.serviceAccount"
    if not _is_cloud_platform(scopes):
        yield f"its nodes have access scopes other than cloud-platform: {path}.oauthScopes"


def _identity_path(resource: Resource) -> tuple[str, ...] | None:
    """Where the identity of nodes is; None where there is none to look at."""
    if resource.type == NODE_POOL:
        return ("nodeConfig",)
    autopilot = resource.at("enableAutopilot")
    if resource.type != CLUSTER or isinstance(autopilot, Opaque):
        return None
    if autopilot:
        return ("clusterAutoscaling", "autoProvisioningDefaults")
    if resource.at("nodeConfig") is None and resource.at("nodePools") is not None:
        return None  # its pools are written into it
    return ("nodeConfig",)


def _is_default_account(account: Any) -> bool:
    return account in (None, "", "default") or (isinstance(account, str) and account.endswith(_DEFAULT_ACCOUNT))


def _is_cloud_platform(scopes: Any) -> bool:
    if isinstance(scopes, Opaque):
        return True
    known = [scope for scope in items(scopes) if not isinstance(scope, Opaque)]
    return bool(items(scopes)) and all(scope in (_CLOUD_PLATFORM, "cloud-platform") for scope in known)


def _basic_roles(resource: Resource, _: NoSettings) -> Iterator[str]:
    role = resource.at("role")
    if resource.package == "gcp" and resource.kind.endswith(_IAM_SUFFIXES) and role in _BASIC_ROLES:
        yield f"grants the basic role {role}"


class PoolSettings(Settings):
    """What a GPU node pool may grow to."""

    max_nodes: PositiveInt
    """Nodes that one GPU pool may have at most."""


def _pool_maximum(resource: Resource, settings: PoolSettings) -> Iterator[str]:
    if is_gpu_pool(resource):
        largest = largest_size(resource)
        if largest is None:
            yield "is not bounded: autoscaling has no maximum number of nodes"
        elif not isinstance(largest, Opaque) and largest > settings.max_nodes:
            yield f"may grow to {largest:g} nodes, more than the {settings.max_nodes} that are allowed"
    elif resource.type == CLUSTER:
        for limit in items(resource.at("clusterAutoscaling", "resourceLimits")):
            kind = at(limit, "resourceType")
            if isinstance(kind, str) and kind.startswith("nvidia") and at(limit, "maximum") in (None, 0):
                yield f"makes nodes with {kind} without bound: clusterAutoscaling.resourceLimits has no maximum"


def gpu_types(resource: Resource) -> Iterator[str]:
    """GPUs that a node pool has or a cluster may make."""
    if resource.type == NODE_POOL:
        yield from (gpu["type"] for gpu in accelerators(resource) if isinstance(gpu.get("type"), str))
    elif resource.type == CLUSTER:
        kinds = [at(limit, "resourceType") for limit in items(resource.at("clusterAutoscaling", "resourceLimits"))]
        yield from (kind for kind in kinds if isinstance(kind, str) and kind.startswith("nvidia"))


CONTROL_PLANE_ACCESS = ResourcePolicy(
    name="control-plane-access",
    what="The control plane is not open to the internet.",
    why="Whoever reaches it can try stolen credentials and new exploits on it, which no firewall of pods holds back.",
    fix=(
        "remove the range from cluster.authorizedNetworks: without any, the control plane is reached by its DNS name, "
        "guarded by IAM"
    ),
    settings=ControlPlaneSettings,
    check=_control_plane_access,
)
DELETION_PROTECTION = ResourcePolicy(
    name="deletion-protection",
    what="Clusters are protected from deletion.",
    why="A rename or a wrong stack would otherwise take a cluster down with everything on it.",
    fix="remove deletionProtection: false from cluster",
    check=_deletion_protection,
)
PRIVATE_NODES = ResourcePolicy(
    name="private-nodes",
    what="Nodes have no public addresses.",
    why="A node with one can be reached from the internet, whatever is in front of its pods.",
    fix="set privateClusterConfig.enablePrivateNodes, with Cloud NAT for images; GkeCluster does both",
    check=_private_nodes,
)
NODE_IDENTITY = ResourcePolicy(
    name="node-identity",
    what="Nodes run as a service account of their own, with the one access scope cloud-platform.",
    why=(
        "The project's default account often may edit everything in it, and legacy access scopes hide what IAM roles "
        "grant."
    ),
    fix="give nodes a service account with roles/container.defaultNodeServiceAccount; GkeCluster makes one",
    check=_node_identity,
)
BASIC_ROLES = ResourcePolicy(
    name="basic-roles",
    what="Nobody is granted roles/owner, roles/editor or roles/viewer.",
    why="Basic roles cover all services of a project; whoever takes over such an identity has the project.",
    fix="grant the narrow role that is needed, such as roles/secretmanager.secretAccessor",
    check=_basic_roles,
)
GPU_POOL_MAXIMUM = ResourcePolicy(
    name="gpu-pool-maximum",
    what="Every GPU node pool has a maximum size, within what is allowed.",
    why="GPUs cost by the hour: a pool without bound turns one wrong replica count into a bill.",
    fix="set nodePools.NAME.maxNodes, or raise maxNodes of this policy",
    settings=PoolSettings,
    check=_pool_maximum,
)
