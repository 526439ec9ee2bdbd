"""What a stack costs at list price: per server, per node pool and in all. Plain multiplication, dated prices."""

from dataclasses import dataclass

from catalog import Catalog
from planning.plan import ClusterPlan, NodePoolPlan, ServerPlan

HOURS_PER_MONTH = 730
"""Hours of an average month, as Google's own calculator counts."""

_RESERVED = "reservation"


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What something costs at list price.

    Attributes:
        hourly_usd: USD per hour while everything runs; None where the catalogue has no price.
        idle_hourly_usd: USD per hour with no pod running, for the nodes that stay; None as above.
        note: what the numbers leave out, or why there are none.

    """

    hourly_usd: float | None
    idle_hourly_usd: float | None
    note: str = ""

    @property
    def monthly_usd(self) -> float | None:
        """USD for a month of 730 hours."""
        return None if self.hourly_usd is None else self.hourly_usd * HOURS_PER_MONTH

    @property
    def idle_monthly_usd(self) -> float | None:
        """USD for an idle month of 730 hours."""
        return None if self.idle_hourly_usd is None else self.idle_hourly_usd * HOURS_PER_MONTH


def pool_cost(pool: NodePoolPlan, nodes: int, cluster: ClusterPlan, catalog: Catalog) -> Cost:
    """Cost of a node pool with `nodes` nodes running; idle, it keeps its least number of nodes."""
    price = node_usd_per_hour(pool, catalog)
    if price is None:
        return Cost(hourly_usd=None, idle_hourly_usd=None, note=f"no price of {pool.machine_type} is known here")
    idle = pool.settings.max_nodes if pool.settings.provisioning.model == _RESERVED else pool.settings.min_nodes
    return Cost(hourly_usd=max(nodes, idle) * price, idle_hourly_usd=idle * price, note=_region_note(cluster, catalog))


def server_cost(server: ServerPlan, pool: NodePoolPlan | None, cluster: ClusterPlan, catalog: Catalog) -> Cost:
    """Cost of a server's own GPUs and what comes with them: its share of the nodes that it runs on."""
    if pool is None:
        if cluster.profile == "autopilot":
            return Cost(
                hourly_usd=None,
                idle_hourly_usd=0.0,
                note="Autopilot bills the machine and its GPUs with a premium of its own, which is not known here",
            )
        return Cost(hourly_usd=None, idle_hourly_usd=None, note="the cluster's own nodes are not known here")
    price = node_usd_per_hour(pool, catalog)
    if price is None:
        return Cost(hourly_usd=None, idle_hourly_usd=None, note=f"no price of {pool.machine_type} is known here")
    clients = pool.settings.sharing.max_clients if pool.settings.sharing else 1
    share = server.gpu_count / (pool.settings.accelerator.count * clients)
    return Cost(hourly_usd=server.replicas * share * price, idle_hourly_usd=None, note=_region_note(cluster, catalog))


def total_cost(costs: list[Cost]) -> Cost:
    """The sum; unknown as soon as one part of it is."""
    notes = sorted({cost.note for cost in costs if cost.note})
    return Cost(
        hourly_usd=_sum([cost.hourly_usd for cost in costs]),
        idle_hourly_usd=_sum([cost.idle_hourly_usd for cost in costs]),
        note="; ".join(notes),
    )


def node_usd_per_hour(pool: NodePoolPlan, catalog: Catalog) -> float | None:
    """List price of one node: Spot's for a Spot pool, else on-demand, as flex-start and reservations bill on an L4."""
    prices = catalog.machine_types[pool.machine_type].usd_per_hour
    if prices is None:
        return None
    return prices.spot if pool.settings.provisioning.model == "spot" else prices.on_demand


def _region_note(cluster: ClusterPlan, catalog: Catalog) -> str:
    if cluster.region in (None, catalog.price_region):
        return ""
    return f"prices of {catalog.price_region}; {cluster.region} differs"


def _sum(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def usd_per_million_tokens(cost: Cost, replicas: int, tokens_per_second: float | None) -> float | None:
    """USD for a million output tokens of a server whose replicas are all busy; None without a measured throughput."""
    if cost.hourly_usd is None or tokens_per_second is None or not replicas:
        return None
    return cost.hourly_usd / (replicas * tokens_per_second * 3600) * 1_000_000
