"""Whether servers that share a GPU leave each other the memory that they take."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gke_llm_inference.catalog.memory_facts import MemoryFacts
from gke_llm_inference.planning.memory import MemoryPlan, plan_memory
from gke_llm_inference.planning.stages import SizedServer
from gke_llm_inference.settings import Finding, NodePoolSettings

# A share that is proposed is rounded down to this step.
_STEP = 100
_SETTINGS = {"vllm": "gpuMemoryUtilization", "tgi": "cudaMemoryFraction"}


@dataclass(frozen=True)
class _Room:
    """What a pod finds free of a shared GPU at worst, in MiB, and why."""

    mib: float
    why: str


class SharedGpus:
    """The GPUs of a pool and who may be on them; nothing is shared where the pool has no `sharing`.

    A server plans with a share of the whole GPU, whoever else is on it. Time sharing limits nobody's memory: a pod
    finds what the largest others leave. MPS gives every pod an equal part: CUDA then reports the whole GPU as its
    size, and the part as what is free (https://docs.nvidia.com/deploy/mps, device memory limit, which GKE derives
    from the most pods).
    """

    def __init__(self, pool: NodePoolSettings, tenants: Sequence[SizedServer]) -> None:
        self.pool, self.tenants = pool, tenants
        clients = pool.sharing.max_clients if pool.sharing else 0
        # Of each server only as many pods matter as find room on one GPU.
        self._busiest = sorted(
            (
                (one.memory.peak_mib, one.key)
                for one in (tenants if clients else ())
                if one.memory is not None
                for _ in range(min(one.settings.most_replicas, clients))
            ),
            reverse=True,
        )[: clients + 1]

    def holds_more(self, server: SizedServer) -> bool:
        """Whether one more pod of the server starts beside all others, as an update that surges needs it."""
        if self.pool.sharing is None or server.memory is None:
            return True
        room = self.room(server, server.memory, also=1)
        return max(server.memory.budget_mib, server.memory.peak_mib) <= room.mib

    def room(self, server: SizedServer, memory: MemoryPlan, also: int = 0) -> "_Room":
        """What one pod of the server finds free beside all others, and beside `also` more pods of its own."""
        assert self.pool.sharing is not None
        clients = self.pool.sharing.max_clients
        if self.pool.sharing.strategy == "mps":
            return _Room(memory.total_mib / clients, f"MPS gives each of {clients} pods an equal part")
        own = (memory.peak_mib, server.key)
        others = [*self._busiest, *[own] * also]
        if own in others:
            others.remove(own)
        beside = sorted(others, reverse=True)[: clients - 1]
        names = ", ".join(sorted({name for _, name in beside}))
        return _Room(
            memory.total_mib - sum(peak for peak, _ in beside),
            f"pods of {names} may run on the same GPU, and time sharing limits nobody's memory",
        )


def sharing_findings(key: str, shared: SharedGpus) -> list[Finding]:
    """Problems and warnings of the servers on a pool whose GPUs are shared; none for any other pool.

    Args:
        key: name of the pool in the configuration.
        shared: its GPUs, and the servers that it is planned to run.

    """
    pool, tenants = shared.pool, shared.tenants
    if pool.sharing is None:
        return []
    findings = [_several_gpus(key, server) for server in tenants if server.settings.accelerator.count > 1]
    for server in tenants:
        if server.memory is None or not server.memory.starts or server.settings.accelerator.count > 1:
            continue
        finding = _finding(key, pool, server, server.memory, shared.room(server, server.memory))
        if finding is not None:
            findings.append(finding)
    return findings


def _finding(key: str, pool: NodePoolSettings, server: SizedServer, memory: MemoryPlan, room: _Room) -> Finding | None:
    assert pool.sharing is not None
    needed = max(memory.budget_mib, memory.peak_mib)
    if needed <= room.mib:
        return None
    setting = _SETTINGS[server.settings.server]
    facts = server.stack.catalog.memory
    share = _fitting_share(memory, memory.total_mib / pool.sharing.max_clients, facts)
    fix = (
        f"set {setting} to {share:g} for every server of the pool, or remove nodePools.{key}.sharing"
        if share
        else f"remove nodePools.{key}.sharing, or let fewer pods share: no {setting} makes it fit an equal part"
    )
    return Finding(
        path=f"{server.path}.{setting}",
        what=f"takes {needed / 1024:.2f} GiB of a shared GPU of which {max(0.0, room.mib) / 1024:.2f} GiB may be free",
        why=room.why,
        fix=fix,
        severity="warning" if server.settings.allow_unfit else "problem",
    )


def _fitting_share(memory: MemoryPlan, part_mib: float, facts: MemoryFacts) -> float | None:
    """The largest share of the GPU with which the server starts and keeps to a part of it; None if there is none."""
    beyond = max(0.0, memory.peak_mib - memory.budget_mib)
    share = int((part_mib - beyond) / memory.total_mib * _STEP) / _STEP
    if share <= 0:
        return None
    plan = plan_memory(replace(memory.request, gpu_memory_utilization=share), facts)
    keeps = max(plan.budget_mib, plan.peak_mib) <= part_mib
    return share if plan.starts and keeps else None


def _several_gpus(key: str, server: SizedServer) -> Finding:
    return Finding(
        path=f"{server.path}.accelerator.count",
        what=f"{server.settings.accelerator.count} GPUs are more than a pod may have where GPUs are shared",
        why="GKE rejects a request for more than one shared GPU",
        fix=f"use one GPU, or remove nodePools.{key}.sharing",
    )
