"""What a server's pod needs: requests, probes, shutdown and rollout.

The constants are this project's rules; each states what it rests on.
"""

import math

from catalog import Catalog
from planning.machines import Allocatable
from planning.plan import ClusterProfile, PodResources, ProbePlan, RolloutPlan, ShutdownPlan
from settings import Finding, ResourceSettings

# Host memory: API server and tokenizer, then per GPU one worker with CUDA's libraries and one safetensors shard
# (at most 5 GB) on its way to the GPU. Published manifests request 24 to 25 GiB for one L4.
_BASE_MEMORY_GIB = 4
_WORKER_MEMORY_GIB = 9
# One core per worker and one for its copies, two for the API server.
_BASE_CPU_MILLICORES = 2000
_WORKER_CPU_MILLICORES = 2000
# Compiled kernels, temporary files and logs beside the model; 10 % of slack for the model's own side files.
_CACHE_EXTRA_GIB = 8
_MODEL_SLACK = 1.1
_LOGS_GIB = 2
# Half of what was measured for a Hugging Face download on an L4 machine (397 MB/s) and for loading from a
# persistent disk (14 GiB in 66 s): a slow day must not look like a broken server.
_DOWNLOAD_GIB_PER_SECOND = 0.18
_LOAD_GIB_PER_SECOND = 0.2
_WARM_UP_SECONDS = 120
_SHORTEST_START_BUDGET_SECONDS = 600
_LONGEST_START_BUDGET_SECONDS = 3600
_LEAST_SLACK = 1.2
# vLLM's image of 28 GB on disk took 236 s from Docker Hub to an L4 node; streaming needs Artifact Registry.
_IMAGE_SECONDS = 240
# A machine from the autoscaler and its driver, and the image.
_NODE_AND_IMAGE_SECONDS = 660 + _IMAGE_SECONDS


def pod_resources(
    gpus: int,
    checkpoint_gib: float,
    asked: ResourceSettings,
    catalog: Catalog,
) -> PodResources:
    """Requests of a server with `gpus` GPUs and a checkpoint of that size; explicit settings win over the rules."""
    shared_memory = 1 if gpus == 1 else 2 * gpus
    cache = math.ceil(checkpoint_gib * _MODEL_SLACK) + _CACHE_EXTRA_GIB
    on_disk = asked.ephemeral_storage_gib is None and cache > catalog.gke.boot_disk_cache_gib
    ephemeral = asked.ephemeral_storage_gib or (_CACHE_EXTRA_GIB if on_disk else cache + _LOGS_GIB)
    return PodResources(
        cpu_millicores=round(asked.cpu * 1000) if asked.cpu else _BASE_CPU_MILLICORES + gpus * _WORKER_CPU_MILLICORES,
        memory_gib=asked.memory_gib or _BASE_MEMORY_GIB + gpus * _WORKER_MEMORY_GIB + shared_memory,
        shared_memory_gib=shared_memory,
        ephemeral_storage_gib=ephemeral,
        cache_gib=cache if on_disk else max(1, ephemeral - _LOGS_GIB),
        cache_on_disk=on_disk,
        cache_storage_class=catalog.gke.cache_storage_class,
    )


def pod_need(resources: PodResources, pods: int = 1) -> Allocatable:
    """What `pods` such pods request of one node."""
    return Allocatable(pods * resources.cpu_millicores, pods * resources.memory_gib * 1024)


def probe_plan(checkpoint_gib: float, health_path: str) -> ProbePlan:
    """Startup budget: twice the expected time to download, load and warm up, within 10 to 60 minutes.

    A model that is expected to take longer than an hour gets a fifth more than that.
    """
    download = checkpoint_gib / _DOWNLOAD_GIB_PER_SECOND
    load = checkpoint_gib / _LOAD_GIB_PER_SECOND
    expected = download + load + _WARM_UP_SECONDS
    longest = max(_LONGEST_START_BUDGET_SECONDS, _LEAST_SLACK * expected)
    budget = min(max(2 * expected, _SHORTEST_START_BUDGET_SECONDS), longest)
    return ProbePlan(
        path=health_path,
        expected_start_seconds=math.ceil(expected),
        startup_seconds=math.ceil(budget / 10) * 10,
        download_seconds=math.ceil(download),
        load_seconds=math.ceil(load),
        warm_up_seconds=_WARM_UP_SECONDS,
        image_seconds=_IMAGE_SECONDS,
    )


