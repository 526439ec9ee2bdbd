"""Objects that a GKE cluster has before anybody uses it. Pure."""

from pathlib import Path
from typing import Any

import yaml

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.catalog.kubernetes_names import COMPUTE_CLASS_LABEL
from local.binaries import gateway_definitions
from local.gke.autopilot import autopilot_policies
from local.gke.control_plane import ADMINISTRATORS
from local.gke.simulation import Simulation
from local.gke.stages import CRASH, READY, START_ANNOTATION

_CUSTOM_RESOURCES = Path(__file__).resolve().parent / "custom_resources.yaml"
_SYSTEM = "kube-system"
SYSTEM_NAMESPACE = "local-gke-system"
STARTS = "start-times"
_DISKS = {"standard-rwo": "pd-balanced", "premium-rwo": "pd-ssd"}


def rights() -> list[dict[str, Any]]:
    """The cluster's administrators, and the processes that play Google's part."""
    groups = [_binding("local-gke-administrators", [{"kind": "Group", "name": ADMINISTRATORS}])]
    # GKE's own nodes and machines act from outside the cluster; here two processes stand for them.
    users = [{"kind": "User", "name": name} for name in ("system:kwok", "system:node-autoscaler")]
    return [*groups, _binding("local-gke-machines", users)]


def _binding(name: str, subjects: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", **subject} for subject in subjects],
    }


def custom_resources() -> list[dict[str, Any]]:
    """Definitions of the custom resources that GKE serves."""
    compact = yaml.safe_load(_CUSTOM_RESOURCES.read_text("utf-8"))
    return [*map(_definition, compact), *gateway_definitions()]


def _definition(resource: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource['plural']}.{resource['group']}"},
        "spec": {
            "group": resource["group"],
            "scope": resource["scope"],
            "names": {
                "kind": resource["kind"],
                "listKind": f"{resource['kind']}List",
                "plural": resource["plural"],
                "singular": resource["kind"].lower(),
            },
            "versions": [
                {
                    "name": resource["version"],
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "required": ["spec"],
                            "properties": {
                                "spec": resource["spec"],
                                "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                            },
                        }
                    },
                }
            ],
        },
    }


def common() -> list[dict[str, Any]]:
    """Storage classes, GKE's DaemonSets as one, and the policy that gives pods their start-up times."""
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM_NAMESPACE}},
        *(_storage_class(name, disk) for name, disk in sorted(_DISKS.items())),
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "CSIDriver",
            "metadata": {"name": "pd.csi.storage.gke.io"},
            # Nothing attaches disks to simulated nodes.
            "spec": {"attachRequired": False, "podInfoOnMount": False},
        },
        _system_pods(),
        *_start_policy(),
        *_class_policy(),
    ]


def _storage_class(name: str, disk: str) -> dict[str, Any]:
    default = {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}} if name == "standard-rwo" else {}
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name, **default},
        "provisioner": "pd.csi.storage.gke.io",
        "parameters": {"type": disk},
        "allowVolumeExpansion": True,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
    }


def _system_pods() -> dict[str, Any]:
    """What GKE's DaemonSets request on every node, as the planner assumes it."""
    need = load_catalog().gke.system_pods
    labels = {"k8s-app": "gke-system"}
    requests = {"cpu": f"{need.cpu_millicores}m", "memory": f"{need.memory_mib}Mi"}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "gke-system", "namespace": _SYSTEM, "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "priorityClassName": "system-node-critical",
                    "tolerations": [{"operator": "Exists"}],
                    "automountServiceAccountToken": False,
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{"name": "system", "image": "simulated", "resources": {"requests": requests}}],
                },
            },
        },
    }


def start_times(simulation: Simulation) -> dict[str, Any]:
    """The parameters of the policy: for each server, when its container runs, when it answers, and whether in time."""
    data = {}
    for start in simulation.starts:
        in_time = start.expected_seconds <= start.budget_seconds
        seconds = min(start.expected_seconds, start.budget_seconds)
        data[f"{start.namespace}.{start.server}"] = f"{start.image_seconds} {seconds} {READY if in_time else CRASH}"
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": STARTS, "namespace": SYSTEM_NAMESPACE},
        "data": dict(sorted(data.items())),
    }


def _start_policy() -> list[dict[str, Any]]:
    name = "local-gke-start-times"
    instance = "app.kubernetes.io/instance"
    key = f"request.namespace + '.' + object.metadata.labels['{instance}']"
    return [
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "failurePolicy": "Fail",
                "reinvocationPolicy": "Never",
                "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
                "matchConstraints": {
                    "resourceRules": [
                        {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
                    ]
                },
                "matchConditions": [
                    {
                        "name": "server",
                        "expression": f"has(object.metadata.labels) && '{instance}' in object.metadata.labels",
                    }
                ],
                "variables": [
                    {"name": "key", "expression": key},
                    {
                        "name": "start",
                        "expression": "has(params.data) && variables.key in params.data "
                        f"? params.data[variables.key] : '0 0 {READY}'",
                    },
                ],
                "mutations": [
                    {
                        "patchType": "ApplyConfiguration",
                        "applyConfiguration": {
                            "expression": "Object{metadata: Object.metadata{annotations: "
                            f"{{'{START_ANNOTATION}': variables.start}}}}}}"
                        },
                    }
                ],
            },
        },
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {
                "policyName": name,
                "paramRef": {"name": STARTS, "namespace": SYSTEM_NAMESPACE, "parameterNotFoundAction": "Allow"},
            },
        },
    ]


def _class_policy() -> list[dict[str, Any]]:
    """Pods that ask for a compute class tolerate the taint of its nodes, as GKE has it."""
    name = "local-gke-compute-classes"
    toleration = (
        f"Object.spec.tolerations{{key: '{COMPUTE_CLASS_LABEL}', operator: 'Equal', "
        f"value: object.spec.nodeSelector['{COMPUTE_CLASS_LABEL}'], effect: 'NoSchedule'}}"
    )
    return [
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "failurePolicy": "Fail",
                "reinvocationPolicy": "Never",
                "matchConstraints": {
                    "resourceRules": [
                        {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
                    ]
                },
                "matchConditions": [
                    {
                        "name": "class",
                        "expression": "has(object.spec.nodeSelector) "
                        f"&& '{COMPUTE_CLASS_LABEL}' in object.spec.nodeSelector",
                    }
                ],
                "mutations": [
                    {
                        "patchType": "JSONPatch",
                        "jsonPatch": {
                            "expression": "has(object.spec.tolerations) "
                            f"? [JSONPatch{{op: 'add', path: '/spec/tolerations/-', value: {toleration}}}] "
                            f": [JSONPatch{{op: 'add', path: '/spec/tolerations', value: [{toleration}]}}]"
                        },
                    }
                ],
            },
        },
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {"policyName": name},
        },
    ]


def autopilot() -> list[dict[str, Any]]:
    """What Autopilot refuses and changes."""
    return autopilot_policies(load_catalog())
