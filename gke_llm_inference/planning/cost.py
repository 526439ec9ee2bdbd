"""What a stack costs at list price: per server, per node pool and in all. Plain multiplication, dated prices."""

from dataclasses import dataclass, replace

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.facts import machine_family
from gke_llm_inference.planning.capacity_tiers.plan import CapacityPlan
from gke_llm_inference.planning.plan import ClusterPlan, NodePoolPlan, ServerPlan

HOURS_PER_MONTH = 730
"""Hours of an average month, as Google's own calculator counts."""

_RESERVED = "reservation"
_AUTOPILOT_NOTE = (
    "Autopilot bills the machine that it picks at Compute Engine's price and a premium on its vCPU, memory and GPUs; "
    "the catalog does not have the premium"
)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What something costs at list price.

    Attributes:
        hourly_usd: USD per hour while everything runs, with the most replicas; None where the catalog has no price.
        idle_hourly_usd: USD per hour with no pod running, for the nodes that stay; None as above.
        region: the region whose prices these are; None where there are none.
        note: what the numbers leave out, or why there are none.
        least_hourly_usd: USD per hour with the fewest replicas; None where no number of them follows a load, and as
            above.

    """

    hourly_usd: float | None
    idle_hourly_usd: float | None
    region: str | None = None
    note: str = ""
    least_hourly_usd: float | None = None

    @property
    def monthly_usd(self) -> float | None:
        """USD for a month of 730 hours."""
        return None if self.hourly_usd is None else self.hourly_usd * HOURS_PER_MONTH

    @property
    def least_monthly_usd(self) -> float | None:
        """USD for a month of 730 hours with the fewest replicas."""
        return None if self.least_hourly_usd is None else self.least_hourly_usd * HOURS_PER_MONTH

    @property
    def idle_monthly_usd(self) -> float | None:
        """USD for an idle month of 730 hours."""
        return None if self.idle_hourly_usd is None else self.idle_hourly_usd * HOURS_PER_MONTH


def pool_cost(
    pool: NodePoolPlan, nodes: int, cluster: ClusterPlan, catalog: Catalog, *, least_nodes: int | None = None
) -> Cost:
    """Cost of a node pool; idle, it keeps its least number of nodes.

    Args:
        pool: the pool.
        nodes: nodes that run with the most replicas.
        cluster: the cluster's plan.
        catalog: the facts to decide by.
        least_nodes: nodes that run with the fewest replicas; None where no number of replicas follows a load.

    """
    idle = pool.settings.max_nodes if pool.settings.provisioning.model == _RESERVED else pool.settings.min_nodes
    cost = _nodes_cost(pool, max(nodes, idle), idle, cluster, catalog)
    if least_nodes is None:
        return cost
    least = _nodes_cost(pool, max(least_nodes, idle), idle, cluster, catalog)
    return replace(cost, least_hourly_usd=least.hourly_usd)


def server_cost(server: ServerPlan, pool: NodePoolPlan | None, cluster: ClusterPlan, catalog: Catalog) -> Cost:
    """Cost of a server's own GPUs and what comes with them: its share of the nodes that it runs on."""
    if pool is None and server.capacity is not None and cluster.profile == "standard":
        return tiers_cost(server, server.capacity, cluster)
    cost = replicas_cost(server.pods, server.gpu_count, pool, cluster, catalog)
    if server.autoscaling is None:
        return cost
    least = replicas_cost(server.least_pods, server.gpu_count, pool, cluster, catalog)
    return replace(cost, least_hourly_usd=least.hourly_usd)


def tiers_cost(server: ServerPlan, capacity: CapacityPlan, cluster: ClusterPlan) -> Cost:
    """Cost of a server whose machines come from one of its tiers: that of the cheapest whose price is known."""
    if not capacity.priced:
        return Cost(hourly_usd=None, idle_hourly_usd=0.0, note=capacity.tiers[0].note)
    price = capacity.priced[0].usd_per_hour or 0.0
    return Cost(
        hourly_usd=server.pods * price,
        idle_hourly_usd=0.0,
        least_hourly_usd=None if server.autoscaling is None else server.least_pods * price,
        region=cluster.region,
        note=tiers_note(capacity, server.pods),
    )