def shutdown_plan(*, spot: bool) -> ShutdownPlan:
    """Grace period: two minutes for running answers; 15 seconds where a Spot machine gives no more.

    Of the 30 seconds' notice that Spot gives, the kubelet keeps half for system pods.
    """
    if spot:
        return ShutdownPlan(drain_seconds=5, grace_seconds=15)
    return ShutdownPlan(drain_seconds=15, grace_seconds=120)


def rollout_plan(
    replicas: int,
    probes: ProbePlan,
    profile: ClusterProfile,
    *,
    may_surge: bool,
    pool_known: bool,
) -> RolloutPlan:
    """How to update without a deadlock.

    Args:
        replicas: pods of the server.
        probes: their startup budget counts into the progress deadline.
        profile: how nodes come about.
        may_surge: whether one more pod finds room in the node pool while everything else runs.
        pool_known: whether the pods run on a node pool of the stack.

    """
    deadline = probes.startup_seconds + _NODE_AND_IMAGE_SECONDS
    budget = replicas > 1
    if may_surge:
        return RolloutPlan(
            strategy="RollingUpdate",
            max_surge=1,
            max_unavailable=0,
            progress_deadline_seconds=deadline,
            disruption_budget=budget,
            reason="the node pool has room for one more pod",
        )
    why = (
        "nobody can promise a spare GPU on Autopilot"
        if profile == "autopilot"
        else "the node pool has no room for one more pod"
        if pool_known
        else "whether the cluster has a spare GPU is not known"
    )
    if replicas > 1:
        return RolloutPlan(
            strategy="RollingUpdate",
            max_surge=0,
            max_unavailable=1,
            progress_deadline_seconds=deadline,
            disruption_budget=budget,
            reason=f"{why}: one pod at a time makes room for its successor",
        )
    return RolloutPlan(
        strategy="Recreate",
        max_surge=0,
        max_unavailable=1,
        progress_deadline_seconds=deadline,
        disruption_budget=budget,
        reason=f"{why}: the only pod stops before its successor starts",
    )


def resource_problems(
    path: str, resources: PodResources, asked: ResourceSettings, checkpoint_gib: float
) -> list[Finding]:
    """Problems of requests with which no server can start.

    Args:
        path: where the server stands in the configuration.
        resources: the requests.
        asked: those that the stack gives itself.
        checkpoint_gib: size of the checkpoint in GiB, which the cache has to hold.

    """
    problems = []
    least_memory = resources.shared_memory_gib + _BASE_MEMORY_GIB
    if asked.memory_gib is not None and asked.memory_gib < least_memory:
        problems.append(
            Finding(
                f"{path}.resources.memoryGib",
                f"{asked.memory_gib} GiB do not hold the server",
                f"shared memory alone may take {resources.shared_memory_gib} GiB of it, and the server needs "
                f"{_BASE_MEMORY_GIB} GiB before it loads anything",
                f"use {least_memory} or more",
            )
        )
    least_storage = math.ceil(checkpoint_gib) + _LOGS_GIB
    if asked.ephemeral_storage_gib is not None and asked.ephemeral_storage_gib < least_storage:
        problems.append(
            Finding(
                f"{path}.resources.ephemeralStorageGib",
                f"{asked.ephemeral_storage_gib} GiB do not hold the model",
                f"its files take {checkpoint_gib:.1f} GiB, and the pod is evicted when the storage is full",
                f"use {least_storage} or more",
            )
        )
    return problems
