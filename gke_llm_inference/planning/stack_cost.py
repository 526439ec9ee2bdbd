"""What a whole stack costs at list price: its GPUs, and what runs beside them. Parts without a price are named."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from gke_llm_inference.catalog import GIB, Catalog
from gke_llm_inference.catalog.cost_facts import CostFacts, read_cost_facts
from gke_llm_inference.catalog.facts import machine_family
from gke_llm_inference.planning.capacity_tiers.plan import CapacityPlan
from gke_llm_inference.planning.compile_cache.plan import CompileCachePlan
from gke_llm_inference.planning.cost import HOURS_PER_MONTH, Cost, pool_cost, tiers_cost
from gke_llm_inference.planning.machines import candidates, holds
from gke_llm_inference.planning.node_pools import least_running_nodes, running_nodes
from gke_llm_inference.planning.plan import NodePoolPlan, ServerPlan, StackPlan
from gke_llm_inference.planning.pods import pod_request
from gke_llm_inference.settings import AutopilotCluster, ExistingCluster, StandardCluster

NOT_COUNTED = (
    "traffic to the internet, between zones and through load balancers",
    "Cloud NAT",
    "logs and metrics",
    "buckets, volumes and nodes that the stack uses and does not make",
)
"""What a stack may cost besides, by traffic or by what others made."""

_PREMIUM = "at least: Compute Engine's price of the cheapest machine that holds the pod; Autopilot adds a premium"


@dataclass(frozen=True, kw_only=True)
class CostPart:
    """One part of what a stack costs.

    Attributes:
        title: what costs.
        cost: what it costs; its hourly price is None where no price is known.
        is_least: whether it may cost more than that.

    """

    title: str
    cost: Cost
    is_least: bool = False


@dataclass(frozen=True, kw_only=True)
class StackCost:
    """What a stack costs.

    Attributes:
        parts: what it consists of.
        one_year_usd: USD per hour of the GPU machines of on-demand pools with a commitment of one year; None where
            there are none, or no such price of one of them is known.
        three_years_usd: the same of three years.

    """

    parts: tuple[CostPart, ...]
    one_year_usd: float | None
    three_years_usd: float | None

    @property
    def is_least(self) -> bool:
        """Whether a part has no price, or may cost more than its price."""
        return any(part.is_least or part.cost.hourly_usd is None for part in self.parts)

    @property
    def total(self) -> Cost:
        """The sum of all parts whose price is known."""
        costs = [part.cost for part in self.parts]
        scales = any(cost.least_hourly_usd is not None for cost in costs)
        least = [cost.hourly_usd if cost.least_hourly_usd is None else cost.least_hourly_usd for cost in costs]
        return Cost(
            hourly_usd=sum(cost.hourly_usd or 0.0 for cost in costs),
            idle_hourly_usd=sum(cost.idle_hourly_usd or 0.0 for cost in costs),
            least_hourly_usd=sum(value or 0.0 for value in least) if scales else None,
        )


def stack_cost(plan: StackPlan, catalog: Catalog, facts: CostFacts | None = None) -> StackCost:
    """The cost of a stack.

    Args:
        plan: the plan.
        catalog: the facts that it was made with.
        facts: what things cost beside the machines of GPUs; those that ship with the package if None.

    """
    known = facts or read_cost_facts()
    one_year, three_years = _committed(plan, catalog, known)
    return StackCost(
        parts=(
            *_gpus(plan, catalog),
            *_cluster(plan, known),
            *_disks(plan, catalog, known),
            *_load_balancers(plan, known),
            *_pickers(plan),
            *_repositories(plan),
            *_model_store(plan, known),
            *_model_sources(plan, known),
        ),
        one_year_usd=one_year,
        three_years_usd=three_years,
    )


def _gpus(plan: StackPlan, catalog: Catalog) -> Iterator[CostPart]:
    for pool in plan.node_pools:
        nodes, least = _nodes(pool, plan)
        cost = pool_cost(pool, nodes, plan.cluster, catalog, least_nodes=least)
        yield CostPart(title=f"node pool {pool.key}: {nodes} × {pool.machine_type}", cost=cost)
    for server in plan.servers:
        if plan.cluster.profile == "autopilot":
            yield _on_autopilot(server, plan, catalog)
        elif server.node_pool is None and server.capacity is not None:
            yield _of_tiers(server, server.capacity, plan)
        elif not server.node_pool:
            yield _on_other_nodes(server)


def _nodes(pool: NodePoolPlan, plan: StackPlan) -> tuple[int, int | None]:
    """Nodes of a pool with the most and with the fewest replicas."""
    return running_nodes(pool, plan.servers), least_running_nodes(pool, plan.servers)


def _of_tiers(server: ServerPlan, capacity: CapacityPlan, plan: StackPlan) -> CostPart:
    """Machines of a server that come from one of its tiers."""
    cheapest = (*capacity.priced, *capacity.tiers)[0]
    cost = tiers_cost(server, capacity, plan.cluster)
    title = f"pods of {server.key}: {server.pods} × {cheapest.machine_type}"
    return CostPart(title=title, cost=cost, is_least=bool(cost.note))


def _on_autopilot(server: ServerPlan, plan: StackPlan, catalog: Catalog) -> CostPart:
    if server.capacity is not None:
        part = _of_tiers(server, server.capacity, plan)
        note = "; ".join(filter(None, (part.cost.note, _PREMIUM if part.cost.hourly_usd is not None else "")))
        return replace(part, cost=replace(part.cost, note=note), is_least=True)
    need = pod_request(server.resources, server.gpu_count)
    names = candidates(server.gpu_type, server.gpu_count, catalog)
    machine = next((name for name in names if holds(catalog.machine_types[name], need, catalog)), None)
    prices = catalog.price(machine, plan.cluster.region)[0] if machine else None
    title = f"pods of {server.key}: {server.pods} × {machine or server.gpu_type}"
    if prices is None:
        note = f"no price known of {machine or server.gpu_type} in {plan.cluster.region}"
        return CostPart(title=title, cost=Cost(hourly_usd=None, idle_hourly_usd=0.0, note=note), is_least=True)
    price = prices.on_demand
    least = None if server.autoscaling is None else server.least_pods * price
    cost = Cost(
        hourly_usd=server.pods * price,
        idle_hourly_usd=0.0,
        least_hourly_usd=least,
        region=plan.cluster.region,
        note=_PREMIUM,
    )
    return CostPart(title=title, cost=cost, is_least=True)


def _on_other_nodes(server: ServerPlan) -> CostPart:
    gpus = server.gpu_type if server.gpu_count == 1 else f"{server.gpu_count} {server.gpu_type}"
    cost = Cost(hourly_usd=None, idle_hourly_usd=0.0, note="no price known of nodes that the stack does not make")
    return CostPart(title=f"pods of {server.key}: {server.pods} × {gpus}", cost=cost, is_least=True)


def _cluster(plan: StackPlan, facts: CostFacts) -> Iterator[CostPart]:
    cluster, settings = plan.cluster, plan.cluster.settings
    if isinstance(settings, ExistingCluster):
        return
    fee = facts.cluster_fee
    free = isinstance(settings, AutopilotCluster) or cluster.location != cluster.region
    note = f"a billing account gets {fee.free_usd_per_month:g} USD a month back for one cluster" if free else ""
    yield _steady("cluster fee", fee.usd_per_hour, note)
    if isinstance(settings, StandardCluster):
        pool, region = settings.system_pool, cluster.region or ""
        price = facts.system_machine(pool.machine_type, region)
        title = f"CPU pool: {pool.min_nodes} × {pool.machine_type}"
        up_to = f"up to {pool.max_nodes} nodes" if pool.max_nodes > pool.min_nodes else ""
        yield _steady(title, _times(pool.min_nodes, price), up_to, missing=f"{pool.machine_type} in {region}")
        disk = facts.disk(cluster.system_disk_type or "", region)
        size = pool.min_nodes * pool.disk_size_gb
        title = f"boot disks of the CPU pool: {size} GB of {cluster.system_disk_type}"
        missing = f"{cluster.system_disk_type} in {region}"
        yield _steady(title, _times(size / HOURS_PER_MONTH, disk), missing=missing)


def _disks(plan: StackPlan, catalog: Catalog, facts: CostFacts) -> Iterator[CostPart]:
    region = plan.cluster.region or ""
    for pool in plan.node_pools:
        kind, gb = pool.settings.disk_type, pool.settings.disk_size_gb
        yield _per_node(f"boot disks of {pool.key}: {gb} GB of {kind} a node", gb, facts.disk(kind, region), pool, plan)
        if pool.settings.local_ssds and machine_family(pool.machine_type) not in facts.included_local_ssds:
            gb = pool.settings.local_ssds * catalog.disks.local_ssd.gib
            known = facts.local_ssds.get(region)
            spot = pool.settings.provisioning.model == "spot"
            price = None if known is None else known.spot if spot else known.on_demand
            yield _per_node(f"local SSDs of {pool.key}: {gb} GB a node", gb, price, pool, plan)
    for server in plan.servers:
        yield from _boot_disks(server, region, facts)
        yield from _local_ssds(server, catalog, region, facts)
    types = {name: kind for kind, name in catalog.disks.storage_classes.items()}
    for server in plan.servers:
        if server.compile_cache:
            yield _compile_cache(server, server.compile_cache, types, region, facts)
        if server.resources.cache_on_disk:
            yield _cache_disks(server, types.get(server.resources.cache_storage_class or "", ""), region, facts)


def _boot_disks(server: ServerPlan, region: str, facts: CostFacts) -> Iterator[CostPart]:
    """Boot disks of nodes that a compute class makes; on Autopilot they belong to the machine."""
    made = server.capacity.compute_class if server.capacity else None
    if made is None or not made.creates_pools:
        return
    disks = {(rule.boot_disk_gb or 0, rule.boot_disk_type or "") for rule in made.rules}
    prices = [None if (usd := facts.disk(kind, region)) is None else gb * usd for gb, kind in disks]
    yield _on_class_nodes(f"boot disks of {server.key}: {server.pods} × {min(disks)[0]} GB", prices, server, region)


def _local_ssds(server: ServerPlan, catalog: Catalog, region: str, facts: CostFacts) -> Iterator[CostPart]:
    """Local SSDs of nodes that a compute class makes, beside those whose price is in that of the machine."""
    made = server.capacity.compute_class if server.capacity else None
    rules = [rule for rule in made.rules if rule.local_ssds] if made else []
    if made is None or not rules:
        return
    known, gb = facts.local_ssds.get(region), catalog.disks.local_ssd.gib
    prices: list[float | None] = [
        None if known is None else (known.spot if rule.spot else known.on_demand) * rule.local_ssds * gb
        for rule in rules
    ]
    if len(rules) < len(made.rules):
        prices.append(0.0)
    fewest = min(rule.local_ssds for rule in rules) * gb
    yield _on_class_nodes(f"local SSDs of {server.key}: {server.pods} × {fewest} GB", prices, server, region)


def _on_class_nodes(title: str, monthly: Sequence[float | None], server: ServerPlan, region: str) -> CostPart:
    """What each node of a server has beside its machine, on the cheapest tier; USD a month for each tier's."""
    known = [price / HOURS_PER_MONTH for price in monthly if price is not None]
    if not known:
        note = f"no price known in {region}"
        return CostPart(title=title, cost=Cost(hourly_usd=None, idle_hourly_usd=0.0, note=note))
    hourly = min(known)
    least = None if server.autoscaling is None else server.least_pods * hourly
    cost = Cost(hourly_usd=server.pods * hourly, idle_hourly_usd=0.0, least_hourly_usd=least)
    return CostPart(title=title, cost=cost, is_least=len(monthly) > 1)


