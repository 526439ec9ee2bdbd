"""Inference servers: what their pods ask for, and how Kubernetes keeps them up."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from gke_llm_inference.catalog.kubernetes_names import ACCELERATOR_LABEL, GPU_RESOURCE
from gke_llm_inference.policy.model import NoSettings, ResourcePolicy, StackPolicy
from gke_llm_inference.policy.resources import Opaque, Resource, at, items, number
from gke_llm_inference.policy.scaling import most_replicas
from gke_llm_inference.policy.workloads import (
    SERVER_KINDS,
    containers,
    is_server,
    is_workload,
    pod_spec,
    pod_specs,
    same_namespace,
    selects,
)

_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def _limits(resource: Resource, _: NoSettings) -> Iterator[str]:
    found = list(containers(resource))
    for container in found:
        if not container.wants_gpu:
            continue
        limits = container.at("resources", "limits")
        for name in (GPU_RESOURCE, "memory"):
            if at(limits, name) is None:
                yield f"{container.title}: has no limit of {name}"
    if resource.kind not in SERVER_KINDS:
        return  # such as a DaemonSet that looks after GPU nodes
    listed = at(pod_spec(resource), "containers")
    hidden = any(isinstance(one, Opaque) for one in (listed, *items(listed)))
    selects = at(pod_spec(resource), "nodeSelector", ACCELERATOR_LABEL)
    if isinstance(selects, str) and not hidden and not any(_gpus_asked(container) for container in found):
        yield f"its pods select nodes with {selects}, but no container has a limit of {GPU_RESOURCE}"


def _gpus_asked(container: Any) -> bool:
    """Whether a container asks for GPUs, or may."""
    asked = [container.at("resources", part, GPU_RESOURCE) for part in ("limits", "requests")]
    return any(count not in (None, 0, "0") for count in asked)


def _probes(resource: Resource, _: NoSettings) -> Iterator[str]:
    if not is_server(resource):
        return
    for container in containers(resource):
        # Workers of a group have no HTTP server; their group starts again where one ends.
        if container.wants_gpu and not container.is_init and not container.is_worker:
            for probe in _PROBES:
                if container.at(probe) is None:
                    yield f"{container.title}: has no {probe}"


def _service_account(resource: Resource, _: NoSettings) -> Iterator[str]:
    if is_server(resource):
        names = [at(spec, "serviceAccountName") or at(spec, "serviceAccount") for _, spec in pod_specs(resource)]
        if any(name in (None, "", "default") for name in names):
            yield "its pods run as the namespace's default service account"


def _disruption_budgets(resources: Sequence[Resource], _: NoSettings) -> Iterator[tuple[str | None, str]]:
    budgets = [one for one in resources if one.group == "policy" and one.kind == "PodDisruptionBudget"]
    for workload in resources:
        if not is_workload(workload) or not is_server(workload):
            continue
        count = most_replicas(workload, resources)
        if count is None or not count:
            continue  # unknown, or switched off
        own = [
            one for one in budgets if same_namespace(one, workload) and selects(one.at("spec", "selector"), workload)
        ]
        if count >= 2 and not own:
            yield workload.urn, f"has {count:g} replicas and no PodDisruptionBudget"
        for budget in own:
            if _blocks(budget, count):
                yield budget.urn, f"lets none of the {count:g} pods of {workload.name} go"


def _blocks(budget: Resource, replicas: float) -> bool:
    """Whether a budget lets no pod be moved, so that an upgrade of its node waits forever."""
    largest, least = budget.at("spec", "maxUnavailable"), budget.at("spec", "minAvailable")
    if largest in (0, "0", "0%"):
        return True
    share = number(least[:-1]) if isinstance(least, str) and least.endswith("%") else None
    # Kubernetes rounds a share of the replicas up.
    needed = number(least) if share is None else math.ceil(share * replicas / 100)
    return needed is not None and needed >= replicas


GPU_LIMITS = ResourcePolicy(
    name="gpu-limits",
    what="Every container with a GPU limits nvidia.com/gpu and memory.",
    why="Kubernetes takes GPUs from limits alone, and without a memory limit one server takes down a whole node.",
    fix="set resources.limits; InferenceServer sets both",
    check=_limits,
)
PROBES = ResourcePolicy(
    name="probes",
    what="Every inference server has a startup, a readiness and a liveness probe.",
    why="Loading a model takes minutes: without them requests reach a server that loads, and one that hangs stays.",
    fix="add the probes, with a startup probe as long as the model takes to load; InferenceServer has all three",
    check=_probes,
)
SERVER_IDENTITY = ResourcePolicy(
    name="server-identity",
    what="Every inference server runs as a Kubernetes service account of its own.",
    why="What is granted to the default account is granted to every pod of the namespace.",
    fix="set serviceAccountName; InferenceServer makes one account for each server",
    check=_service_account,
)
DISRUPTION_BUDGETS = StackPolicy(
    name="disruption-budgets",
    what="Every inference server of two replicas or more has a PodDisruptionBudget, and none keeps a pod from moving.",
    why="An upgrade of nodes may otherwise stop all replicas at once, or wait forever for one.",
    fix="add a budget with maxUnavailable: 1; InferenceServer makes one where replicas allow",
    check=_disruption_budgets,
)
