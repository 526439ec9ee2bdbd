"""Where pods and containers stand within Kubernetes objects."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gke_llm_inference.catalog.kubernetes_names import GPU_RESOURCE
from gke_llm_inference.policy.resources import Opaque, Resource, at, fields, items, number

_TEMPLATE = ("spec", "template")
_TEMPLATES: dict[tuple[str, str], tuple[str, ...]] = {
    ("apps", "DaemonSet"): _TEMPLATE,
    ("apps", "Deployment"): _TEMPLATE,
    ("apps", "ReplicaSet"): _TEMPLATE,
    ("apps", "StatefulSet"): _TEMPLATE,
    ("batch", "CronJob"): ("spec", "jobTemplate", *_TEMPLATE),
    ("batch", "Job"): _TEMPLATE,
    ("core", "Pod"): (),
    ("core", "ReplicationController"): _TEMPLATE,
}
_GROUPS = ("leaderworkerset.x-k8s.io", "LeaderWorkerSet")
_LEADER, _WORKER = (("spec", "leaderWorkerTemplate", f"{role}Template") for role in ("leader", "worker"))
# Its controller gives every pod of a group labels of its own.
_GROUP_LABELS = "leaderworkerset.sigs.k8s.io/"
SERVER_KINDS = ("Deployment", "LeaderWorkerSet", "StatefulSet")
"""Workloads that keep their pods running."""


@dataclass(frozen=True)
class Container:
    """A container of a pod, and the words to speak of it."""

    title: str
    properties: dict[str, Any]
    is_init: bool
    is_worker: bool = False
    """Whether only pods of a group have it that nobody asks anything."""

    def at(self, *keys: str | int) -> Any:
        """The property at a path."""
        return at(self.properties, *keys)

    @property
    def wants_gpu(self) -> bool:
        """Whether it asks for a GPU, as far as is known."""
        asked = [self.at("resources", part, GPU_RESOURCE) for part in ("limits", "requests")]
        return any(count not in (None, 0, "0", Opaque.UNKNOWN) for count in asked)


def is_workload(resource: Resource) -> bool:
    """Whether pods come from it."""
    return (resource.group, resource.kind) in _TEMPLATES or _is_group(resource)


def pod_templates(resource: Resource) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The templates of a workload's pods with their paths: of a group, the leader's first; none of anything else."""
    path = _TEMPLATES.get((resource.group, resource.kind))
    if path is not None:
        yield path, resource.at(*path)
    elif _is_group(resource):
        leader = resource.at(*_LEADER)
        if leader is not None:
            yield _LEADER, leader
        yield _WORKER, resource.at(*_WORKER)


def pod_template(resource: Resource) -> Any:
    """The template of a workload's pods, metadata and spec, of a group its leader's; None for anything else."""
    return next((template for _, template in pod_templates(resource)), None)


def pod_spec(resource: Resource) -> Any:
    """The spec of a workload's pods, of a group its leader's; None for anything else."""
    return at(pod_template(resource), "spec")


def pod_specs(resource: Resource) -> Iterator[tuple[str, Any]]:
    """The specs of a workload's pods with their property paths."""
    for path, template in pod_templates(resource):
        yield ".".join((*path, "spec")), at(template, "spec")


def containers(resource: Resource) -> Iterator[Container]:
    """The containers of a workload, init containers first; of a group, the leader's and then the workers'."""
    for path, template in pod_templates(resource):
        is_worker = path == _WORKER and resource.at(*_LEADER) is not None
        of = " of workers" if is_worker else ""
        for part, word in (("initContainers", "init container"), ("containers", "container")):
            for index, properties in enumerate(items(at(template, "spec", part))):
                if isinstance(properties, dict):
                    name = properties.get("name")
                    title = f"{word} {name}{of}" if isinstance(name, str) else f"{word} {index}{of}"
                    yield Container(title, properties, is_init=part == "initContainers", is_worker=is_worker)


def replica_gpus(resource: Resource) -> float:
    """GPUs of one replica of a workload, as far as they are known: of a group, those of all its pods."""
    size = (number(resource.at("spec", "leaderWorkerTemplate", "size")) or 1) if _is_group(resource) else 1
    has_leader = resource.at(*_LEADER) is not None
    counts = [
        (number(one.at("resources", "limits", GPU_RESOURCE)) or 0)
        * (size - 1 if one.is_worker else 1 if has_leader else size)
        for one in containers(resource)
    ]
    return sum(counts)


def _is_group(resource: Resource) -> bool:
    return (resource.group, resource.kind) == _GROUPS


def is_server(resource: Resource) -> bool:
    """Whether it keeps pods with GPUs running."""
    return resource.kind in SERVER_KINDS and any(container.wants_gpu for container in containers(resource))


def labels_of(value: Any) -> dict[str, Any]:
    """The labels of an object or of a pod template."""
    return fields(at(value, "metadata", "labels"))


def object_name(resource: Resource) -> str | None:
    """The name of a Kubernetes object in its cluster; None where it is not known."""
    name = resource.at("metadata", "name")
    return name if isinstance(name, str) else None


def same_namespace(one: Resource, other: Resource) -> bool:
    """Whether two objects can be in one namespace: they are, or it is not known of one of them."""
    first, second = (resource.at("metadata", "namespace") for resource in (one, other))
    return isinstance(first, Opaque) or isinstance(second, Opaque) or (first or "default") == (second or "default")


def selects(selector: Any, workload: Resource) -> bool:
    """Whether a label selector covers a workload's pods, or may; an empty one covers every pod, none covers none."""
    template = pod_template(workload)
    if isinstance(selector, Opaque) or isinstance(at(template, "metadata", "labels"), Opaque):
        return True
    if not isinstance(selector, dict):
        return False
    labels = labels_of(template)
    wanted = fields(selector.get("matchLabels"))
    if _is_group(workload):
        labels = labels | {key: Opaque.UNKNOWN for key in wanted if key.startswith(_GROUP_LABELS)}
    return all(
        isinstance(value, Opaque) or isinstance(labels.get(key), Opaque) or labels.get(key) == value
        for key, value in wanted.items()
    ) and all(_meets(labels, expression) for expression in items(selector.get("matchExpressions")))


def _meets(labels: dict[str, Any], expression: Any) -> bool:
    key, operator, values = (at(expression, part) for part in ("key", "operator", "values"))
    if any(isinstance(part, Opaque) for part in (key, operator, values)):
        return True
    value = labels.get(key) if isinstance(key, str) else None
    if isinstance(value, Opaque):
        return True
    match operator:
        case "In":
            return value in items(values)
        case "NotIn":
            return value not in items(values)
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case _:
            return True
