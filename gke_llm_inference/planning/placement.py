"""Gives every server a node pool and every pool a machine, so that all pods find room on the nodes it may have."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import reduce

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.planning.bin_packing import NOTHING, Packing, nodes_for, smaller
from gke_llm_inference.planning.capacity import Capacity
from gke_llm_inference.planning.lifecycle import spot_shutdown
from gke_llm_inference.planning.machines import (
    boot_disk_for_gib,
    candidates,
    ephemeral_room_gib,
    holds,
    room_for_pods,
)
from gke_llm_inference.planning.node_pools import plan_pool
from gke_llm_inference.planning.plan import NodePoolPlan, PodResources
from gke_llm_inference.planning.pods import pod_request
from gke_llm_inference.planning.sharing import SharedGpus, sharing_findings
from gke_llm_inference.planning.stages import PlacedServer, Placement, SizedServer, StackFrame
from gke_llm_inference.planning.versions import newest_cuda
from gke_llm_inference.settings import ExistingCluster, Finding, NodePoolSettings, suggestion


def place(servers: Sequence[SizedServer], stack: StackFrame) -> Placement:
    """The placement of a stack's servers.

    A server goes to the pool that it names, else to the pool with the fewest GPUs per node, then the cheapest, that
    has room for all of its pods beside the others.
    """
    catalog, pools = stack.catalog, stack.pools
    if not pools:
        return unplaced(servers, _problems_without_pools(servers, stack))
    chosen, problems = _choose_pools(servers, pools, catalog)
    plans, may_surge, findings = _plan_pools(servers, chosen, stack)
    placed = (
        PlacedServer(**vars(server), pool=plans[chosen[server.key]], may_surge=server.key in may_surge)
        for server in servers
        if chosen.get(server.key) in plans
    )
    return Placement(servers=tuple(placed), pools=tuple(plans.values()), findings=(*problems, *findings))


def unplaced(servers: Sequence[SizedServer], findings: Sequence[Finding] = ()) -> Placement:
    """The servers on nodes that are none of the stack's."""
    placed = (PlacedServer(**vars(server), pool=None, may_surge=False) for server in servers)
    return Placement(servers=tuple(placed), findings=tuple(findings))


def _plan_pools(
    servers: Sequence[SizedServer], chosen: Mapping[str, str], stack: StackFrame
) -> tuple[dict[str, NodePoolPlan], set[str], list[Finding]]:
    """The plans of the pools that find a machine, the servers that may surge there, and what is found of them."""
    catalog = stack.catalog
    plans: dict[str, NodePoolPlan] = {}
    may_surge: set[str] = set()
    findings: list[Finding] = []
    tenants_of: dict[str, list[SizedServer]] = {key: [] for key in stack.pools}
    for server in servers:
        if (pool_key := chosen.get(server.key)) is not None:
            tenants_of[pool_key].append(server)
    for key, pool in sorted(stack.pools.items()):
        tenants = tenants_of[key]
        machine, found = _choose_machine(key, pool, tenants, catalog)
        shared = SharedGpus(pool, tenants)
        findings += [*found, *sharing_findings(key, shared)]
        if machine is None:
            continue
        cuda = newest_cuda(server.cuda for server in tenants)
        shutdown = spot_shutdown(pool, [server.settings for server in tenants], catalog.gke.shutdown)
        plan = plan_pool(key, pool, machine, newest_cuda=cuda, cluster=stack.cluster, catalog=catalog)
        plans[key] = replace(plan, shutdown=shutdown)
        spare = _Spare(_pods(tenants), _node_room(pool, machine, catalog), pool.max_nodes)
        may_surge.update(server.key for server in tenants if spare.holds(_need(server)) and shared.holds_more(server))
    return plans, may_surge, findings


class _Spare:
    """Whether a pool has room for one more pod while all others run; an answer holds for pods that are alike."""

    def __init__(self, pods: Counter[Capacity], room: Capacity, most_nodes: int) -> None:
        self._pods, self._room, self._most = pods, room, most_nodes
        self._nodes = nodes_for(pods, room)
        self._answers: dict[Capacity, bool] = {}
        self._refused: list[Capacity] = []

    def holds(self, need: Capacity) -> bool:
        """Whether one more pod with that need finds a node."""
        if self._nodes is None or not need.fits(self._room):
            return False
        if self._nodes < self._most:
            return True
        if need not in self._answers:
            self._answers[need] = self._finds_a_node(need)
        return self._answers[need]

    def _finds_a_node(self, need: Capacity) -> bool:
        if any(refused.fits(need) for refused in self._refused):
            return False
        found = (nodes_for(self._pods + Counter([need]), self._room) or math.inf) <= self._most
        if not found:
            self._refused.append(need)
        return found


