"""What a podPatch may change: what the plan left open; what it decided if the stack says so; some things never."""

from dataclasses import dataclass
from typing import Any, Literal

from gke_llm_inference.catalog import Catalog, InferenceServerFacts
from gke_llm_inference.catalog.kubernetes_names import GPU_RESOURCE
from gke_llm_inference.planning.pod.changes import Difference, Steps
from gke_llm_inference.planning.pod.environment import decided_variable
from gke_llm_inference.planning.pod.findings import annotation_problem, hidden_by
from gke_llm_inference.planning.pod.names import SERVER_CONTAINER
from gke_llm_inference.planning.pod.patch_keys import KeyGuard
from gke_llm_inference.settings import ServerSettings

# Fields of a pod that a patch may add where the plan has none: they decide nothing that the plan counts with.
_OPEN = frozenset({"dnsConfig", "dnsPolicy", "hostAliases", "hostname", "imagePullSecrets", "readinessGates",
    "setHostnameAsFQDN", "subdomain"})  # fmt: skip
_OPEN_IN_CONTAINER = frozenset({"terminationMessagePath", "terminationMessagePolicy"})
# Of other containers, too: the plan counts their requests and confines them, and leaves the rest to the team.
_OPEN_IN_OTHERS = _OPEN_IN_CONTAINER | {"args", "command", "env", "envFrom", "lifecycle", "livenessProbe", "ports",
    "readinessProbe", "startupProbe", "volumeMounts", "workingDir"}  # fmt: skip
# Sources of volumes that take no room that the plan counts, and reach nothing of the node.
_OPEN_VOLUMES = frozenset({"configMap", "csi", "downwardAPI", "nfs", "persistentVolumeClaim", "projected", "secret"})
CONTAINER_LISTS = ("containers", "initContainers")
"""Where the containers of a pod are."""
_SERVER = ("spec", "containers", f"[{SERVER_CONTAINER}]")
_TOO_WIDE = {
    ("metadata", "annotations"),
    ("metadata", "labels"),
    ("spec", "containers"),
    ("spec", "initContainers"),
    _SERVER,
}
# The setting for what a patch changes, by field of the pod or of the server's container.
_SETTINGS = {
    "affinity": "pod.topologySpread",
    "args": "extraArgs",
    "env": "extraEnv, or pod.env for a Secret",
    "envFrom": "pod.envFrom",
    "image": "image",
    "imagePullSecrets": "pod.imagePullSecrets",
    "initContainers": "pod.initContainers or pod.containers",
    "priorityClassName": "priorityClass",
    "resources": "resources",
    "runtimeClassName": "pod.runtimeClass",
    "terminationGracePeriodSeconds": "shutdown.graceSeconds",
    "tolerations": "pod.tolerations",
    "topologySpreadConstraints": "pod.topologySpread",
    "volumeMounts": "pod.volumes",
    "volumes": "pod.volumes",
}
_NEVER = {
    ("spec", "activeDeadlineSeconds"): "Kubernetes rejects it in a Deployment, whose pods run until they are replaced",
    ("spec", "ephemeralContainers"): "Kubernetes takes them for running pods alone",
    ("spec", "nodeName"): "every replica would be put on that node, whether it has a free GPU or not",
    ("spec", "restartPolicy"): "Kubernetes rejects another than Always in a Deployment",
}
# https://kubernetes.io/docs/concepts/security/pod-security-standards/#baseline
_HOST = frozenset({"hostIPC", "hostNetwork", "hostPID", "hostProcess", "hostPath", "hostPort", "privileged"})


@dataclass(frozen=True)
class Verdict:
    """What a change is.

    Attributes:
        kind: open to the patch, decided by the plan and so to be acknowledged, or never possible.
        what: what is wrong with it where it is not open.
        why: what goes wrong, or what the plan rests on.
        setting: the setting that does the same; empty if there is none.

    """

    kind: Literal["open", "decided", "never"]
    what: str = ""
    why: str = ""
    setting: str = ""


_OPEN_VERDICT = Verdict("open")


