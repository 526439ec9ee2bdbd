"""Compute classes as registered: which machines the pods that ask for them may come to be on."""

from collections.abc import Iterator, Sequence
from typing import Any

from gke_llm_inference.catalog.kubernetes_names import COMPUTE_CLASS_LABEL
from gke_llm_inference.policy.resources import Resource, at, items
from gke_llm_inference.policy.workloads import object_name, pod_spec


def is_compute_class(resource: Resource) -> bool:
    """Whether it is a ComputeClass of GKE."""
    return (resource.group, resource.kind) == ("cloud.google.com", "ComputeClass")


def class_gpus(resource: Resource) -> Iterator[str]:
    """GPUs of the machines that a compute class may make."""
    for rule in items(resource.at("spec", "priorities")):
        gpu = at(rule, "gpu", "type")
        if isinstance(gpu, str):
            yield gpu


def class_machines(server: Resource, resources: Sequence[Resource]) -> Iterator[tuple[str, bool]]:
    """Machine types of the class that a server's pods ask for, each with whether it is a Spot machine."""
    for one in resources:
        if is_compute_class(one) and asks_for(server, one):
            for rule in items(one.at("spec", "priorities")):
                machine = at(rule, "machineType")
                if isinstance(machine, str):
                    yield machine, at(rule, "spot") is True


def asks_for(server: Resource, compute_class: Resource) -> bool:
    """Whether a server's pods ask for a class."""
    asked: Any = at(pod_spec(server), "nodeSelector", COMPUTE_CLASS_LABEL)
    return isinstance(asked, str) and asked == object_name(compute_class)
