"""Node pools as registered: their GPUs and how large they get."""

from typing import Any

from gke_llm_inference.planning.cluster import region_of
from gke_llm_inference.policy.resources import Opaque, Resource, at, fields, items, number

CLUSTER = "gcp:container/cluster:Cluster"
NODE_POOL = "gcp:container/nodePool:NodePool"

_ZONES_OF_A_REGION = 3
"""Zones that GKE spreads a regional pool over unless it is told which."""


def is_gpu_pool(resource: Resource) -> bool:
    """Whether it is a node pool with GPUs, as far as is known."""
    return resource.type == NODE_POOL and bool(accelerators(resource))


def hides_gpus(resource: Resource) -> bool:
    """Whether it is a node pool of which is not known whether it has GPUs."""
    return resource.type == NODE_POOL and isinstance(resource.at("nodeConfig", "guestAccelerators"), Opaque)


def accelerators(pool: Resource) -> list[dict[str, Any]]:
    """The GPUs of each node."""
    return [fields(item) for item in items(pool.at("nodeConfig", "guestAccelerators"))]


def largest_size(pool: Resource) -> float | Opaque | None:
    """Nodes that a pool has at most, over all its zones; None if nothing bounds it."""
    scaling = pool.at("autoscaling")
    if isinstance(scaling, Opaque):
        return scaling
    if isinstance(scaling, dict):
        # Zero is how the provider gives back what is not set.
        return _set(at(scaling, "totalMaxNodeCount")) or _times_zones(pool, _set(at(scaling, "maxNodeCount")))
    return _times_zones(pool, _set(pool.at("nodeCount"))) or _times_zones(pool, _set(pool.at("initialNodeCount")))


def _set(value: Any) -> float | Opaque | None:
    return value if isinstance(value, Opaque) else number(value) or None


def _times_zones(pool: Resource, nodes: float | Opaque | None) -> float | Opaque | None:
    """Nodes in all zones, of a number that counts in each."""
    if nodes is None or isinstance(nodes, Opaque):
        return nodes
    zones, location = pool.at("nodeLocations"), pool.at("location")
    if isinstance(zones, Opaque) or (not zones and isinstance(location, Opaque)):
        return Opaque.UNKNOWN
    if isinstance(zones, list) and zones:
        return nodes * len(zones)
    is_region = isinstance(location, str) and region_of(location) == location
    return nodes * (_ZONES_OF_A_REGION if is_region else 1)
