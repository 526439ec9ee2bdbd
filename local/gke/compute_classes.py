"""ComputeClass objects as GKE's autoscaler reads them: tiers of machines in an order. Pure."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.kubernetes_names import COMPUTE_CLASS_LABEL
from gke_llm_inference.planning.machines import boot_disk_room_gib, candidates, local_ssd_room_gib
from local.gke.pools import DEFAULT_DISK_GB, POOL_LABEL, Pool, Provision, Taint, gpu_pool

PRIORITY = "ccc_priority_index"
"""Annotation of nodes with the place of their tier in the list."""

# What the annotation says else (pkg/computeclass/nodeannotator_plugin.go of GKE's autoscaler @7d25050).
_CLASS_IS_GONE = "ccc_deleted"
_NO_TIER = "ccc_no_rule_matching"
_MOST_NODES = 1000

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Tier:
    """One priority of a class.

    Attributes:
        index: its place in the list, from 0.
        pools: what GKE makes for it, in the order of preference.
        named: node pools of the cluster that it names instead.
        problem: why there is neither.

    """

    index: int
    pools: tuple[Pool, ...] = ()
    named: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class ComputeClass:
    """A class with its tiers in their order; a pod gets a machine of the first that has one.

    Attributes:
        when_unsatisfiable: what it says for the case that none has one.
        idle_seconds: after which a node that nobody needs goes; None: as GKE has it.

    """

    name: str
    tiers: tuple[Tier, ...]
    when_unsatisfiable: str = "DoNotScaleUp"
    idle_seconds: int | None = None


def compute_class(document: Document, region: str, catalog: Catalog, *, autopilot: bool) -> ComputeClass:
    """The class of an object that the API server has taken.

    Args:
        document: the object.
        region: where the cluster is.
        catalog: the machines that there are.
        autopilot: whether the cluster is one of Autopilot, which makes node pools whatever the class says.

    """
    spec = document["spec"]
    creates = autopilot or spec.get("nodePoolAutoCreation", {}).get("enabled", False)
    reader = _Reader(document["metadata"]["name"], spec, region, catalog)
    tiers = tuple(reader.tier(index, one, creates=creates) for index, one in enumerate(spec.get("priorities", ())))
    minutes = spec.get("autoscalingPolicy", {}).get("consolidationDelayMinutes")
    return ComputeClass(reader.name, tiers, spec["whenUnsatisfiable"], None if minutes is None else minutes * 60)


def priority_index(labels: Mapping[str, str], classes: Mapping[str, ComputeClass]) -> str | None:
    """What a node's annotation says of the place of its tier; None for a node of no class."""
    name = labels.get(COMPUTE_CLASS_LABEL)
    if name is None:
        return None
    if name not in classes:
        return _CLASS_IS_GONE
    pool = labels.get(POOL_LABEL)
    found = (one.index for one in classes[name].tiers if pool in (*one.named, *(made.name for made in one.pools)))
    return str(next(found, _NO_TIER))


class _ProblemError(Exception):
    """A tier for which no node pool can be made."""