def _problems_without_pools(servers: Sequence[SizedServer], stack: StackFrame) -> list[Finding]:
    cluster, catalog = stack.cluster, stack.catalog
    problems = []
    for server in servers:
        accelerator = server.settings.accelerator
        if cluster.profile == "standard" and not isinstance(cluster.settings, ExistingCluster):
            problems.append(_no_pool(server))
        if (
            cluster.profile == "autopilot"
            and accelerator.count in catalog.accelerators[accelerator.type].autopilot_maxima
        ):
            # Autopilot's own maxima are checked already; they are what its machines hold.
            continue
        machines = candidates(accelerator.type, accelerator.count, catalog)
        if not machines:
            continue  # a GPU that the catalog lacks, on nodes that exist already
        if not any(holds(catalog.machine_types[name], _need(server), catalog) for name in machines):
            problems.append(
                _too_big(server, machines, f"any machine with {accelerator.count} × {accelerator.type}", catalog)
            )
    return problems


def _choose_pools(
    servers: Sequence[SizedServer], pools: Mapping[str, NodePoolSettings], catalog: Catalog
) -> tuple[dict[str, str], list[Finding]]:
    """The pool of each server that finds one, and what keeps the others from it."""
    problems: list[Finding] = []
    chosen: dict[str, str] = {}
    choice = _Choice(servers, pools, catalog)
    for server in sorted(servers, key=_order):
        key, problem = choice.of(server)
        if problem is not None:
            problems.append(problem)
        if key is not None:
            chosen[server.key] = key
    return chosen, problems


def _order(server: SizedServer) -> tuple[bool, int, str]:
    """Servers that name their pool take their room first, then the largest."""
    return server.settings.node_pool is None, -server.settings.accelerator.count, server.key


class _OpenPool:
    """A pool that takes one server after the other."""

    def __init__(self, pool: NodePoolSettings, least: Capacity, catalog: Catalog) -> None:
        self._rooms = [_node_room(pool, machine, catalog) for machine in _machines(pool, catalog)]
        self._most, self._least = pool.max_nodes, least
        self._packing = Packing(self._rooms[-1])
        self._pods: Counter[Capacity] = Counter()
        self._refused: list[tuple[Capacity, int]] = []

    def take(self, need: Capacity, replicas: int) -> None:
        """Take the pods of a server, whether there is room or not."""
        self._pods[need] += replicas
        self._packing.add(need, replicas, self._least)

    def has_room(self, need: Capacity, replicas: int) -> bool:
        """Whether so many more pods find room beside those that it has."""
        if not any(need.fits(room) for room in self._rooms):
            return False
        if any(refused.fits(need) and count <= replicas for refused, count in self._refused):
            return False
        if self._packing.nodes + replicas <= self._most:
            return True
        found = (nodes_for(self._pods + Counter({need: replicas}), self._rooms[-1]) or 0) <= self._most
        if not found:
            self._refused.append((need, replicas))
        return found


class _Choice:
    """Chooses pools for servers, one after the other."""

    def __init__(self, servers: Sequence[SizedServer], pools: Mapping[str, NodePoolSettings], catalog: Catalog) -> None:
        self._pools, self._catalog = pools, catalog
        needs = {_need(server) for server in servers}
        least = reduce(smaller, needs, next(iter(needs), NOTHING))
        self._open = {key: _OpenPool(pool, least, catalog) for key, pool in pools.items()}
        self._ranked: dict[tuple[str, int], list[str]] = {}
        # Of servers that ask the same, a later one need not ask pools that refused an earlier one.
        self._passed: dict[tuple[str, int, Capacity, int], int] = {}

    def of(self, server: SizedServer) -> tuple[str | None, Finding | None]:
        """The pool that takes the server, or why there is none."""
        key, problem = self._choose(server)
        if key is not None:
            self._open[key].take(_need(server), server.settings.most_pods)
        return key, problem

    def _choose(self, server: SizedServer) -> tuple[str | None, Finding | None]:
        accelerator, asked, pools = server.settings.accelerator, server.settings.node_pool, self._pools
        if asked is not None:
            problem = _wrong_pool(server, asked, pools)
            return (None, problem) if problem is not None else (asked, None)
        ranked = self._matching(accelerator.type, accelerator.count)
        if not ranked:
            return None, _no_pool(server)
        need, replicas = _need(server), server.settings.most_pods
        kind = (accelerator.type, accelerator.count, need, replicas)
        for place in range(self._passed.get(kind, 0), len(ranked)):
            if self._open[ranked[place]].has_room(need, replicas):
                self._passed[kind] = place
                return ranked[place], None
        # None has room: the first choice says what is missing.
        self._passed[kind] = len(ranked)
        return ranked[0], None

    def _matching(self, accelerator: str, count: int) -> list[str]:
        """Pools with at least so many of the GPU, the best choice first."""
        found = self._ranked.get((accelerator, count))
        if found is None:
            matching = [
                key
                for key, pool in self._pools.items()
                if pool.accelerator.type == accelerator and pool.accelerator.count >= count
            ]
            found = sorted(matching, key=lambda key: _preference(key, self._pools[key], self._catalog))
            self._ranked[accelerator, count] = found
        return found