def _per_node(title: str, gb: int, price: float | None, pool: NodePoolPlan, plan: StackPlan) -> CostPart:
    """The cost of so many GB on each node of a pool, while the node is there."""
    if price is None:
        note = f"no price known in {plan.cluster.region}"
        return CostPart(title=title, cost=Cost(hourly_usd=None, idle_hourly_usd=None, note=note))
    hourly = gb * price / HOURS_PER_MONTH
    nodes, least = _nodes(pool, plan)
    idle = pool.settings.min_nodes
    cost = Cost(
        hourly_usd=max(nodes, idle) * hourly,
        idle_hourly_usd=idle * hourly,
        least_hourly_usd=None if least is None else max(least, idle) * hourly,
    )
    return CostPart(title=title, cost=cost)


def _cache_disks(server: ServerPlan, kind: str, region: str, facts: CostFacts) -> CostPart:
    gb = server.resources.cache_gib
    title = f"cache disks of {server.key}: {server.pods} × {gb} GB of {kind or 'an unknown type'}"
    price = facts.disk(kind, region)
    if price is None:
        return CostPart(title=title, cost=Cost(hourly_usd=None, idle_hourly_usd=0.0, note="no price known"))
    hourly = gb * price / HOURS_PER_MONTH
    least = None if server.autoscaling is None else server.least_pods * hourly
    cost = Cost(hourly_usd=server.pods * hourly, idle_hourly_usd=0.0, least_hourly_usd=least)
    return CostPart(title=title, cost=cost)


