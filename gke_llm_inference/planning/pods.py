"""What a server's pod needs: requests, probes and rollout.

The constants are this project's rules; each states what it rests on.
"""

import math

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.facts import StartupFacts
from gke_llm_inference.planning.capacity import Capacity
from gke_llm_inference.planning.plan import (
    ClusterProfile,
    PodResources,
    ProbePlan,
    RolloutPlan,
    ShutdownPlan,
    StartPlan,
)
from gke_llm_inference.settings import Finding, ResourceSettings

# Host memory: API server and tokenizer, then per GPU one worker with CUDA's libraries and one safetensors shard
# (at most 5 GB) on its way to the GPU. Published manifests request 24 to 25 GiB for one L4.
_BASE_MEMORY_GIB = 4
SHARD_GIB = 5
"""What a worker holds of the weights while it loads them, in GiB."""
_WORKER_MEMORY_GIB = 4 + SHARD_GIB
# One core per worker and one for its copies, two for the API server.
_BASE_CPU_MILLICORES = 2000
_WORKER_CPU_MILLICORES = 2000
# Compiled kernels, temporary files and logs beside the model; 10 % of slack for the model's own side files.
_CACHE_EXTRA_GIB = 8
_MODEL_SLACK = 1.1
_LOGS_GIB = 2
# A start may take twice what is expected of it, and its parts before the container too.
_STARTUP_SAFETY_FACTOR = 2
_SHORTEST_START_BUDGET_SECONDS = 600
_LONGEST_START_BUDGET_SECONDS = 3600
_MIN_SAFETY_FACTOR = 1.2
_LONGEST_UPDATE_SECONDS = 86_400


def pod_resources(
    gpus: int,
    checkpoint_gib: float,
    asked: ResourceSettings,
    catalog: Catalog,
    host_gib: int = 0,
    *,
    local_ssd_gib: float = 0.0,
) -> PodResources:
    """Requests of a server with `gpus` GPUs and a checkpoint of that size; explicit settings win over the rules.

    Args:
        gpus: GPUs of the pod.
        checkpoint_gib: size of what it downloads.
        asked: requests that the stack states.
        catalog: the facts to decide by.
        host_gib: what extra arguments keep in the pod's memory, in GiB.
        local_ssd_gib: what a pod may take of its node's local SSDs, in GiB.

    """
    shared_memory = _shared_memory_gib(gpus)
    cache = math.ceil(checkpoint_gib * _MODEL_SLACK) + _CACHE_EXTRA_GIB
    on_node = max(catalog.gke.boot_disk_cache_gib, local_ssd_gib - _LOGS_GIB)
    on_disk = asked.ephemeral_storage_gib is None and cache > on_node
    ephemeral = asked.ephemeral_storage_gib or (_CACHE_EXTRA_GIB if on_disk else cache + _LOGS_GIB)
    return PodResources(
        cpu_millicores=round(asked.cpu * 1000) if asked.cpu else _BASE_CPU_MILLICORES + gpus * _WORKER_CPU_MILLICORES,
        memory_gib=asked.memory_gib or _BASE_MEMORY_GIB + gpus * _WORKER_MEMORY_GIB + shared_memory + host_gib,
        shared_memory_gib=shared_memory,
        ephemeral_storage_gib=ephemeral,
        cache_gib=cache if on_disk else max(1, ephemeral - _LOGS_GIB),
        cache_on_disk=on_disk,
        cache_storage_class=next(iter(catalog.disks.storage_classes.values())),
    )


def _shared_memory_gib(gpus: int) -> int:
    return 1 if gpus == 1 else 2 * gpus


def loading_room_gib(gpus: int, memory_gib: int, host_gib: int) -> float:
    """What a pod of that much memory leaves each worker for the weights that it loads, in GiB; below 0 for too little.

    Args:
        gpus: GPUs of the pod.
        memory_gib: memory of the pod, in GiB.
        host_gib: what extra arguments keep in it, in GiB.

    """
    rest = memory_gib - _BASE_MEMORY_GIB - _shared_memory_gib(gpus) - host_gib
    return rest / gpus - (_WORKER_MEMORY_GIB - SHARD_GIB)


def pod_request(resources: PodResources, gpus: int = 0) -> Capacity:
    """What a pod with these resources and so many GPUs requests of its node."""
    return Capacity(
        gpus=gpus,
        cpu_millicores=resources.pod_cpu_millicores,
        memory_mib=resources.pod_memory_gib * 1024,
        disk_gib=resources.pod_disk_gib,
    )


