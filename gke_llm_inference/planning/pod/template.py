"""The pod template of a server, as Kubernetes spells it."""

from copy import deepcopy
from typing import Any

from gke_llm_inference.catalog.kubernetes_names import GPU_RESOURCE
from gke_llm_inference.planning.compile_cache.plan import CACHE_DIRECTORY
from gke_llm_inference.planning.plan import ServerPlan, Toleration
from gke_llm_inference.planning.pod.containers import (
    extra_containers,
    extra_mounts,
    extra_sources,
    extra_variables,
    extra_volumes,
    format_cpu,
    variable_from,
)
from gke_llm_inference.planning.pod.names import (
    API_KEYS_VOLUME,
    CACHE_VOLUME,
    COMPILE_CACHE_VOLUME,
    MODEL_VOLUME,
    SERVER_CONTAINER,
    SERVER_PORT,
    SHARED_MEMORY_PATH,
    SHARED_MEMORY_VOLUME,
    TOKEN_VARIABLES,
)
from gke_llm_inference.planning.pod.plan import SpreadConstraint

# Of a Secret: for the user and group of the pod alone.
_SECRET_MODE = 0o440


def pod_template(plan: ServerPlan) -> dict[str, Any]:
    """The template of a server's pods after its patch, without what only a deployment knows: versions of Secrets.

    A new object each time, which the caller may change.
    """
    return planned_template(plan) if plan.pod_patch is None else deepcopy(plan.pod_patch.template)


def planned_template(plan: ServerPlan) -> dict[str, Any]:
    """The same before its patch."""
    annotations = {
        **plan.pod.annotations,
        **(plan.compile_cache.annotations if plan.compile_cache else {}),
        **(plan.model_volume.annotations if plan.model_volume else {}),
    }
    metadata = {"labels": dict(plan.labels)} | ({"annotations": annotations} if annotations else {})
    return {"metadata": metadata, "spec": _spec(plan)}


def _spec(plan: ServerPlan) -> dict[str, Any]:
    context: dict[str, Any] = {"seccompProfile": {"type": "RuntimeDefault"}}
    if plan.user:
        uid, gid = plan.user
        context |= {"runAsNonRoot": True, "runAsUser": uid, "runAsGroup": gid, "fsGroup": gid}
    optional = {
        "hostIPC": plan.host_ipc,
        "priorityClassName": plan.priority_class,
        "runtimeClassName": plan.pod.runtime_class,
        "imagePullSecrets": [{"name": name} for name in plan.pod.image_pull_secrets],
        "initContainers": extra_containers(plan.pod),
    }
    return {
        "serviceAccountName": plan.name,
        # The server never speaks to the Kubernetes API.
        "automountServiceAccountToken": False,
        # A Service's variables read like the server's own: VLLM_PORT=tcp://... stops vLLM.
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": plan.shutdown.grace_seconds,
        "nodeSelector": dict(plan.node_selector),
        "tolerations": list(map(_toleration, plan.tolerations)),
        "securityContext": context,
        "containers": [_container(plan)],
        "topologySpreadConstraints": [_spread(one, plan) for one in plan.pod.spread],
        "volumes": [
            _cache_volume(plan),
            _shared_memory_volume(plan),
            *_model_volumes(plan),
            *_api_key_volumes(plan),
            *_compile_cache_volumes(plan),
            *extra_volumes(plan.pod),
        ],
        **{key: value for key, value in optional.items() if value},
    }


def _toleration(one: Toleration) -> dict[str, Any]:
    value = {"operator": "Equal", "value": one.value} if one.value else {"operator": "Exists"}
    return {"key": one.key, **value, "effect": one.effect}


def _spread(one: SpreadConstraint, plan: ServerPlan) -> dict[str, Any]:
    return {
        "topologyKey": one.key,
        "maxSkew": one.max_skew,
        "whenUnsatisfiable": "DoNotSchedule" if one.waits else "ScheduleAnyway",
        **({"minDomains": one.domains} if one.domains else {}),
        "labelSelector": {"matchLabels": dict(plan.selector)},
        # A rollout counts its own pods alone, or those that go would decide where the new ones run.
        "matchLabelKeys": ["pod-template-hash"],
    }


def _container(plan: ServerPlan) -> dict[str, Any]:
    # The image's own directory belongs to root.
    directory = plan.home if plan.user else plan.model_volume.working_directory if plan.model_volume else None
    optional: dict[str, Any] = {
        "command": list(plan.command),
        "workingDir": directory,
        "envFrom": extra_sources(plan.pod),
    }
    return {
        "name": SERVER_CONTAINER,
        "image": plan.image,
        "imagePullPolicy": "IfNotPresent",
        "args": list(plan.all_arguments),
        "env": _environment(plan),
        "ports": [{"name": SERVER_PORT, "containerPort": plan.port, "protocol": "TCP"}],
        "resources": _resources(plan),
        "startupProbe": _probe(plan, plan.probes.startup_period_seconds, plan.probes.startup_failures),
        "readinessProbe": _probe(plan, plan.probes.readiness_period_seconds, plan.probes.readiness_failures),
        "livenessProbe": _probe(plan, plan.probes.liveness_period_seconds, plan.probes.liveness_failures),
        # The kubelet sleeps itself; the image needs no shell for it.
        "lifecycle": {"preStop": {"sleep": {"seconds": plan.shutdown.sleep_seconds}}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": plan.read_only_root_filesystem,
        },
        "volumeMounts": [
            {"name": CACHE_VOLUME, "mountPath": plan.home},
            {"name": SHARED_MEMORY_VOLUME, "mountPath": SHARED_MEMORY_PATH},
            *_model_mounts(plan),
            *_api_key_mounts(plan),
            *_compile_cache_mounts(plan),
            *extra_mounts(plan.pod),
        ],
        **{key: value for key, value in optional.items() if value},
    }