def _compile_cache(
    server: ServerPlan, kept: CompileCachePlan, types: Mapping[str, str], region: str, facts: CostFacts
) -> CostPart:
    disk = kept.disk
    if disk is None:
        return _steady(f"bucket of {server.key}'s compile cache", None, missing="what is not written yet")
    kind = types.get(disk.storage_class, "")
    title = f"disk of {server.key}'s compile cache: {disk.size_gib} GB of {kind or 'an unknown type'}"
    price = _times(disk.size_gib / HOURS_PER_MONTH, facts.disk(kind, region))
    return _steady(title, price, missing=f"{kind} in {region}")


def _load_balancers(plan: StackPlan, facts: CostFacts) -> Iterator[CostPart]:
    rules = len(plan.access.gateways)
    if rules:
        note = "of a project that has no other rules, and without addresses and Cloud Armor"
        yield _steady(f"load balancers: {rules} of them", facts.load_balancer.of(rules), note)


def _pickers(plan: StackPlan) -> Iterator[CostPart]:
    """Endpoint pickers, where nodes are not paid for already: on Standard they run on the CPU pool."""
    if plan.cluster.profile != "autopilot":
        return
    for server in plan.access.servers:
        if server.picker:
            cpu, memory = server.picker.cpu_millicores / 1000, server.picker.memory_mib / 1024
            title = f"endpoint picker of {server.server}: {cpu:g} vCPU, {memory:g} GiB"
            yield _steady(title, None, missing="Autopilot's pods without a GPU")


