"""What a type token stands for, and which changes the API server does not take on an existing object.

The list is that of Pulumi's own provider, as far as its kinds can be part of a stack here: pulumi-kubernetes 4.34,
provider/pkg/provider/diff.go.
"""

from __future__ import annotations

from typing import Any, Final

PACKAGE: Final = "kubernetes"

_IDENTITY = ("apiVersion", "kind", "metadata.name", "metadata.namespace")

_IMMUTABLE: Final[dict[str, tuple[str, ...]]] = {
    "apps/v1/DaemonSet": ("spec.selector",),
    "apps/v1/Deployment": ("spec.selector",),
    "apps/v1/StatefulSet": (
        "spec.podManagementPolicy",
        "spec.revisionHistoryLimit",
        "spec.selector",
        "spec.serviceName",
        "spec.volumeClaimTemplates",
    ),
    "batch/v1/Job": ("spec.completions", "spec.parallelism", "spec.selector", "spec.template"),
    "rbac.authorization.k8s.io/v1/ClusterRoleBinding": ("roleRef",),
    "rbac.authorization.k8s.io/v1/RoleBinding": ("roleRef",),
    "storage.k8s.io/v1/StorageClass": ("parameters", "provisioner"),
    "v1/ConfigMap": ("binaryData", "data"),
    "v1/PersistentVolumeClaim": (
        "spec.accessModes",
        "spec.selector",
        "spec.storageClassName",
        "spec.volumeName",
    ),
    "v1/Pod": ("spec",),
    "v1/Secret": ("data", "stringData", "type"),
    "v1/Service": ("spec.clusterIP",),
}


def api_of(type_token: str, inputs: dict[str, Any]) -> tuple[str, str]:
    """API version and kind of a resource.

    Raises:
        ValueError: the token is of another package, or names no API.

    """
    package, _, rest = type_token.partition(":")
    module, _, kind = rest.partition(":")
    group, slash, version = module.partition("/")
    if package != PACKAGE or not kind or not slash:
        raise ValueError(f"{type_token} is no Kubernetes object")
    if inputs.get("apiVersion") and inputs.get("kind"):
        return str(inputs["apiVersion"]), str(inputs["kind"])
    return (version if group == "core" else module), kind


def replaces(api_version: str, kind: str, path: str) -> bool:
    """Whether a change at a property path needs another object in this one's place."""
    fixed = (*_IDENTITY, *_IMMUTABLE.get(f"{api_version}/{kind}", ()))
    return any(path == one or path.startswith((f"{one}.", f"{one}[")) for one in fixed) or any(
        one.startswith((f"{path}.", f"{path}[")) for one in fixed
    )


def is_secret(api_version: str, kind: str) -> bool:
    """Whether it is a Kubernetes Secret."""
    return (api_version, kind) == ("v1", "Secret")


SECRET_PROPERTIES: Final = ("data", "stringData")
"""What of a Kubernetes Secret is secret, whether or not the program marked it."""
