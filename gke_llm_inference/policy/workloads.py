"""Where pods and containers stand within Kubernetes objects."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gke_llm_inference.catalog.kubernetes_names import GPU_RESOURCE
from gke_llm_inference.policy.resources import Opaque, Resource, at, fields, items

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
SERVER_KINDS = ("Deployment", "StatefulSet")
"""Workloads that keep their pods running."""


@dataclass(frozen=True)
class Container:
    """A container of a pod, and the words to speak of it."""

    title: str
    properties: dict[str, Any]
    is_init: bool

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
    return (resource.group, resource.kind) in _TEMPLATES


def pod_template(resource: Resource) -> Any:
    """The template of a workload's pods, metadata and spec; None for anything else."""
    path = _TEMPLATES.get((resource.group, resource.kind))
    return None if path is None else resource.at(*path)


def pod_spec(resource: Resource) -> Any:
    """The spec of a workload's pods; None for anything else."""
    return at(pod_template(resource), "spec")


def pod_spec_path(resource: Resource) -> str:
    """The property path of that spec; empty where there is none."""
    path = _TEMPLATES.get((resource.group, resource.kind))
    return "" if path is None else ".".join((*path, "spec"))


def containers(resource: Resource) -> Iterator[Container]:
    """The containers of a workload, init containers first."""
    spec = pod_spec(resource)
    for part, word in (("initContainers", "init container"), ("containers", "container")):
        for index, properties in enumerate(items(at(spec, part))):
            if isinstance(properties, dict):
                name = properties.get("name")
                title = f"{word} {name}" if isinstance(name, str) else f"{word} {index}"
                yield Container(title, properties, is_init=part == "initContainers")


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
