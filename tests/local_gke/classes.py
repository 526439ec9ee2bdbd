"""Compute classes, nodes and pods as the API server would have them."""

from typing import Any

from local.gke.compute_classes import ComputeClass, compute_class
from local.gke.nodes import node
from local.gke.pools import Pool
from local.gke.scaling import Addition
from tests.planning.support import CATALOG

Document = dict[str, Any]

NAME = "gemma-l4"
REGION = "us-central1"
L4: Document = {"machineType": "g2-standard-8", "gpu": {"type": "nvidia-l4", "count": 1, "driverVersion": "latest"}}
A100: Document = {"machineType": "a2-highgpu-1g", "gpu": {"type": "nvidia-tesla-a100", "count": 1}}
RESERVATION: Document = {
    **L4,
    "reservations": {"affinity": "Specific", "specific": [{"name": "l4-res", "zones": ["us-central1-a"]}]},
}
ON_DEMAND: Document = {**L4, "location": {"zones": ["us-central1-a", "us-central1-b"]}}
FLEX_START: Document = {
    **L4,
    "flexStart": {"enabled": True, "nodeRecycling": {"leadTimeSeconds": 3600}},
    "maxRunDurationSeconds": 7200,
    "capacityCheckWaitTimeSeconds": 1800,
}
SPOT: Document = {
    **L4,
    "spot": True,
    "nodeSystemConfig": {
        "kubeletConfig": {"shutdownGracePeriodSeconds": 120, "shutdownGracePeriodCriticalPodsSeconds": 15}
    },
}


def document_of(*priorities: Document, creates: bool = True, **spec: Any) -> Document:
    """A ComputeClass."""
    return {
        "apiVersion": "cloud.google.com/v1",
        "kind": "ComputeClass",
        "metadata": {"name": NAME},
        "spec": {
            "whenUnsatisfiable": "DoNotScaleUp",
            "nodePoolAutoCreation": {"enabled": creates},
            "priorities": list(priorities),
            **spec,
        },
    }


def class_of(*priorities: Document, autopilot: bool = False, creates: bool = True, **spec: Any) -> ComputeClass:
    """What the autoscaler makes of it."""
    return compute_class(document_of(*priorities, creates=creates, **spec), REGION, CATALOG, autopilot=autopilot)


def waiting(name: str, **spec: Any) -> Document:
    """A pod with one GPU that asks for the class."""
    requests = {"cpu": "4", "memory": "14Gi", "nvidia.com/gpu": "1"}
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": name,
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {
            "containers": [{"name": "main", "resources": {"requests": requests}}],
            "nodeSelector": {"cloud.google.com/compute-class": NAME},
            "tolerations": [{"operator": "Exists"}],
            **spec,
        },
        "status": {
            "phase": "Pending",
            "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}],
        },
    }


def node_of(pool: Pool, added: Addition | None = None, **arguments: Any) -> Document:
    """A node of a pool: its first one, or one that was added."""
    if added is not None:
        return node(pool, added.number, zone=added.zone, **arguments)
    return node(pool, 0, **arguments)