def _resources(plan: ServerPlan) -> dict[str, Any]:
    cpu = {"cpu": format_cpu(plan.resources.cpu_millicores)}
    limits = {
        "ephemeral-storage": f"{plan.resources.ephemeral_storage_gib}Gi",
        "memory": f"{plan.resources.memory_gib}Gi",
        GPU_RESOURCE: str(plan.gpu_count),
    }
    if plan.profile == "autopilot":
        limits |= cpu
    return {"requests": dict(sorted({**limits, **cpu}.items())), "limits": dict(sorted(limits.items()))}


def _environment(plan: ServerPlan) -> list[dict[str, Any]]:
    variables: dict[str, dict[str, Any]] = {name: {"name": name, "value": value} for name, value in plan.environment}
    if plan.uses_token:
        variables |= {name: variable_from(name, plan.secret_name, plan.secret_key) for name in TOKEN_VARIABLES}
    keys = plan.api_keys
    if keys and keys.variable:
        variables[keys.variable] = variable_from(keys.variable, keys.secret_name, keys.secret_key)
    variables |= extra_variables(plan.pod.variables)
    return [variable for _, variable in sorted(variables.items())]


def _probe(plan: ServerPlan, period: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": plan.probes.path, "port": SERVER_PORT},
        "periodSeconds": period,
        "failureThreshold": failures,
        "timeoutSeconds": plan.probes.timeout_seconds,
    }


def _cache_volume(plan: ServerPlan) -> dict[str, Any]:
    resources = plan.resources
    if not resources.cache_on_disk:
        return {"name": CACHE_VOLUME, "emptyDir": {"sizeLimit": f"{resources.cache_gib}Gi"}}
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": resources.cache_storage_class,
        "resources": {"requests": {"storage": f"{resources.cache_gib}Gi"}},
    }
    template = {"metadata": {"labels": dict(plan.labels)}, "spec": spec}
    return {"name": CACHE_VOLUME, "ephemeral": {"volumeClaimTemplate": template}}


def _shared_memory_volume(plan: ServerPlan) -> dict[str, Any]:
    size = f"{plan.resources.shared_memory_gib}Gi"
    return {"name": SHARED_MEMORY_VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": size}}


def _model_volumes(plan: ServerPlan) -> list[dict[str, Any]]:
    volume = plan.model_volume
    if volume is None:
        return []
    if volume.fuse is not None:
        return [{"name": MODEL_VOLUME, "csi": volume.fuse.source}]
    return [{"name": MODEL_VOLUME, "persistentVolumeClaim": {"claimName": volume.claim, "readOnly": True}}]


def _model_mounts(plan: ServerPlan) -> list[dict[str, Any]]:
    volume = plan.model_volume
    if volume is None:
        return []
    part = {"subPath": volume.sub_path} if volume.sub_path else {}
    return [{"name": MODEL_VOLUME, "mountPath": volume.mount_path, **part, "readOnly": True}]


def _api_key_volumes(plan: ServerPlan) -> list[dict[str, Any]]:
    keys = plan.api_keys
    if keys is None or keys.file is None:
        return []
    items = [{"key": keys.secret_key, "path": keys.file.rpartition("/")[2]}]
    secret = {"secretName": keys.secret_name, "defaultMode": _SECRET_MODE, "items": items}
    return [{"name": API_KEYS_VOLUME, "secret": secret}]


def _api_key_mounts(plan: ServerPlan) -> list[dict[str, Any]]:
    keys = plan.api_keys
    if keys is None or keys.file is None:
        return []
    return [{"name": API_KEYS_VOLUME, "mountPath": keys.file.rpartition("/")[0], "readOnly": True}]


def _compile_cache_volumes(plan: ServerPlan) -> list[dict[str, Any]]:
    kept = plan.compile_cache
    if kept is None:
        return []
    if kept.bucket is not None:
        return [{"name": COMPILE_CACHE_VOLUME, "csi": kept.bucket.volume.source}]
    claim = {"claimName": kept.disk.claim} if kept.disk else {}
    return [{"name": COMPILE_CACHE_VOLUME, "persistentVolumeClaim": claim}]


def _compile_cache_mounts(plan: ServerPlan) -> list[dict[str, Any]]:
    return [{"name": COMPILE_CACHE_VOLUME, "mountPath": CACHE_DIRECTORY}] if plan.compile_cache else []