def tiers_note(capacity: CapacityPlan, replicas: int) -> str:
    """What a server costs on other tiers than the cheapest; empty where there is one price."""
    cheapest, dearest = capacity.priced[0], capacity.priced[-1]
    unknown = len(capacity.tiers) - len(capacity.priced)
    notes = []
    if dearest.usd_per_hour != cheapest.usd_per_hour:
        most = replicas * (dearest.usd_per_hour or 0.0)
        notes.append(f"at least, on {cheapest.title}; up to {most:.2f} USD an hour on {dearest.title}")
    if unknown:
        notes.append(f"no price known of {unknown} of {len(capacity.tiers)} tiers")
    return "; ".join(notes)


def replicas_cost(replicas: int, gpus: int, pool: NodePoolPlan | None, cluster: ClusterPlan, catalog: Catalog) -> Cost:
    """Cost of so many replicas with so many GPUs each, on the nodes of a pool."""
    if pool is None:
        if cluster.profile == "autopilot":
            return Cost(hourly_usd=None, idle_hourly_usd=0.0, note=_AUTOPILOT_NOTE)
        return Cost(hourly_usd=None, idle_hourly_usd=None, note="the cluster's own nodes are not in the configuration")
    clients = pool.settings.sharing.max_clients if pool.settings.sharing else 1
    share = gpus / (pool.settings.accelerator.count * clients)
    return _nodes_cost(pool, replicas * share, None, cluster, catalog)


def total_cost(costs: list[Cost]) -> Cost:
    """The sum; unknown as soon as one part of it is."""
    notes = sorted({cost.note for cost in costs if cost.note})
    regions = {cost.region for cost in costs}
    scales = any(cost.least_hourly_usd is not None for cost in costs)
    return Cost(
        hourly_usd=_sum([cost.hourly_usd for cost in costs]),
        idle_hourly_usd=_sum([cost.idle_hourly_usd for cost in costs]),
        region=regions.pop() if len(regions) == 1 else None,
        note="; ".join(notes),
        least_hourly_usd=_sum(
            [cost.hourly_usd if cost.least_hourly_usd is None else cost.least_hourly_usd for cost in costs]
        )
        if scales
        else None,
    )


def _nodes_cost(
    pool: NodePoolPlan, nodes: float, idle_nodes: int | None, cluster: ClusterPlan, catalog: Catalog
) -> Cost:
    """Cost of so many nodes of a pool: Spot's price for a Spot pool, else on-demand, as reservations bill too."""
    prices, region = catalog.price(pool.machine_type, cluster.region)
    if prices is None:
        note = f"no price known of {pool.machine_type} in {region}"
        return Cost(hourly_usd=None, idle_hourly_usd=None, note=note)
    model = pool.settings.provisioning.model
    price = prices.spot if model == "spot" else prices.on_demand
    notes = []
    if region != cluster.region:
        notes.append(f"prices of {region}; {cluster.region or 'the cluster'} differs")
    if model == "flexStart" and machine_family(pool.machine_type) in catalog.prices.flex_start_discount:
        notes.append("on-demand prices; flex-start machines of this family cost less")
    return Cost(
        hourly_usd=nodes * price,
        idle_hourly_usd=None if idle_nodes is None else idle_nodes * price,
        region=region,
        note="; ".join(notes),
    )


def _sum(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def usd_per_million_tokens(cost: Cost, replicas: int, tokens_per_second: float | None) -> float | None:
    """USD for a million output tokens of a server whose replicas are all busy; None without a measured throughput."""
    if cost.hourly_usd is None or tokens_per_second is None or not replicas:
        return None
    return cost.hourly_usd / (replicas * tokens_per_second * 3600) * 1_000_000