def _wrong_pool(server: SizedServer, asked: str, pools: Mapping[str, NodePoolSettings]) -> Finding | None:
    """Why the server cannot run on the pool that it names."""
    accelerator = server.settings.accelerator
    if asked not in pools:
        return Finding(
            path=f"{server.path}.nodePool",
            what=f"{asked} is not one of nodePools",
            why="the pod would find no node",
            fix=suggestion(asked, pools),
        )
    nodes = pools[asked].accelerator
    if nodes.type != accelerator.type or nodes.count < accelerator.count:
        return Finding(
            path=f"{server.path}.nodePool",
            what=f"nodes of {asked} have {nodes.count} × {nodes.type}",
            why=f"a pod of this server needs {accelerator.count} × {accelerator.type} on one node",
            fix="choose another pool, or change the GPUs of one of them",
        )
    return None


def _preference(key: str, pool: NodePoolSettings, catalog: Catalog) -> tuple[int, float, str]:
    prices = catalog.machine_types[_machines(pool, catalog)[0]].usd_per_hour
    price = math.inf if prices is None else prices.spot if pool.provisioning.model == "spot" else prices.on_demand
    return (pool.accelerator.count, price, key)


def _choose_machine(
    key: str, pool: NodePoolSettings, tenants: Sequence[SizedServer], catalog: Catalog
) -> tuple[str | None, list[Finding]]:
    """The cheapest machine on which the pool's pods fit within its nodes, or what stands in the way."""
    machines = _machines(pool, catalog)
    pods = _pods(tenants)
    disk = _disk_problem(key, pool, tenants, catalog)
    rooms = {machine: _node_room(pool, machine, catalog, any_disk=disk is not None) for machine in machines}
    for machine in machines:
        nodes = _nodes(tenants, pods, rooms[machine], pool.max_nodes)
        # A server that is scaled to nothing for now must find the machine when it is scaled up.
        all_fit = all(need.fits(rooms[machine]) for need in pods)
        if nodes is not None and nodes <= pool.max_nodes and all_fit:
            return machine, [disk] if disk else []
    problems = [disk] if disk else []
    subject = (
        f"the machine of nodePools.{key}"
        if pool.machine_type
        else f"any machine with {pool.accelerator.count} × {pool.accelerator.type}"
    )
    for server in tenants:
        if not any(_need(server).fits(room) for room in rooms.values()):
            problems.append(_too_big(server, machines, subject, catalog))
    counts = [nodes for room in rooms.values() if (nodes := nodes_for(pods, room)) is not None]
    if counts:
        gpus = sum(server.gpus for server in tenants)
        problems.append(
            Finding(
                path=f"nodePools.{key}.maxNodes",
                what=f"{pool.max_nodes} is less than the {min(counts)} nodes that its servers need",
                why=f"they ask for {gpus} GPUs and what goes with them, a node has {pool.accelerator.count}; "
                "the rest of the pods would stay pending",
                fix=f"use {min(counts)} or more" + _fewer_pods(tenants),
            )
        )
    return None, problems


def _fewer_pods(tenants: Sequence[SizedServer]) -> str:
    """What else makes pods fit a pool: fewer of a server whose number follows its load."""
    scaled = [server.key for server in tenants if server.settings.autoscaling is not None]
    return f", or lower autoscaling.maxReplicas of {', '.join(scaled)}" if scaled else ""