@dataclass(frozen=True)
class _Reader:
    name: str
    spec: Document
    region: str
    catalog: Catalog

    def tier(self, index: int, priority: Document, *, creates: bool) -> Tier:
        if "nodepools" in priority:
            return Tier(index, named=tuple(priority["nodepools"]))
        if not creates:
            return Tier(index, problem="the class does not let GKE make node pools")
        try:
            return Tier(index, tuple(self._pools(priority)))
        except _ProblemError as problem:
            return Tier(index, problem=str(problem))

    def _pools(self, priority: Document) -> Iterator[Pool]:
        for machine in self._machines(priority):
            for provision, zones in self._provisions(priority):
                yield self._pool(machine, provision, zones, priority)

    def _machines(self, priority: Document) -> list[str]:
        gpu = priority.get("gpu", {})
        kind, count = gpu.get("type"), gpu.get("count")
        family, name = priority.get("machineFamily"), priority.get("machineType")
        if name is None:
            found = candidates(kind, count, self.catalog) if kind and count else []
            machines = [one for one in found if family in (None, one.partition("-")[0])]
            if not machines:
                raise _ProblemError(f"no machine is known with {count or 0} of {kind or 'no GPU'}")
            return machines
        machine = self.catalog.machine_types.get(name)
        if machine is None:
            raise _ProblemError(f"no machine with GPUs is known as {name}")
        if kind not in (None, machine.accelerator) or count not in (None, machine.gpus):
            raise _ProblemError(
                f"{name} has {machine.gpus} of {machine.accelerator}, not {count or '?'} of {kind or '?'}"
            )
        return [name]

    def _provisions(self, priority: Document) -> Iterator[tuple[Provision, tuple[str, ...]]]:
        """How the machines come and go, and in which zones: more than one where a tier has several reservations."""
        zones = tuple(self._default(priority, "location").get("zones", ()))
        kubelet = self._default(priority, "nodeSystemConfig").get("kubeletConfig", {})
        grace = {
            field: kubelet[key]
            for field, key in (
                ("shutdown_seconds", "shutdownGracePeriodSeconds"),
                ("critical_seconds", "shutdownGracePeriodCriticalPodsSeconds"),
            )
            if key in kubelet
        }
        run = priority.get("maxRunDurationSeconds")
        flex = priority.get("flexStart", {})
        if flex.get("enabled"):
            wait = priority.get("capacityCheckWaitTimeSeconds")
            recycle = flex.get("nodeRecycling", {}).get("leadTimeSeconds")
            given = {} if wait is None else {"wait_seconds": wait}
            yield Provision.flex_start(run_seconds=run, recycle_seconds=recycle, **given, **grace), zones
        elif priority.get("spot"):
            yield Provision("spot", run_seconds=run, **grace), zones
        elif reserved := priority.get("reservations", {}).get("specific"):
            for one in reserved:
                yield (
                    Provision("reservation", one["name"], one.get("project"), run_seconds=run),
                    tuple(one.get("zones", zones)),
                )
        else:
            yield Provision("onDemand", run_seconds=run), zones

    def _default(self, priority: Document, key: str) -> Document:
        found: Document = priority.get(key) or self.spec.get("priorityDefaults", {}).get(key) or {}
        return found

    def _pool(self, machine: str, provision: Provision, zones: tuple[str, ...], priority: Document) -> Pool:
        storage, common = priority.get("storage", {}), self.spec.get("nodePoolConfig", {})
        own = self.catalog.machine_types[machine]
        disk = storage.get("bootDiskSize", DEFAULT_DISK_GB)
        ssds = storage.get("localSSDCount", own.local_ssds if own.has_local_ssds else 0)
        room = local_ssd_room_gib(ssds, self.catalog) if ssds else boot_disk_room_gib(disk, self.catalog)
        taints = (
            Taint(COMPUTE_CLASS_LABEL, self.name, "NoSchedule"),
            *(
                Taint(one["key"], one.get("value", ""), one["effect"])
                for one in (*common.get("taints", ()), *priority.get("taints", ()))
            ),
        )
        digest = _digest(self.name, provision.reservation, provision.project, priority)
        labels = {**common.get("nodeLabels", {}), **priority.get("nodeLabels", {}), COMPUTE_CLASS_LABEL: self.name}
        return gpu_pool(
            "-".join(
                (
                    "nap",
                    machine,
                    provision.model.lower(),
                    digest,
                )
            ),
            machine,
            self.region,
            zones=zones,
            nodes=(0, _MOST_NODES),
            disk_gb=disk,
            ephemeral_gib=room,
            driver=priority.get("gpu", {}).get("driverVersion", "default"),
            provision=provision,
            clients=1,
            labels=labels,
            taints=taints,
            catalog=self.catalog,
        )


def _digest(*parts: Any) -> str:
    """Tells pools of like machines apart; it stays as long as class and tier say the same, wherever the tier is."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]
