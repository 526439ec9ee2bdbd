"""What GKE Autopilot refuses and changes, as admission policies. Pure.

Sources: GKE's pages on Autopilot's security, resource requests and GPUs; the texts are those of Autopilot's
own admission controller, Warden, as users quote them. Bounds and floors are the catalog's.
"""

from typing import Any

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.kubernetes_names import (
    ACCELERATOR_COUNT_LABEL,
    ACCELERATOR_LABEL,
    COMPUTE_CLASS_LABEL,
    DRIVER_VERSION_LABEL,
    FLEX_START_LABEL,
    GPU_RESOURCE,
    RESERVATION_AFFINITY_LABEL,
    RESERVATION_NAME_LABEL,
    RESERVATION_PROJECT_LABEL,
    SPOT_LABEL,
)
from local.gke.pools import RUN_LABEL

SYSTEM_NAMESPACES = ("kube-node-lease", "kube-public", "kube-system", "local-gke-system")

_API = "admissionregistration.k8s.io/v1"
# Capabilities that Autopilot lets containers add.
_CAPABILITIES = (
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
    "SYS_PTRACE",
)
# Labels by which pods may choose nodes on Autopilot, beside those of compute classes' own.
_SELECTORS = (
    ACCELERATOR_LABEL,
    ACCELERATOR_COUNT_LABEL,
    "cloud.google.com/gke-ephemeral-storage-local-ssd",
    FLEX_START_LABEL,
    DRIVER_VERSION_LABEL,
    "cloud.google.com/gke-gpu-sharing-strategy",
    "cloud.google.com/gke-max-shared-clients-per-gpu",
    RUN_LABEL,
    "cloud.google.com/gke-placement-group",
    SPOT_LABEL,
    COMPUTE_CLASS_LABEL,
    "cloud.google.com/machine-family",
    RESERVATION_AFFINITY_LABEL,
    RESERVATION_NAME_LABEL,
    RESERVATION_PROJECT_LABEL,
    "kubernetes.io/arch",
    "kubernetes.io/os",
    "topology.gke.io/zone",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
)
# Requests of containers without GPUs that state none, and the most ephemeral storage of their pods.
_DEFAULTS = {"cpu": "500m", "memory": "2Gi", "ephemeral-storage": "1Gi"}
_GENERAL_EPHEMERAL_GIB = 10
_UNBOUNDED = 1e6


def autopilot_policies(catalog: Catalog) -> list[dict[str, Any]]:
    """The policies and their bindings."""
    return [
        *_validating("autopilot-pods", _pods(), _variables(catalog), _pod_rules(catalog.gke.secondary_boot_disk.label)),
        *_validating("autopilot-system-namespaces", _system_objects(), [], _namespace_rules()),
        *_mutating("autopilot-requests", _variables(catalog)),
    ]


def _pods() -> dict[str, Any]:
    return {
        "namespaceSelector": _namespaces("NotIn"),
        "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
    }


def _system_objects() -> dict[str, Any]:
    return {
        "namespaceSelector": {
            "matchExpressions": [
                {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["kube-node-lease", "kube-system"]}
            ]
        },
        "resourceRules": [
            {
                "apiGroups": ["*"],
                "apiVersions": ["*"],
                "operations": ["CREATE", "UPDATE", "DELETE"],
                "resources": ["*"],
                "scope": "Namespaced",
            }
        ],
    }


def _namespaces(operator: str) -> dict[str, Any]:
    return {
        "matchExpressions": [
            {"key": "kubernetes.io/metadata.name", "operator": operator, "values": list(SYSTEM_NAMESPACES)}
        ]
    }