def _nodes(tenants: Sequence[SizedServer], pods: Counter[Capacity], room: Capacity, most: int) -> int | None:
    """Nodes for the pods: the largest first, or where that takes too many, in the order in which they were given."""
    nodes = nodes_for(pods, room)
    if nodes is None or nodes <= most:
        return nodes
    packing, least = Packing(room), reduce(smaller, pods)
    for server in sorted(tenants, key=_order):
        packing.add(_need(server), server.settings.most_pods, least)
    return min(nodes, packing.nodes)


def _machines(pool: NodePoolSettings, catalog: Catalog) -> list[str]:
    """Machine types that the pool may have, cheapest first."""
    return (
        [pool.machine_type] if pool.machine_type else candidates(pool.accelerator.type, pool.accelerator.count, catalog)
    )


def _node_room(pool: NodePoolSettings, machine: str, catalog: Catalog, *, any_disk: bool = False) -> Capacity:
    """What one node of the pool has for our pods; a shared GPU counts once for each pod that may share it."""
    room = room_for_pods(catalog.machine_types[machine], catalog)
    clients = pool.sharing.max_clients if pool.sharing else 1
    return replace(
        room,
        gpus=pool.accelerator.count * clients,
        disk_gib=math.inf if any_disk else ephemeral_room_gib(pool, catalog),
    )


def _need(server: SizedServer) -> Capacity:
    """What one of the server's pods requests."""
    return pod_request(server.resources, server.settings.accelerator.count)


def _pods(tenants: Iterable[SizedServer]) -> Counter[Capacity]:
    pods: Counter[Capacity] = Counter()
    for server in tenants:
        pods[_need(server)] += server.settings.most_pods
    return pods


def _disk_problem(key: str, pool: NodePoolSettings, tenants: Sequence[SizedServer], catalog: Catalog) -> Finding | None:
    """The problem of disks that cannot hold the ephemeral storage of the pods that a node's GPUs invite."""
    if not tenants:
        return None
    clients = pool.sharing.max_clients if pool.sharing else 1

    def need_of(server: SizedServer) -> int:
        slots = pool.accelerator.count * clients // server.settings.accelerator.count
        return server.resources.ephemeral_storage_gib * max(1, min(slots, server.settings.most_pods))

    need = max(need_of(server) for server in tenants)
    room = ephemeral_room_gib(pool, catalog)
    if need <= room:
        return None
    if pool.local_ssds:
        return Finding(
            path=f"nodePools.{key}.localSsds",
            what=f"{pool.local_ssds} local SSDs do not hold the {need} GiB of ephemeral storage of its pods",
            why=f"about {room:.0f} GiB of them are left to pods, and the boot disk is not used beside them",
            fix="use more, or remove localSsds",
        )
    return Finding(
        path=f"nodePools.{key}.diskSizeGb",
        what=f"a disk of {pool.disk_size_gb} GB does not hold the {need} GiB of ephemeral storage of its pods",
        why=f"GKE leaves {room:.0f} GiB of it to pods",
        fix=f"use {boot_disk_for_gib(need, catalog)} or more",
    )


def _no_pool(server: SizedServer) -> Finding:
    accelerator = server.settings.accelerator
    return Finding(
        path=f"{server.path}.accelerator",
        what=f"no node pool has {accelerator.count} × {accelerator.type}",
        why="the pod would stay pending forever",
        fix=f"add to nodePools: {{{accelerator.type.removeprefix('nvidia-')}: "
        f"{{accelerator: {{type: {accelerator.type}, count: {accelerator.count}}}}}}}",
    )


def _too_big(server: SizedServer, machines: Sequence[str], subject: str, catalog: Catalog) -> Finding:
    fix = "request less, or use a larger machine type or more GPUs"
    return too_big(f"{server.path}.resources", server.resources, subject, machines[-1], fix, catalog)


def too_big(path: str, resources: PodResources, subject: str, largest: str, fix: str, catalog: Catalog) -> Finding:
    """The problem of a pod that requests more than any machine has.

    Args:
        path: where it stands in the configuration.
        resources: what the pod requests.
        subject: the machines in words.
        largest: the largest of them.
        fix: what helps.
        catalog: the facts to decide by.

    """
    room = room_for_pods(catalog.machine_types[largest], catalog)
    asked = f"{resources.pod_cpu_millicores / 1000:g} vCPU and {resources.pod_memory_gib} GiB"
    return Finding(
        path=path,
        what=f"{asked} are more than {subject} has",
        why=f"{largest} has {room.cpu_millicores / 1000:.1f} vCPU and {room.memory_mib / 1024:.1f} GiB left after "
        "GKE's own reservations and system pods",
        fix=fix,
    )
