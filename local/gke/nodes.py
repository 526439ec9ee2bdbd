"""Node objects as GKE makes them. Pure."""

from typing import Any

from gke_llm_inference.catalog.kubernetes_names import GPU_RESOURCE
from local.gke.simulation import Pool

MANAGED = "kwok.x-k8s.io/node"
"""Label of the nodes whose kubelet KWOK plays; without it, a node falls silent."""
POOL_LABEL = "cloud.google.com/gke-nodepool"
_PODS = 110


def node(pool: Pool, number: int) -> dict[str, Any]:
    """The `number`-th node of a pool; its nodes go round the zones."""
    name = node_name(pool.name, number)
    zone = pool.zones[number % len(pool.zones)]
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
                "topology.gke.io/zone": zone,
                "topology.kubernetes.io/region": zone.rpartition("-")[0],
                "topology.kubernetes.io/zone": zone,
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


def node_name(pool: str, number: int) -> str:
    """The name of a pool's `number`-th node."""
    return f"gke-local-{pool}-{number:04d}"