def _repositories(plan: StackPlan) -> Iterator[CostPart]:
    if plan.image_registry and plan.image_registry.creates:
        for one in plan.image_registry.repositories:
            yield _steady(f"repository for images of {one.upstream}", None, missing="what Artifact Registry stores")


def _model_store(plan: StackPlan, facts: CostFacts) -> Iterator[CostPart]:
    """A bucket that the stack makes, and the traffic out of one in another region."""
    store = plan.model_store
    if store is None:
        return
    bucket = store.bucket
    sizes = [one.gib for one in store.models]
    known = sum(size or 0.0 for size in sizes)
    if bucket.creates:
        gb = known * GIB / 1e9
        price = facts.buckets.get(bucket.location)
        some = "" if None not in sizes else "; at least, as the size of a model is not known"
        hourly = None if price is None or not known else gb * price / HOURS_PER_MONTH
        title = f"bucket {bucket.name}: {gb:.1f} GB of models in {bucket.location}{some}"
        part = _steady(title, hourly, missing=f"buckets in {bucket.location}" if price is None else "its models' sizes")
        yield replace(part, is_least=bool(some))
    if bucket.crosses_to:
        title = f"traffic from {bucket.name} in {bucket.location} to {bucket.crosses_to} at each start of a pod"
        yield _steady(title, None, missing=f"traffic between {bucket.location} and {bucket.crosses_to}")


def _model_sources(plan: StackPlan, facts: CostFacts) -> Iterator[CostPart]:
    """Volumes that GKE fills from the bucket, and caches of it."""
    region = plan.cluster.region or ""
    for server in plan.servers:
        disk = server.model_source.disk if server.model_source else None
        if disk is not None:
            title = f"volume of {server.key}: {disk.size_gib} GB of {disk.disk_type}, {disk.throughput_mib} MiB/s"
            price = facts.disk(disk.disk_type, region)
            yield _steady(
                title, _times(disk.size_gib / HOURS_PER_MONTH, price), missing=f"{disk.disk_type} in {region}"
            )
    if plan.bucket_caches:
        yield _steady(f"Anywhere Cache in {', '.join(plan.bucket_caches.zones)}", None, missing="Anywhere Cache")


def _steady(title: str, hourly: float | None, note: str = "", *, missing: str = "") -> CostPart:
    """A part that costs the same, whether a pod runs or none."""
    if hourly is None:
        note = f"no price known of {missing}"
    return CostPart(title=title, cost=Cost(hourly_usd=hourly, idle_hourly_usd=hourly, note=note))


def _times(factor: float, price: float | None) -> float | None:
    return None if price is None else factor * price


def _committed(plan: StackPlan, catalog: Catalog, facts: CostFacts) -> tuple[float | None, float | None]:
    one_year, three_years = 0.0, 0.0
    pools = [pool for pool in plan.node_pools if pool.settings.provisioning.model == "onDemand"]
    for pool in pools:
        machine, region = catalog.machine_types[pool.machine_type], plan.cluster.region or ""
        found = facts.committed(pool.machine_type, machine, region)
        if found is None:
            return None, None
        nodes = max(_nodes(pool, plan)[0], pool.settings.min_nodes)
        one_year += nodes * found[0]
        three_years += nodes * found[1]
    return (one_year, three_years) if pools else (None, None)