@dataclass(frozen=True, kw_only=True)
class PatchRules:
    """What is asked of a change.

    Attributes:
        settings: the server's settings.
        facts: what is known of such servers.
        catalog: the facts to decide by.
        selector: labels by which the Deployment knows its pods.
        baseline: whether the namespace enforces the baseline Pod Security Standard.
        guard: what keeps the server closed to whoever has no key; None where it has no API keys.

    """

    settings: ServerSettings
    facts: InferenceServerFacts
    catalog: Catalog
    selector: dict[str, str]
    baseline: bool
    guard: KeyGuard | None = None

    def judge(self, change: Difference) -> Verdict:
        """What a change is."""
        never = self._never(change)
        if never is not None:
            return Verdict("never", *never)
        if change.before is None:
            return self._added(change)
        return self._decided(change.steps, "changes" if change.after is not None else "removes")

    def _never(self, change: Difference) -> tuple[str, str] | None:
        steps = change.steps
        if steps == _SERVER or GPU_RESOURCE in steps or _names(change.after, GPU_RESOURCE):
            what = "takes the server's GPU limit away" if change.after is None else "changes what gets GPUs"
            return what, "without a limit of its GPUs a server gets none, and with another it gets those of others"
        if _names(change.before, GPU_RESOURCE):
            return "takes the server's GPU limit away", "without a limit of its GPUs a server gets none"
        for place, why in _NEVER.items():
            if steps[: len(place)] == place:
                return "is not for a server", why
        if steps == ("metadata",):
            return "takes the labels by which the Deployment knows its pods", "Kubernetes rejects such a Deployment"
        problem = self.guard.problem(change) if self.guard else None
        if problem is not None:
            return problem
        if steps[:2] == ("metadata", "labels") and steps[2] in self.selector:
            return "changes a label by which the Deployment knows its pods", "Kubernetes rejects such a Deployment"
        if steps[:2] == ("metadata", "annotations"):
            problem = annotation_problem(steps[2])
            if problem is not None:
                return problem
        if self.baseline and (steps[-1] in _HOST or _any(change.after, _HOST)) and change.after not in (None, False):
            return (
                "gives the pod rights on its node",
                "the namespace that the stack makes enforces the baseline Pod Security Standard: no pod would start",
            )
        return None

    def _added(self, change: Difference) -> Verdict:
        steps, after = change.steps, change.after
        match steps:
            case ("metadata", *_):
                return _OPEN_VERDICT
            case ("spec", name, *_) if name in _OPEN:
                return _OPEN_VERDICT
            case ("spec", "volumes", _) if _volume_is_open(after):
                return _OPEN_VERDICT
            case ("spec", "containers", _, "env", name):
                return self._variable(name[1:-1])
            case ("spec", "containers", _, "volumeMounts", name):
                return self._mount(name[1:-1])
            case ("spec", "containers", _, name) if name in _OPEN_IN_CONTAINER:
                return _OPEN_VERDICT
            case ("spec", "initContainers", _, name, *_) if name in _OPEN_IN_OTHERS:
                return _OPEN_VERDICT
        return self._decided(steps, "adds to")

    def _variable(self, name: str) -> Verdict:
        reason = decided_variable(name, self.settings, self.facts, self.catalog)
        if reason is None:
            return _OPEN_VERDICT
        return Verdict("decided", f"sets {name}, which the plan decides on", reason[0], _SETTINGS["env"])

    def _mount(self, mount_path: str) -> Verdict:
        hidden = hidden_by(mount_path, self.settings, self.facts)
        if hidden is None:
            return _OPEN_VERDICT
        return Verdict("decided", f"would hide {hidden[0]}", hidden[1])

    def _decided(self, steps: Steps, verb: str) -> Verdict:
        field = steps[3] if steps[: len(_SERVER)] == _SERVER and len(steps) > len(_SERVER) else steps[1]
        setting = _SETTINGS.get("initContainers" if field in CONTAINER_LISTS else field, "")
        why = "the rest of the plan rests on it"
        if field in CONTAINER_LISTS and len(steps) == 3:
            why = "the plan counts what containers request, and confines them"
        return Verdict("decided", f"{verb} what the plan decided", why, setting)


def may_be_acknowledged(steps: Steps) -> bool:
    """Whether a path says enough to be acknowledged: a field of the pod, or of one of its containers."""
    return len(steps) > 1 and steps not in _TOO_WIDE


def _volume_is_open(volume: Any) -> bool:
    return all(key == "name" or key in _OPEN_VOLUMES for key in volume)


def _names(value: Any, name: str) -> bool:
    return _any(value, frozenset({name}))


def _any(value: Any, names: frozenset[str]) -> bool:
    """Whether one of the names is a key somewhere within a value, with something that is not false."""
    if isinstance(value, dict):
        return any((key in names and item is not False) or _any(item, names) for key, item in value.items())
    return isinstance(value, list) and any(_any(item, names) for item in value)
