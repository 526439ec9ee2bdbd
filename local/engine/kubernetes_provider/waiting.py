"""When an object counts as ready, from what its own status says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from local.engine.kubernetes_provider.cluster import Cluster, Object

SKIP_AWAIT = "pulumi.com/skipAwait"
_RETRIED_ANYWAY = frozenset({"ContainerCreating", "PodInitializing"})


class State(Enum):
    """How far an object is."""

    READY = "ready"
    WAITING = "waiting"
    FAILED = "failed"


@dataclass(frozen=True)
class Readiness:
    """How far an object is, and in a few words why."""

    state: State
    reason: str = ""


_READY = Readiness(State.READY)


def readiness(live: Object, cluster: Cluster) -> Readiness:
    """Whether an object does what it is for. Kinds that nothing runs for are ready as soon as they exist."""
    metadata = live.get("metadata", {})
    if str(metadata.get("annotations", {}).get(SKIP_AWAIT, "")).lower() == "true":
        return _READY
    status = live.get("status") or {}
    spec = live.get("spec") or {}
    if status.get("observedGeneration", metadata.get("generation")) != metadata.get("generation"):
        return Readiness(State.WAITING, "the change has not been seen by its controller")
    match live.get("apiVersion"), live.get("kind"):
        case "apps/v1", "Deployment":
            return _deployment(spec, status)
        case "apps/v1", "StatefulSet":
            return _replicas(spec.get("replicas", 1), status.get("updatedReplicas", 0), status.get("readyReplicas", 0))
        case "batch/v1", "Job":
            return _job(status)
        case "v1", "Namespace":
            return _phase(status, "Active")
        case "v1", "Pod":
            return _pod(status)
        case "v1", "Service":
            return _service(live, spec, status, cluster)
        case _:
            return _READY


def why_pods_wait(live: Object, cluster: Cluster) -> str:
    """What keeps the pods of a workload from being ready; empty if nothing says so."""
    labels = ((live.get("spec") or {}).get("selector") or {}).get("matchLabels")
    if not isinstance(labels, dict) or not labels:
        return ""
    for pod in cluster.select("v1", "Pod", live["metadata"]["namespace"], labels):
        reason = _why_pod_waits(pod.get("status") or {})
        if reason:
            return f"pod {pod['metadata']['name']}: {reason}"
    return ""


def _why_pod_waits(status: dict[str, Any]) -> str:
    scheduled = _condition(status, "PodScheduled")
    if scheduled.get("status") == "False":
        return str(scheduled.get("message") or scheduled.get("reason") or "not scheduled")
    for container in status.get("containerStatuses") or []:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") and waiting["reason"] not in _RETRIED_ANYWAY:
            return f"{waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
    return ""


def _deployment(spec: dict[str, Any], status: dict[str, Any]) -> Readiness:
    progressing = _condition(status, "Progressing")
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        return Readiness(State.FAILED, str(progressing.get("message", "its progress deadline is over")))
    wanted = spec.get("replicas", 1)
    if status.get("replicas", 0) > status.get("updatedReplicas", 0):
        return Readiness(State.WAITING, "old pods are still there")
    return _replicas(wanted, status.get("updatedReplicas", 0), status.get("availableReplicas", 0))


def _replicas(wanted: int, updated: int, available: int) -> Readiness:
    if updated >= wanted and available >= wanted:
        return _READY
    return Readiness(State.WAITING, f"{min(updated, available)} of {wanted} replicas are available")


def _job(status: dict[str, Any]) -> Readiness:
    failed = _condition(status, "Failed")
    if failed.get("status") == "True":
        return Readiness(State.FAILED, str(failed.get("message", "the job failed")))
    if _condition(status, "Complete").get("status") == "True":
        return _READY
    return Readiness(State.WAITING, "the job is running")


def _pod(status: dict[str, Any]) -> Readiness:
    if status.get("phase") == "Failed":
        return Readiness(State.FAILED, str(status.get("message") or status.get("reason") or "the pod failed"))
    if status.get("phase") == "Succeeded" or _condition(status, "Ready").get("status") == "True":
        return _READY
    return Readiness(State.WAITING, _why_pod_waits(status) or "the pod is not ready")


def _phase(status: dict[str, Any], wanted: str) -> Readiness:
    phase = status.get("phase")
    return _READY if phase in (None, wanted) else Readiness(State.WAITING, f"its phase is {phase}")


def _service(live: Object, spec: dict[str, Any], status: dict[str, Any], cluster: Cluster) -> Readiness:
    if spec.get("type") == "LoadBalancer" and not (status.get("loadBalancer") or {}).get("ingress"):
        return Readiness(State.WAITING, "it has no address yet")
    if spec.get("type") == "ExternalName" or not spec.get("selector") or spec.get("clusterIP") == "None":
        return _READY
    metadata = live["metadata"]
    slices = cluster.select(
        "discovery.k8s.io/v1", "EndpointSlice", metadata["namespace"], {"kubernetes.io/service-name": metadata["name"]}
    )
    if any(
        (endpoint.get("conditions") or {}).get("ready") for one in slices for endpoint in one.get("endpoints") or []
    ):
        return _READY
    return Readiness(State.WAITING, "no pod behind it is ready")


def _condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    return next((one for one in status.get("conditions") or [] if one.get("type") == kind), {})
