"""Node pools that servers try in order: each belongs to one compute class, and so to one list."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.kubernetes_names import COMPUTE_CLASS_LABEL
from gke_llm_inference.planning.capacity import Capacity
from gke_llm_inference.planning.capacity_tiers.names import pools_class_name
from gke_llm_inference.planning.lifecycle import spot_shutdown
from gke_llm_inference.planning.machines import candidates, ephemeral_room_gib, room_for_pods
from gke_llm_inference.planning.node_pools import plan_pool
from gke_llm_inference.planning.plan import NodePoolPlan
from gke_llm_inference.planning.pods import pod_request
from gke_llm_inference.planning.stages import PlacedServer, Placement, SizedServer, StackFrame
from gke_llm_inference.planning.versions import newest_cuda
from gke_llm_inference.settings import Finding, NodePoolSettings, NodePoolTier, ServerSettings, suggestion

PoolList = tuple[str, ...]
"""Keys of node pools in the order in which they are tried."""


def listed_pools(settings: ServerSettings) -> PoolList:
    """The node pools that a server tries in order; none where it lists fewer than two."""
    tiers = settings.tiers
    keys = tuple(tier.node_pool for tier in tiers if isinstance(tier, NodePoolTier))
    return keys if len(keys) == len(tiers) > 1 else ()


def place_lists(servers: Sequence[SizedServer], others: Sequence[SizedServer], stack: StackFrame) -> Placement:
    """The placement of servers that try node pools in order.

    Args:
        servers: the servers.
        others: those that do not.
        stack: what all have around them.

    """
    lists: dict[PoolList, list[SizedServer]] = {}
    for server in servers:
        lists.setdefault(listed_pools(server.settings), []).append(server)
    findings = [*_unknown(servers, stack), *_shared(lists, others)]
    if findings:
        return Placement(servers=(), findings=tuple(findings))
    placed: list[PlacedServer] = []
    pools: list[NodePoolPlan] = []
    for keys, tenants in sorted(lists.items()):
        found = [_Node.of(key, stack.pools[key], tenants, stack.catalog) for key in keys]
        nodes = [node for node in found if isinstance(node, _Node)]
        problems = [one for one in found if isinstance(one, Finding)] or list(_too_few(nodes, tenants))
        findings += problems
        if problems:
            continue
        planned = [_planned(node, pools_class_name(stack.namespace, keys), tenants, stack) for node in nodes]
        pools += planned
        placed += (
            PlacedServer(**vars(server), pool=planned[0], may_surge=False, tier_pools=tuple(planned))
            for server in tenants
        )
    return Placement(servers=tuple(placed), pools=tuple(pools), findings=tuple(findings))


@dataclass(frozen=True, kw_only=True)
class _Node:
    """A pool of a list with the machine that holds every pod of its servers."""

    key: str
    settings: NodePoolSettings
    machine: str
    pods: int

    @classmethod
    def of(
        cls, key: str, pool: NodePoolSettings, tenants: Sequence[SizedServer], catalog: Catalog
    ) -> "_Node | Finding":
        """The pool with its machine, or why none holds the pods."""
        needs = {pod_request(one.resources, one.settings.accelerator.count) for one in tenants}
        machines = (
            [pool.machine_type]
            if pool.machine_type
            else candidates(pool.accelerator.type, pool.accelerator.count, catalog)
        )
        for machine in machines:
            room = replace(
                room_for_pods(catalog.machine_types[machine], catalog), disk_gib=ephemeral_room_gib(pool, catalog)
            )
            if all(need.fits(room) for need in needs):
                return cls(key=key, settings=pool, machine=machine, pods=_pods_on(room, needs) * pool.max_nodes)
        first = tenants[0]
        index = listed_pools(first.settings).index(key)
        resources = first.resources
        return Finding(
            path=f"{first.path}.capacity[{index}]",
            what=f"{resources.pod_cpu_millicores / 1000:g} vCPU, {resources.pod_memory_gib} GiB, "
            f"{resources.ephemeral_storage_gib} GiB storage and {first.settings.accelerator.count} × GPU are more than "
            f"a node of nodePools.{key} has",
            why="all tiers run the same pod, and it would never be placed there",
            fix=f"change machineType, accelerator or diskSizeGb of nodePools.{key}, or remove the tier",
        )


def _pods_on(room: Capacity, needs: set[Capacity]) -> int:
    """How many pods a node holds, if all are as large as the largest in every respect."""
    gpus = max(need.gpus for need in needs)
    cpu = max(need.cpu_millicores for need in needs)
    memory = max(need.memory_mib for need in needs)
    disk = max(need.disk_gib for need in needs)
    parts = (room.gpus / gpus, room.cpu_millicores / cpu, room.memory_mib / memory, room.disk_gib / disk)
    return max(1, math.floor(min(parts)))


def _unknown(servers: Sequence[SizedServer], stack: StackFrame) -> Iterator[Finding]:
    for server in servers:
        for index, key in enumerate(listed_pools(server.settings)):
            if key not in stack.pools:
                yield Finding(
                    path=f"{server.path}.capacity[{index}].nodePool",
                    what=f"{key} is not one of nodePools",
                    why="the pod would find no node",
                    fix=suggestion(key, stack.pools) if stack.pools else "add it to nodePools",
                )


def _shared(lists: Mapping[PoolList, Sequence[SizedServer]], others: Sequence[SizedServer]) -> Iterator[Finding]:
    """Pools that would belong to two lists, or to a list and to servers that do not ask for its class."""
    owner: dict[str, tuple[PoolList, SizedServer]] = {}
    for keys, tenants in sorted(lists.items()):
        for index, key in enumerate(keys):
            if key in owner:
                yield Finding(
                    path=f"{tenants[0].path}.capacity[{index}]",
                    what=f"nodePools.{key} is in the list of {owner[key][1].path} too, which is another one",
                    why="a node pool belongs to one compute class, and a class has one order",
                    fix="use the same list for both, or other pools",
                )
            owner.setdefault(key, (keys, tenants[0]))
    for server in others:
        if server.settings.node_pool in owner:
            yield Finding(
                path=f"{server.path}.nodePool",
                what=f"{server.settings.node_pool} belongs to the list of {owner[server.settings.node_pool][1].path}",
                why="its nodes take pods of their compute class alone",
                fix="use the same list as capacity, or another pool",
            )


def _too_few(nodes: Sequence[_Node], tenants: Sequence[SizedServer]) -> Iterator[Finding]:
    """The problem of pools that all together do not hold the pods."""
    pods = sum(server.settings.most_replicas for server in tenants)
    room = sum(node.pods for node in nodes)
    if room < pods:
        yield Finding(
            path=f"{tenants[0].path}.capacity",
            what=f"its node pools hold {room:,} pods, and {pods:,} are asked for",
            why="the rest of the pods would stay pending",
            fix=f"raise maxNodes of nodePools.{nodes[0].key}, or add a pool",
        )


def _planned(node: _Node, name: str, tenants: Sequence[SizedServer], stack: StackFrame) -> NodePoolPlan:
    plan = plan_pool(
        node.key,
        node.settings,
        node.machine,
        newest_cuda=newest_cuda(server.cuda for server in tenants),
        cluster=stack.cluster,
        catalog=stack.catalog,
    )
    return replace(
        plan,
        compute_class=name,
        node_labels=dict(sorted({**plan.node_labels, COMPUTE_CLASS_LABEL: name}.items())),
        shutdown=spot_shutdown(node.settings, [one.settings for one in tenants], stack.catalog.gke.shutdown),
    )