def _variables(catalog: Catalog) -> list[dict[str, str]]:
    maxima = {
        kind: {
            str(count): [
                float(bounds.cpu),
                float(bounds.memory_gib),
                float(bounds.ephemeral_storage_gib or _UNBOUNDED),
            ]
            for count, bounds in sorted(accelerator.autopilot_maxima.items())
        }
        for kind, accelerator in sorted(catalog.accelerators.items())
    }
    floors = {
        kind: {str(count): [str(floor.cpu), f"{floor.memory_gib}Gi"] for count, floor in sorted(counts.items())}
        for kind, counts in sorted(catalog.gke.autopilot_floors.items())
    }
    return [
        {"name": "maxima", "expression": _cel(maxima)},
        {"name": "floors", "expression": _cel(floors)},
        {"name": "selector", "expression": "has(object.spec.nodeSelector) ? object.spec.nodeSelector : {}"},
        {
            "name": "every",
            "expression": "object.spec.containers "
            "+ (has(object.spec.initContainers) ? object.spec.initContainers : [])",
        },
        {"name": "gpus", "expression": f"int({_total(GPU_RESOURCE)})"},
        {
            "name": "type",
            "expression": f"'{ACCELERATOR_LABEL}' in variables.selector "
            f"? variables.selector['{ACCELERATOR_LABEL}'] : ''",
        },
    ]


def _total(resource: str) -> str:
    """The sum of the containers' requests, as a number."""
    has = f"has(c.resources) && has(c.resources.requests) && '{resource}' in c.resources.requests"
    return (
        f"object.spec.containers.map(c, {has} "
        f"? quantity(c.resources.requests['{resource}']).asApproximateFloat() : 0.0).sum()"
    )


def _pod_rules(boot_disk_label: str) -> list[dict[str, str]]:
    known = (
        "variables.gpus == 0 || !(variables.type in variables.maxima) "
        "|| !(string(variables.gpus) in variables.maxima[variables.type])"
    )
    bound = "variables.maxima[variables.type][string(variables.gpus)]"
    gib = float(2**30)
    rules = [
        (
            "!has(object.spec.hostNetwork) || !object.spec.hostNetwork",
            "autogke-disallow-hostnamespaces: hostNetwork is not allowed",
        ),
        (
            "(!has(object.spec.hostPID) || !object.spec.hostPID) "
            "&& (!has(object.spec.hostIPC) || !object.spec.hostIPC)",
            "autogke-disallow-hostnamespaces: hostPID and hostIPC are not allowed",
        ),
        (
            "variables.every.all(c, !has(c.securityContext) || !has(c.securityContext.privileged) "
            "|| !c.securityContext.privileged)",
            "autogke-disallow-privilege: a container is privileged; not allowed in Autopilot",
        ),
        (
            "!has(object.spec.volumes) || object.spec.volumes.all(v, !has(v.hostPath) "
            "|| v.hostPath.path.startsWith('/var/log/'))",
            "autogke-no-write-mode-hostpath: hostPath volumes are not allowed, but for /var/log/",
        ),
        (
            "variables.every.all(c, !has(c.securityContext) || !has(c.securityContext.capabilities) "
            "|| !has(c.securityContext.capabilities.add) || c.securityContext.capabilities.add.all(one, "
            f"one in {_cel(list(_CAPABILITIES))}))",
            "autogke-default-linux-capabilities: a container adds a capability that is not allowed",
        ),
        (
            "variables.every.all(c, !has(c.ports) || c.ports.all(p, !has(p.hostPort) || p.hostPort == 0))",
            "autogke-no-host-port: host ports are not allowed",
        ),
        (
            f"variables.selector.all(key, key in {_cel(list(_SELECTORS))} || key.startsWith('{boot_disk_label}') "
            "|| !(key.contains('cloud.google.com') || key.contains('kubernetes.io')))",
            "autogke-node-affinity-selector-limitation: a node selector's key is not allowed",
        ),
        (
            f"variables.gpus == 0 || variables.type != '' || '{COMPUTE_CLASS_LABEL}' in variables.selector",
            f"autogke-gpu-limitation: When requesting '{GPU_RESOURCE}' resources, you must specify either node "
            f"selector '{ACCELERATOR_LABEL}' with accelerator type or node selector '{COMPUTE_CLASS_LABEL}' with "
            "existing custom compute class which has at least one GPU priority rule.",
        ),
        (
            f"variables.gpus > 0 || !has(object.spec.tolerations) "
            f"|| object.spec.tolerations.all(t, !has(t.key) || t.key != '{GPU_RESOURCE}')",
            f"autogke-gpu-limitation: a toleration of '{GPU_RESOURCE}' is only for pods that request GPUs",
        ),
        (
            "variables.gpus == 0 || variables.type == '' || (variables.type in variables.maxima "
            "&& string(variables.gpus) in variables.maxima[variables.type])",
            "autogke-gpu-limitation: Autopilot has no machine with that many GPUs of that type",
        ),
        *(
            (
                f"{known} || {_total(resource)} <= {bound}[{index}]{scale}",
                f"autogke-pod-limit-constraints: total {resource} is higher than the Autopilot maximum for its GPUs",
            )
            for index, (resource, scale) in enumerate(
                [("cpu", ""), ("memory", f" * {gib}"), ("ephemeral-storage", f" * {gib}")]
            )
        ),
        (
            f"variables.gpus > 0 || {_total('ephemeral-storage')} <= {_GENERAL_EPHEMERAL_GIB * gib}",
            "autogke-pod-limit-constraints: total ephemeral-storage is higher than the Autopilot maximum of "
            f"'{_GENERAL_EPHEMERAL_GIB}Gi'",
        ),
    ]
    return [{"expression": expression, "message": f"GKE Warden: {message}"} for expression, message in rules]


