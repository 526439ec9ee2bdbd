"""Node objects as GKE makes them. Pure."""

from collections.abc import Mapping
from typing import Any

from gke_llm_inference.catalog.kubernetes_names import GPU_RESOURCE
from local.gke.pools import Pool

MANAGED = "kwok.x-k8s.io/node"
"""Label of the nodes whose kubelet KWOK plays; without it, a node falls silent."""
MACHINE = "local-gke/machine"
"""Annotation of nodes with GPUs: the words by which a stock calls their machine."""
SHUTDOWN = "local-gke/shutdown-seconds"
CRITICAL = "local-gke/shutdown-critical-seconds"
"""Annotations of nodes whose kubelet has another time before its machine goes than GKE's, and its critical pods too."""
_PODS = 110


def node(
    pool: Pool, number: int, *, zone: str | None = None, annotations: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The `number`-th node of a pool; its nodes go round the zones unless told otherwise."""
    name = node_name(pool.name, number)
    zone = zone or zone_of(pool, number)
    grace = {SHUTDOWN: pool.provision.shutdown_seconds, CRITICAL: pool.provision.critical_seconds}
    gpus = {GPU_RESOURCE: str(pool.gpus)} if pool.gpus else {}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                **pool.labels,
                MANAGED: "fake",
                "kubernetes.io/hostname": name,
                **zone_labels(zone),
            },
            "annotations": {
                **({MACHINE: " ".join((*pool.words, zone))} if pool.words else {}),
                **{name: str(seconds) for name, seconds in grace.items() if seconds is not None},
                **(annotations or {}),
            },
        },
        "spec": {
            "providerID": f"gce://local/{zone}/{name}",
            "taints": [{"key": taint.key, "value": taint.value, "effect": taint.effect} for taint in pool.taints],
        },
        "status": {
            "capacity": {
                "cpu": str(pool.vcpus),
                "ephemeral-storage": f"{pool.disk_gb}Gi",
                "memory": f"{pool.machine_memory_gib}Gi",
                "pods": str(_PODS),
                **gpus,
            },
            "allocatable": {
                "cpu": f"{pool.cpu_millicores}m",
                "ephemeral-storage": f"{int(pool.ephemeral_gib * 1024)}Mi",
                "memory": f"{pool.memory_mib}Mi",
                "pods": str(_PODS),
                **gpus,
            },
        },
    }


def zone_of(pool: Pool, number: int) -> str:
    """The zone that a pool's `number`-th node comes to if all have machines."""
    return pool.zones[number % len(pool.zones)]


def zone_labels(zone: str) -> dict[str, str]:
    """Labels that say where a node is."""
    return {
        "topology.gke.io/zone": zone,
        "topology.kubernetes.io/region": zone.rpartition("-")[0],
        "topology.kubernetes.io/zone": zone,
    }


def node_name(pool: str, number: int) -> str:
    """The name of a pool's `number`-th node."""
    return f"gke-local-{pool}-{number:04d}"
