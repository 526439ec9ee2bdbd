"""Local SSDs of the nodes that may run a server: those of its node pools, or of machines that GKE makes for it."""

from collections.abc import Iterator

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.facts import MachineType
from gke_llm_inference.planning.capacity_tiers.asked import gpu_of, machine_tiers, needs_class
from gke_llm_inference.planning.machines import candidates, local_ssd_room_gib
from gke_llm_inference.planning.plan import ClusterPlan
from gke_llm_inference.planning.stages import StackFrame
from gke_llm_inference.settings import Finding, ServerSettings


def count_of(machine: MachineType, fewest: int) -> int | None:
    """How many local SSDs a machine gets that shall have `fewest` or more; None where it cannot, or it is not known."""
    if machine.local_ssds is None:
        return None
    counts = machine.local_ssd_counts or (machine.local_ssds,)
    return min((count for count in counts if count >= fewest), default=None)


def local_ssd_gib(settings: ServerSettings, stack: StackFrame) -> float:
    """What a pod may take of local SSDs on every node that may run it, in GiB; 0 where one of them has none."""
    if settings.local_ssds and needs_class(settings, stack.cluster.profile):
        counts = [
            count_of(stack.catalog.machine_types[name], settings.local_ssds) or 0
            for names in _machines(settings, stack.catalog).values()
            for name in names
        ]
        return local_ssd_room_gib(min(counts, default=0), stack.catalog)
    return _of_pools(settings, stack)


def local_ssd_findings(
    path: str, settings: ServerSettings, cluster: ClusterPlan, catalog: Catalog
) -> Iterator[Finding]:
    """Problems of local SSDs that a server asks for."""
    if not settings.local_ssds:
        return
    if not needs_class(settings, cluster.profile) or not machine_tiers(settings):
        yield Finding(
            path=f"{path}.localSsds",
            what="belongs to the node pool on a Standard cluster",
            why="there the pool's nodes have it, whichever pod they run",
            fix="move it to nodePools, or list capacity, for which GKE makes nodes",
        )
        return
    for index, names in _machines(settings, catalog).items():
        machines = [catalog.machine_types[name] for name in names]
        if not machines or any(count_of(machine, settings.local_ssds) is not None for machine in machines):
            continue
        known = [machine.local_ssds for machine in machines if machine.local_ssds is not None]
        tier = "" if settings.capacity is None else f" of capacity[{index}]"
        yield Finding(
            path=f"{path}.localSsds",
            what=f"{names[0]}{tier} has at most {max(known)} local SSDs"
            if known
            else f"how many local SSDs {names[0]}{tier} takes is not known",
            why="the autoscaler would make no node",
            fix=f"use {max(known)} or fewer" if any(known) else "remove it, or use another machine",
        )


def _machines(settings: ServerSettings, catalog: Catalog) -> dict[int, list[str]]:
    """Machine types that each tier may come to, by its place in the list."""
    count = settings.accelerator.count
    return {
        index: [tier.machine_type]
        if tier.machine_type in catalog.machine_types
        else candidates(gpu_of(tier, settings, catalog), count, catalog)
        for index, tier in machine_tiers(settings)
    }


def _of_pools(settings: ServerSettings, stack: StackFrame) -> float:
    if not stack.pools_with_local_ssds:
        return 0.0
    asked = settings.accelerator
    pools = [
        pool
        for key, pool in stack.pools.items()
        if pool.accelerator.type == asked.type
        and pool.accelerator.count >= asked.count
        and settings.node_pool in (None, key)
    ]
    shares = []
    for pool in pools:
        clients = pool.sharing.max_clients if pool.sharing else 1
        pods = max(1, min(pool.accelerator.count * clients // asked.count, settings.most_replicas))
        shares.append(local_ssd_room_gib(pool.local_ssds, stack.catalog) / pods)
    return min(shares, default=0.0)
