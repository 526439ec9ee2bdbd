"""How many pods a workload has at most: what scales it may go further than what it states."""

from collections.abc import Sequence

from gke_llm_inference.policy.resources import Resource, at, number
from gke_llm_inference.policy.workloads import object_name, same_namespace

_KEDA_MAXIMUM = 100
"""Pods that KEDA goes to where a ScaledObject states no maximum."""


def most_replicas(workload: Resource, resources: Sequence[Resource]) -> float | None:
    """Pods that a workload has at most: what its autoscaler may go to, else what it states; None where not known."""
    for scaler in resources:
        if not same_namespace(scaler, workload):
            continue
        target = scaler.at("spec", "scaleTargetRef")
        if at(target, "name") != object_name(workload):
            continue
        if scaler.group == "autoscaling" and at(target, "kind") == workload.kind:
            return number(scaler.at("spec", "maxReplicas"))
        if scaler.kind == "ScaledObject" and (at(target, "kind") or "Deployment") == workload.kind:
            stated = scaler.at("spec", "maxReplicaCount")
            return _KEDA_MAXIMUM if stated is None else number(stated)
    replicas = workload.at("spec", "replicas")
    return 1.0 if replicas is None else number(replicas)
