"""What Autopilot refuses, and what it changes."""

import copy
from typing import Any

import pytest
from kubernetes.dynamic.exceptions import DynamicApiError

from tests.cluster.support import Cluster, Document
from tests.planning.support import on_autopilot, only_problem
from tests.settings.support import autopilot_stack

CONTAINER: Document = {
    "name": "main",
    "image": "simulated",
    "resources": {"requests": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi"}},
}
L4 = {"cloud.google.com/gke-accelerator": "nvidia-l4"}


def pod(container: Document | None = None, namespace: str = "default", **spec: Any) -> Document:
    merged = {**copy.deepcopy(CONTAINER), **(container or {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "one", "namespace": namespace},
        "spec": {"containers": [merged], **spec},
    }


def gpus(count: int, **requests: str) -> Document:
    resources = {"cpu": "2", "memory": "10Gi", "ephemeral-storage": "10Gi", **requests, "nvidia.com/gpu": str(count)}
    return {"resources": {"requests": resources, "limits": {"nvidia.com/gpu": str(count)}}}


REFUSED = {
    "privileged": (pod({"securityContext": {"privileged": True}}), "autogke-disallow-privilege"),
    "host network": (pod(hostNetwork=True), "autogke-disallow-hostnamespaces"),
    "host processes": (pod(hostPID=True), "autogke-disallow-hostnamespaces"),
    "host path": (
        pod(volumes=[{"name": "host", "hostPath": {"path": "/etc"}}]),
        "autogke-no-write-mode-hostpath",
    ),
    "host port": (pod({"ports": [{"containerPort": 80, "hostPort": 80}]}), "autogke-no-host-port"),
    "capability": (
        pod({"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}),
        "autogke-default-linux-capabilities",
    ),
    "node pool": (
        pod(nodeSelector={"cloud.google.com/gke-nodepool": "l4"}),
        "autogke-node-affinity-selector-limitation",
    ),
    "GPU without a type": (pod(gpus(1)), "you must specify either node selector"),
    "three GPUs": (pod(gpus(3), nodeSelector=L4), "no machine with that many GPUs"),
    "unknown GPU": (
        pod(gpus(1), nodeSelector={"cloud.google.com/gke-accelerator": "nvidia-l5"}),
        "no machine with that many GPUs",
    ),
    "too much CPU": (pod(gpus(1, cpu="32"), nodeSelector=L4), "total cpu is higher"),
    "too much memory": (pod(gpus(1, memory="116Gi"), nodeSelector=L4), "total memory is higher"),
    "too much storage": (
        pod(gpus(1, **{"ephemeral-storage": "123Gi"}), nodeSelector=L4),
        "total ephemeral-storage is higher",
    ),
    "too much storage without a GPU": (
        pod({"resources": {"requests": {"ephemeral-storage": "11Gi"}}}),
        "maximum of '10Gi'",
    ),
    "toleration of GPU nodes without a GPU": (
        pod(tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists"}]),
        "only for pods that request GPUs",
    ),
    "system namespace": (pod(namespace="kube-system"), "autogke-managed-namespaces"),
}


@pytest.mark.parametrize(("document", "reason"), REFUSED.values(), ids=REFUSED)
def test_autopilot_refuses(autopilot: Cluster, document: Document, reason: str) -> None:
    with pytest.raises(DynamicApiError) as refused:
        autopilot.apply(document, dry_run=True)
    assert reason in str(refused.value.body)
    assert "GKE Warden" in str(refused.value.body)


def test_what_the_plan_refuses_for_autopilots_maximum_autopilot_refuses_too(autopilot: Cluster) -> None:
    problem = only_problem(autopilot_stack(resources={"memoryGib": 116}))
    assert "Autopilot rejects the pod" in str(problem)
    with pytest.raises(DynamicApiError):
        autopilot.apply(pod(gpus(1, memory="116Gi"), nodeSelector=L4), dry_run=True)
    autopilot.apply(pod(gpus(1, memory="115Gi"), nodeSelector=L4), dry_run=True)


def test_limits_become_requests(autopilot: Cluster) -> None:
    resources = autopilot.apply(pod(), dry_run=True)["spec"]["containers"][0]["resources"]
    assert resources["limits"] == resources["requests"] == CONTAINER["resources"]["requests"]


def test_what_is_not_asked_for_gets_a_default(autopilot: Cluster) -> None:
    resources = autopilot.apply(pod({"resources": {}}), dry_run=True)["spec"]["containers"][0]["resources"]
    expected = {"cpu": "500m", "memory": "2Gi", "ephemeral-storage": "1Gi"}
    assert resources == {"limits": expected, "requests": expected}


def test_two_gpus_raise_the_requests_as_the_plan_says(autopilot: Cluster) -> None:
    planned = on_autopilot(accelerator={"count": 2})
    given = autopilot.apply(pod(gpus(2), nodeSelector=L4), dry_run=True)["spec"]["containers"][0]["resources"]
    assert given["requests"]["cpu"] == f"{planned.resources.cpu_millicores // 1000}"
    assert given["requests"]["memory"] == f"{planned.resources.memory_gib}Gi"
    assert given["limits"] == given["requests"]
