"""Decides on a whole stack, or refuses it with every reason at once."""

import math
from dataclasses import dataclass, replace

from catalog import Catalog, load_catalog
from planning.cluster import plan_cluster
from planning.machines import (
    Allocatable,
    boot_disk_for_gib,
    boot_disk_room_gib,
    candidates,
    cheapest_machine,
)
from planning.names import clashes
from planning.node_pools import describe_room, plan_pool, pool_problems, pools_allowed
from planning.plan import ClusterPlan, NodePoolPlan, StackPlan, TokenPlan
from planning.servers import SizedServer, newest_cuda, node_need, plan_server, pods_per_node, size_server
from settings import ExistingCluster, Finding, NodePoolSettings, Refusal, StackSettings, suggestion

# The servers keep to the baseline Pod Security Standard; those that run as root do not keep to the restricted one.
_NAMESPACE_LABELS = {
    "app.kubernetes.io/managed-by": "pulumi",
    "app.kubernetes.io/part-of": "gke-llm-inference",
    "pod-security.kubernetes.io/enforce": "baseline",
    "pod-security.kubernetes.io/warn": "restricted",
}


@dataclass(frozen=True)
class StackIdentity:
    """Which stack is planned: Pulumi's names for it, and the Google Cloud project it goes to."""

    project: str
    stack: str
    gcp_project: str | None = None


def plan_stack(settings: StackSettings, identity: StackIdentity, catalog: Catalog | None = None) -> StackPlan:
    """The plan of a stack. Pure: the same input gives the same plan.

    Raises:
        Refusal: with every problem of the settings.

    """
    facts = catalog or load_catalog()
    cluster, problems = plan_cluster(
        settings.cluster,
        default_name=f"{identity.project}-{identity.stack}",
        project=identity.gcp_project,
        catalog=facts,
    )
    warnings: list[Finding] = []
    problems += clashes("servers", settings.servers)
    misplaced = pools_allowed(cluster, settings.node_pools)
    problems += misplaced
    if not misplaced:
        found, warned = pool_problems(settings.node_pools, cluster, facts)
        problems += found
        warnings += warned
    sized: list[SizedServer] = []
    for key, server in sorted(settings.servers.items()):
        one, found, warned = size_server(key, server, cluster=cluster, token=settings.hugging_face, catalog=facts)
        problems += found
        warnings += warned
        if one is not None:
            sized.append(one)
    if problems:
        raise Refusal(problems)

    placed, pools, placement_problems = _place(sized, settings, cluster, facts)
    if placement_problems:
        raise Refusal(placement_problems)
    by_key = {pool.key: pool for pool in pools}
    return StackPlan(
        cluster=cluster,
        node_pools=pools,
        token=TokenPlan(settings=settings.hugging_face, project=identity.gcp_project, namespace=settings.namespace),
        servers=tuple(
            plan_server(
                server,
                pool=by_key.get(server.node_pool or ""),
                spare_gpus=_spare_gpus(by_key.get(server.node_pool or ""), placed),
                cluster=cluster,
                token=settings.hugging_face,
                namespace=settings.namespace,
                catalog=facts,
            )
            for server in placed
        ),
        namespace=settings.namespace,
        create_namespace=settings.create_namespace,
        namespace_labels=_NAMESPACE_LABELS,
        warnings=tuple(sorted(warnings)),
    )


def _place(
    servers: list[SizedServer], settings: StackSettings, cluster: ClusterPlan, catalog: Catalog
) -> tuple[list[SizedServer], tuple[NodePoolPlan, ...], list[Finding]]:
    """Gives every server a node pool, where the stack has pools, and every pool a machine."""
    pools = settings.node_pools
    problems: list[Finding] = []
    if not pools:
        if cluster.profile == "standard" and not isinstance(cluster.settings, ExistingCluster):
            problems += [_no_pool(server) for server in servers]
        problems += [
            problem for server in servers if (problem := _too_big_for_any_machine(server, catalog)) is not None
        ]
        return servers, (), problems
    placed = []
    for server in servers:
        key, found = _choose_pool(server, pools, catalog)
        problems += found
        if key is not None:
            placed.append(replace(server, node_pool=key))
    if problems:
        return placed, (), problems
    plans = []
    for key, pool in sorted(pools.items()):
        tenants = [server for server in placed if server.node_pool == key]
        plan = plan_pool(
            key,
            pool,
            [node_need(server, pool) for server in tenants],
            newest_cuda=newest_cuda(tenants),
            cluster=cluster,
            catalog=catalog,
        )
        if plan is None:
            problems += [_machine_too_small(server, key, pool, catalog) for server in tenants]
            continue
        plans.append(plan)
        problems += _capacity_problems(key, pool, tenants, catalog)
    return placed, tuple(plans), problems