def _namespace_rules() -> list[dict[str, str]]:
    # API servers of others need that one binding, and Google's own metrics adapter is installed with it on Autopilot
    # (k8s-stackdriver#480 and #1079, where a toleration alone was rejected).
    extension = (
        "request.resource.resource == 'rolebindings' && (object != null ? object : oldObject).roleRef.name "
        "== 'extension-apiserver-authentication-reader'"
    )
    return [
        {
            "expression": f"request.userInfo.username.startsWith('system:') || ({extension})",
            "message": "GKE Warden: autogke-managed-namespaces: the namespace is managed, and its objects cannot be "
            "changed",
        }
    ]


def _validating(
    name: str, match: dict[str, Any], variables: list[dict[str, str]], rules: list[dict[str, str]]
) -> list[dict[str, Any]]:
    return [
        {
            "apiVersion": _API,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": match,
                "variables": variables,
                "validations": rules,
            },
        },
        {
            "apiVersion": _API,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        },
    ]


def _mutating(name: str, variables: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Requests are raised to their floor or default, and limits equal requests."""
    floor = "variables.floors[variables.type][string(variables.gpus)]"
    floored = (
        f"variables.gpus > 0 && variables.type in variables.floors "
        f"&& string(variables.gpus) in variables.floors[variables.type] && {_has(GPU_RESOURCE)}"
    )

    def given(resource: str, index: int) -> str:
        own = f"{_has(resource)} ? string(c.resources.requests['{resource}']) : "
        default = f"(variables.gpus > 0 ? '0' : '{_DEFAULTS[resource]}')"
        if resource == "ephemeral-storage":
            return f"({own} '{_DEFAULTS[resource]}')"
        least = f"{floor}[{index}]"
        return (
            f"({floored} && (!({_has(resource)}) "
            f"|| quantity(string(c.resources.requests['{resource}'])).compareTo(quantity({least})) < 0) "
            f"? {least} : ({own} {default}))"
        )

    resources = ", ".join(f"'{name}': {given(name, index)}" for index, name in enumerate(_DEFAULTS))
    expression = (
        "Object{spec: Object.spec{containers: object.spec.containers.map(c, Object.spec.containers{name: c.name, "
        "resources: Object.spec.containers.resources{"
        f"requests: {{{resources}}}, limits: {{{resources}}}}}}})}}}}"
    )
    return [
        {
            "apiVersion": _API,
            "kind": "MutatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "failurePolicy": "Fail",
                "reinvocationPolicy": "IfNeeded",
                "matchConstraints": _pods(),
                "variables": variables,
                "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}],
            },
        },
        {
            "apiVersion": _API,
            "kind": "MutatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {"policyName": name},
        },
    ]


def _has(resource: str) -> str:
    return f"has(c.resources) && has(c.resources.requests) && '{resource}' in c.resources.requests"


def _cel(value: Any) -> str:
    """A literal of the Common Expression Language."""
    match value:
        case dict():
            return "{" + ", ".join(f"{_cel(key)}: {_cel(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_cel, value)) + "]"
        case str():
            return f"'{value}'"
        case _:
            return repr(value)
