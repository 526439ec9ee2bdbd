"""What the pods of a server get beside what is planned, as Kubernetes spells it."""

from collections.abc import Iterable
from typing import Any

from gke_llm_inference.planning.pod.plan import ExtraContainer, ExtraVolume, PodExtras, VariableReference

# Of a Secret: for the user and group of the pod alone.
_SECRET_MODE = 0o440


def extra_variables(variables: Iterable[VariableReference]) -> dict[str, dict[str, Any]]:
    """Variables from single keys of Secrets and ConfigMaps, by name."""
    return {
        one.name: variable_from(one.name, one.object_name, one.key)
        if one.kind == "Secret"
        else {"name": one.name, "valueFrom": {"configMapKeyRef": {"name": one.object_name, "key": one.key}}}
        for one in variables
    }


def variable_from(name: str, secret: str, key: str) -> dict[str, Any]:
    """A variable whose value is in a Secret."""
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def extra_sources(extras: PodExtras) -> list[dict[str, Any]]:
    """Variables from whole Secrets and ConfigMaps."""
    return [
        {"prefix": one.prefix, "secretRef" if one.kind == "Secret" else "configMapRef": {"name": one.object_name}}
        for one in extras.variable_sources
    ]


def extra_volumes(extras: PodExtras) -> list[dict[str, Any]]:
    """The volumes of the pod."""
    return [{"name": one.name, **_source(one)} for one in extras.volumes]


def extra_mounts(extras: PodExtras) -> list[dict[str, Any]]:
    """Where the server's container sees them."""
    return [
        {"name": one.name, "mountPath": one.mount_path}
        | ({"subPath": one.sub_path} if one.sub_path else {})
        | ({"readOnly": True} if one.read_only else {})
        for one in extras.volumes
    ]


def extra_containers(extras: PodExtras) -> list[dict[str, Any]]:
    """Containers that run before the server, and those that run beside it.

    The latter restart always: so Kubernetes starts them before the server's container, and ends them after it.
    """
    before = [_container(one, restarts=False) for one in extras.init_containers]
    return before + [_container(one, restarts=True) for one in extras.containers]


def format_cpu(millicores: int) -> str:
    """A number of vCPU as Kubernetes writes it."""
    return str(millicores // 1000) if millicores % 1000 == 0 else f"{millicores}m"


def format_memory(mib: int) -> str:
    """An amount of memory in MiB as Kubernetes writes it."""
    return f"{mib // 1024}Gi" if mib % 1024 == 0 else f"{mib}Mi"


def _container(one: ExtraContainer, *, restarts: bool) -> dict[str, Any]:
    variables = {name: {"name": name, "value": value} for name, value in one.environment}
    variables |= extra_variables(one.variables)
    limits = {"memory": f"{one.memory_gib}Gi"}
    mounts = [
        {"name": name, "mountPath": path} | ({"readOnly": True} if read_only else {})
        for name, path, read_only in one.mounts
    ]
    context = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": not one.writable,
        "runAsNonRoot": True,
    }
    optional: dict[str, Any] = {
        "command": list(one.command),
        "args": list(one.args),
        "env": [variable for _, variable in sorted(variables.items())],
        "volumeMounts": mounts,
        "restartPolicy": "Always" if restarts else None,
    }
    return {
        "name": one.name,
        "image": one.image,
        "imagePullPolicy": "IfNotPresent",
        "resources": {"requests": {"cpu": format_cpu(one.cpu_millicores), **limits}, "limits": limits},
        "securityContext": context | ({} if one.user is None else {"runAsUser": one.user}),
        **{key: value for key, value in optional.items() if value},
    }


def _source(one: ExtraVolume) -> dict[str, Any]:
    match one.kind:
        case "ConfigMap":
            return {"configMap": {"name": one.object_name}}
        case "Secret":
            return {"secret": {"secretName": one.object_name, "defaultMode": _SECRET_MODE}}
        case "PersistentVolumeClaim":
            claim: dict[str, Any] = {"claimName": one.object_name}
            return {"persistentVolumeClaim": claim | ({"readOnly": True} if one.read_only else {})}
        case "emptyDir":
            medium = {"medium": "Memory"} if one.in_memory else {}
            return {"emptyDir": {**medium, "sizeLimit": f"{one.size_gib}Gi"}}