def probe_plan(expected_seconds: float, health_path: str) -> ProbePlan:
    """Startup budget: twice the time that a container is expected to need, within 10 to 60 minutes.

    One that is expected to take longer than an hour gets a fifth more than that.
    """
    longest = max(_LONGEST_START_BUDGET_SECONDS, _MIN_SAFETY_FACTOR * expected_seconds)
    budget = min(max(_STARTUP_SAFETY_FACTOR * expected_seconds, _SHORTEST_START_BUDGET_SECONDS), longest)
    return ProbePlan(path=health_path, startup_seconds=math.ceil(budget / 10) * 10)


def progress_deadline_seconds(
    start: StartPlan, probes: ProbePlan, shutdown: ShutdownPlan, startup: StartupFacts
) -> int:
    """How long a Deployment may go without progress: the slowest way from one pod to the next that is no fault.

    The old pod ends, a node comes, the image is pulled, and the container starts. Kubernetes counts a pod that waits
    for a node, pulls its image or is not ready yet as no progress.
    """
    image = _STARTUP_SAFETY_FACTOR * max(start.part("imagePull").seconds, start.first_image_seconds)
    return math.ceil(shutdown.grace_seconds + startup.node_longest.seconds + image + probes.startup_seconds)


def rollout_plan(
    replicas: int,
    deadline: int,
    profile: ClusterProfile,
    *,
    may_surge: bool,
    pool_known: bool,
    one_node: str | None = None,
    fewest: int | None = None,
    nodes: int = 1,
) -> RolloutPlan:
    """How to update without a deadlock.

    Args:
        replicas: pods of the server.
        deadline: seconds that an update may stand still.
        profile: how nodes come about.
        may_surge: whether one more pod finds room in the node pool while everything else runs.
        pool_known: whether the pods run on a node pool of the stack.
        one_node: the volume of a pod that only one node at a time can mount; None without one.
        fewest: pods of a server that scales when nothing is asked of it; `replicas` if None.
        nodes: machines that each replica spans.

    """
    longest = max(deadline, min(replicas * deadline, _LONGEST_UPDATE_SECONDS))
    surges = may_surge and not one_node
    if surges:
        reason = "the node pool has room for one more pod"
    else:
        why = (
            f"only one node at a time can mount {one_node}"
            if one_node
            else "a spare GPU is not guaranteed on Autopilot"
            if profile == "autopilot"
            else "the node pool has no room for one more pod"
            if pool_known
            else "whether the cluster has a spare GPU is not known"
        )
        then = (
            "one pod at a time makes room for its successor"
            if replicas > 1
            else "the only pod stops before its successor starts"
        )
        alone = (
            "; while it has one only, that stops first" if replicas > 1 and fewest is not None and fewest < 2 else ""
        )
        reason = f"{why}: {then}{alone}"
    if nodes > 1:
        then = "one group at a time makes room" if replicas > 1 else "the only group stops"
        reason = f"a group needs {nodes} machines at once, and none is kept spare: {then} before its successor starts"
    return RolloutPlan(
        max_surge=1 if surges else 0,
        max_unavailable=0 if surges else 1,
        progress_deadline_seconds=deadline,
        longest_seconds=longest,
        disruption_budget=replicas > 1,
        reason=reason,
    )


def resource_problems(
    path: str, resources: PodResources, asked: ResourceSettings, checkpoint_gib: float, host_gib: int = 0
) -> list[Finding]:
    """Problems of requests with which no server can start.

    Args:
        path: where the server stands in the configuration.
        resources: the requests.
        asked: those that the stack gives itself.
        checkpoint_gib: size of the checkpoint in GiB, which the cache has to hold.
        host_gib: what extra arguments keep in the pod's memory, in GiB.

    """
    problems = []
    least_memory = resources.shared_memory_gib + _BASE_MEMORY_GIB + host_gib
    if asked.memory_gib is not None and asked.memory_gib < least_memory:
        problems.append(
            Finding(
                path=f"{path}.resources.memoryGib",
                what=f"{asked.memory_gib} GiB do not hold the server",
                why=f"shared memory alone may take {resources.shared_memory_gib} GiB of it, and the server needs "
                f"{_BASE_MEMORY_GIB} GiB before it loads anything"
                + (f"; its extra arguments keep {host_gib} GiB there" if host_gib else ""),
                fix=f"use {least_memory} or more",
            )
        )
    least_storage = math.ceil(checkpoint_gib) + _LOGS_GIB
    if asked.ephemeral_storage_gib is not None and asked.ephemeral_storage_gib < least_storage:
        problems.append(
            Finding(
                path=f"{path}.resources.ephemeralStorageGib",
                what=f"{asked.ephemeral_storage_gib} GiB do not hold the model",
                why=f"its files take {checkpoint_gib:.1f} GiB, and the pod is evicted when the storage is full",
                fix=f"use {least_storage} or more",
            )
        )
    return problems
