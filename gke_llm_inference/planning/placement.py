"""Gives every server a node pool and every pool a machine, so that all pods find room on the nodes it may have."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.planning.bin_packing import nodes_for
from gke_llm_inference.planning.capacity import Capacity
from gke_llm_inference.planning.machines import (
    boot_disk_for_gib,
    boot_disk_room_gib,
    candidates,
    holds,
    room_for_pods,
)
from gke_llm_inference.planning.node_pools import plan_pool
from gke_llm_inference.planning.plan import NodePoolPlan
from gke_llm_inference.planning.pods import pod_request
from gke_llm_inference.planning.sharing import has_memory_for_one_more, sharing_findings
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
    for key, pool in sorted(stack.pools.items()):
        tenants = [server for server in servers if chosen.get(server.key) == key]
        machine, found = _choose_machine(key, pool, tenants, catalog)
        findings += [*found, *sharing_findings(key, pool, tenants)]
        if machine is None:
            continue
        cuda = newest_cuda(server.cuda for server in tenants)
        plans[key] = plan_pool(key, pool, machine, newest_cuda=cuda, cluster=stack.cluster, catalog=catalog)
        room = _node_room(pool, machine, catalog)
        for server in tenants:
            finds_a_node = (nodes_for([*_pods(tenants), _need(server)], room) or math.inf) <= pool.max_nodes
            if finds_a_node and has_memory_for_one_more(pool, server, tenants):
                may_surge.add(server.key)
    return plans, may_surge, findings


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
    taken: dict[str, list[Capacity]] = {key: [] for key in pools}
    # Servers that name their pool take their room first, then the largest.
    order = sorted(
        servers,
        key=lambda server: (server.settings.node_pool is None, -server.settings.accelerator.count, server.key),
    )
    for server in order:
        key, problem = _choose_pool(server, pools, taken, catalog)
        if problem is not None:
            problems.append(problem)
        if key is not None:
            chosen[server.key] = key
            taken[key] += [_need(server)] * server.settings.replicas
    return chosen, problems


def _choose_pool(
    server: SizedServer,
    pools: Mapping[str, NodePoolSettings],
    taken: Mapping[str, list[Capacity]],
    catalog: Catalog,
) -> tuple[str | None, Finding | None]:
    accelerator, asked = server.settings.accelerator, server.settings.node_pool
    matching = [
        key
        for key, pool in pools.items()
        if pool.accelerator.type == accelerator.type and pool.accelerator.count >= accelerator.count
    ]
    if asked is not None and asked not in pools:
        return None, Finding(
            path=f"{server.path}.nodePool",
            what=f"{asked} is not one of nodePools",
            why="the pod would find no node",
            fix=suggestion(asked, pools),
        )
    if asked is not None and asked not in matching:
        nodes = pools[asked].accelerator
        return None, Finding(
            path=f"{server.path}.nodePool",
            what=f"nodes of {asked} have {nodes.count} × {nodes.type}",
            why=f"a pod of this server needs {accelerator.count} × {accelerator.type} on one node",
            fix="choose another pool, or change the GPUs of one of them",
        )
    if asked is not None:
        return asked, None
    if not matching:
        return None, _no_pool(server)
    ranked = sorted(matching, key=lambda key: _preference(key, pools[key], catalog))
    for key in ranked:
        pool = pools[key]
        roomiest = _machines(pool, catalog)[-1]
        pods = [*taken[key], *[_need(server)] * server.settings.replicas]
        if (nodes_for(pods, _node_room(pool, roomiest, catalog)) or 0) <= pool.max_nodes and _fits_some_node(
            server, pool, catalog
        ):
            return key, None
    # None has room: the first choice says what is missing.
    return ranked[0], None


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
        nodes = nodes_for(pods, rooms[machine])
        # A server that is scaled to nothing for now must find the machine when it is scaled up.
        all_fit = all(_need(server).fits(rooms[machine]) for server in tenants)
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
                fix=f"use {min(counts)} or more",
            )
        )
    return None, problems


def _machines(pool: NodePoolSettings, catalog: Catalog) -> list[str]:
    """Machine types that the pool may have, cheapest first."""
    return (
        [pool.machine_type] if pool.machine_type else candidates(pool.accelerator.type, pool.accelerator.count, catalog)
    )


def _node_room(pool: NodePoolSettings, machine: str, catalog: Catalog, *, any_disk: bool = False) -> Capacity:
    """What one node of the pool has for our pods; a shared GPU counts once for each pod that may share it."""
    room = room_for_pods(catalog.machine_types[machine], catalog)
    clients = pool.sharing.max_clients if pool.sharing else 1
    unbounded = any_disk or pool.local_ssds > 0
    return replace(
        room,
        gpus=pool.accelerator.count * clients,
        disk_gib=math.inf if unbounded else boot_disk_room_gib(pool.disk_size_gb, catalog),
    )


def _need(server: SizedServer) -> Capacity:
    """What one of the server's pods requests."""
    return pod_request(server.resources, server.settings.accelerator.count)


def _pods(tenants: Iterable[SizedServer]) -> list[Capacity]:
    return [need for server in tenants for need in [_need(server)] * server.settings.replicas]


def _fits_some_node(server: SizedServer, pool: NodePoolSettings, catalog: Catalog) -> bool:
    need = _need(server)
    return any(need.fits(_node_room(pool, machine, catalog)) for machine in _machines(pool, catalog))


def _disk_problem(key: str, pool: NodePoolSettings, tenants: Sequence[SizedServer], catalog: Catalog) -> Finding | None:
    """The problem of a boot disk that cannot hold the ephemeral storage of the pods that its GPUs invite."""
    if pool.local_ssds or not tenants:
        return None
    clients = pool.sharing.max_clients if pool.sharing else 1

    def need_of(server: SizedServer) -> int:
        slots = pool.accelerator.count * clients // server.settings.accelerator.count
        return server.resources.ephemeral_storage_gib * max(1, min(slots, server.settings.replicas))

    need = max(need_of(server) for server in tenants)
    room = boot_disk_room_gib(pool.disk_size_gb, catalog)
    if need <= room:
        return None
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
    resources = server.resources
    largest = machines[-1]
    room = room_for_pods(catalog.machine_types[largest], catalog)
    return Finding(
        path=f"{server.path}.resources",
        what=f"{resources.cpu_millicores / 1000:g} vCPU and {resources.memory_gib} GiB are more than {subject} has",
        why=f"{largest} has {room.cpu_millicores / 1000:.1f} vCPU and {room.memory_mib / 1024:.1f} GiB left after "
        "GKE's own reservations and system pods",
        fix="request less, or use a larger machine type or more GPUs",
    )