def _choose_pool(
    server: SizedServer, pools: dict[str, NodePoolSettings], catalog: Catalog
) -> tuple[str | None, list[Finding]]:
    accelerator = server.settings.accelerator
    asked = server.settings.node_pool
    if asked is not None and asked not in pools:
        return None, [
            Finding(
                f"{server.path}.nodePool",
                f"{asked} is not one of nodePools",
                "the pod would find no node",
                suggestion(asked, pools),
            )
        ]
    matching = {
        key: pool
        for key, pool in pools.items()
        if pool.accelerator.type == accelerator.type and pool.accelerator.count >= accelerator.count
    }
    if asked is not None:
        if asked in matching:
            return asked, []
        pool = pools[asked].accelerator
        return None, [
            Finding(
                f"{server.path}.nodePool",
                f"nodes of {asked} have {pool.count} × {pool.type}",
                f"a pod of this server needs {accelerator.count} × {accelerator.type} on one node",
                "choose another pool, or change the GPUs of one of them",
            )
        ]
    if not matching:
        return None, [_no_pool(server)]

    def preference(key: str) -> tuple[int, float, str]:
        # Fewest GPUs to spare on a node first, then the cheapest node.
        pool = matching[key]
        names = candidates(pool.accelerator.type, pool.accelerator.count, catalog)
        machine = catalog.machine_types[pool.machine_type or names[0]]
        prices = machine.usd_per_hour
        price = math.inf if prices is None else prices.spot if pool.provisioning.model == "spot" else prices.on_demand
        return (pool.accelerator.count, price, key)

    return min(matching, key=preference), []


def _no_pool(server: SizedServer) -> Finding:
    accelerator = server.settings.accelerator
    return Finding(
        f"{server.path}.accelerator",
        f"no node pool has {accelerator.count} × {accelerator.type}",
        "the pod would stay pending forever",
        f"add to nodePools: {{{accelerator.type.removeprefix('nvidia-')}: "
        f"{{accelerator: {{type: {accelerator.type}, count: {accelerator.count}}}}}}}",
    )


def _too_big_for_any_machine(server: SizedServer, catalog: Catalog) -> Finding | None:
    accelerator = server.settings.accelerator
    need = Allocatable(server.resources.cpu_millicores, server.resources.memory_gib * 1024)
    if cheapest_machine(accelerator.type, accelerator.count, need, catalog) is not None:
        return None
    largest = candidates(accelerator.type, accelerator.count, catalog)[-1]
    return _does_not_hold(server, largest, f"no machine with {accelerator.count} × {accelerator.type}", catalog)


def _machine_too_small(server: SizedServer, key: str, pool: NodePoolSettings, catalog: Catalog) -> Finding:
    accelerator = pool.accelerator
    if pool.machine_type is not None:
        return _does_not_hold(server, pool.machine_type, f"the machine of nodePools.{key}", catalog)
    largest = candidates(accelerator.type, accelerator.count, catalog)[-1]
    return _does_not_hold(server, largest, f"no machine with {accelerator.count} × {accelerator.type}", catalog)


def _does_not_hold(server: SizedServer, machine: str, subject: str, catalog: Catalog) -> Finding:
    resources = server.resources
    need = f"{resources.cpu_millicores / 1000:g} vCPU and {resources.memory_gib} GiB"
    holds = "holds" if subject.startswith("no ") else "does not hold"
    return Finding(
        f"{server.path}.resources",
        f"{subject} {holds} {need}",
        f"{machine} has {describe_room(machine, catalog)} left after GKE's own reservations and system pods",
        "request less, or use a larger machine type or more GPUs",
    )


def _disk_problems(key: str, pool: NodePoolSettings, tenants: list[SizedServer], catalog: Catalog) -> list[Finding]:
    if pool.local_ssds or not tenants:
        return []
    need = max(server.resources.ephemeral_storage_gib * pods_per_node(server, pool) for server in tenants)
    room = boot_disk_room_gib(pool.disk_size_gb, catalog)
    if need <= room:
        return []
    return [
        Finding(
            f"nodePools.{key}.diskSizeGb",
            f"a disk of {pool.disk_size_gb} GB does not hold the {need} GiB of ephemeral storage of its pods",
            f"GKE leaves {room:.0f} GiB of it to pods",
            f"use {boot_disk_for_gib(need, catalog)} or more",
        )
    ]


def _capacity_problems(key: str, pool: NodePoolSettings, tenants: list[SizedServer], catalog: Catalog) -> list[Finding]:
    clients = pool.sharing.max_clients if pool.sharing else 1
    shared = [server for server in tenants if pool.sharing and server.settings.accelerator.count > 1]
    problems = [
        Finding(
            f"{server.path}.accelerator.count",
            f"{server.settings.accelerator.count} GPUs are more than a pod may have where GPUs are shared",
            "GKE rejects a request for more than one shared GPU",
            f"use one GPU, or remove nodePools.{key}.sharing",
        )
        for server in shared
    ]
    problems += _disk_problems(key, pool, tenants, catalog)
    # Each node takes whole pods: the count is exact for one kind of pod and a lower bound for a mixture.
    per_node = pool.accelerator.count * clients
    nodes = math.ceil(sum(server.gpus for server in tenants) / per_node)
    if nodes > pool.max_nodes:
        problems.append(
            Finding(
                f"nodePools.{key}.maxNodes",
                f"{pool.max_nodes} is less than the {nodes} nodes that its servers need",
                f"{sum(server.gpus for server in tenants)} GPUs are asked for, a node has {pool.accelerator.count}; "
                "the rest of the pods would stay pending",
                f"use {nodes} or more",
            )
        )
    return problems


def _spare_gpus(pool: NodePoolPlan | None, servers: list[SizedServer]) -> int | None:
    if pool is None:
        return None
    used = sum(server.gpus for server in servers if server.node_pool == pool.key)
    clients = pool.settings.sharing.max_clients if pool.settings.sharing else 1
    return pool.settings.max_nodes * pool.settings.accelerator.count * clients - used
