"""What the GPUs of a stack may cost in a month, computed from what is registered and the catalog's list prices."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from gke_llm_inference.catalog import Catalog, load_catalog
from gke_llm_inference.catalog.kubernetes_names import ACCELERATOR_LABEL, SPOT_LABEL
from gke_llm_inference.planning.cluster import region_of
from gke_llm_inference.planning.cost import HOURS_PER_MONTH
from gke_llm_inference.policy.compute_classes import class_machines
from gke_llm_inference.policy.model import StackPolicy
from gke_llm_inference.policy.pools import hides_gpus, is_gpu_pool, largest_size
from gke_llm_inference.policy.resources import Opaque, Resource, at
from gke_llm_inference.policy.scaling import most_replicas
from gke_llm_inference.policy.workloads import is_server, pod_spec, replica_gpus
from gke_llm_inference.settings.base import NonEmpty, Settings

Usd = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class BudgetSettings(Settings):
    """How much a stack may cost."""

    monthly_usd: Usd
    """USD for a month of 730 hours that a stack's GPU machines may cost at list price."""
    stacks: dict[NonEmpty, Usd]
    """The same for single stacks, by name."""
    allow_unpriced: bool
    """Whether machines without a price in the catalog pass uncounted."""


@dataclass(frozen=True)
class Share:
    """A part of the cost.

    Attributes:
        title: what costs.
        usd_per_hour: at list price; None where the catalog has none.
        region: whose prices they are.

    """

    title: str
    usd_per_hour: float | None
    region: str


def gpu_cost(resources: Sequence[Resource], catalog: Catalog) -> list[Share]:
    """What the GPUs of a stack cost at most: every GPU pool at its largest.

    A stack without GPU pools of its own, as on Autopilot, is counted by its servers: the cheapest machines that hold
    their GPUs, which is the least that it costs with all replicas. Servers of a compute class that makes machines are
    counted on the dearest of them. What is not known yet is left out.
    """
    pools = [resource for resource in resources if is_gpu_pool(resource)]
    servers = [resource for resource in resources if is_server(resource)]
    tiers = {server.urn: list(class_machines(server, resources)) for server in servers}
    on_tiers = [
        share
        for server in servers
        if tiers[server.urn] and (share := _tier_share(server, tiers[server.urn], resources, catalog)) is not None
    ]
    if pools or any(hides_gpus(resource) for resource in resources):
        return [*on_tiers, *(share for pool in pools if (share := _pool_share(pool, catalog)) is not None)]
    rest = [server for server in servers if not tiers[server.urn]]
    return [*on_tiers, *(one for server in rest if (one := _server_share(server, resources, catalog)) is not None)]


def _tier_share(
    server: Resource, tiers: Sequence[tuple[str, bool]], resources: Sequence[Resource], catalog: Catalog
) -> Share | None:
    """A server on the dearest machine that its compute class may make; without a price if one of them has none."""
    gpus, replicas = replica_gpus(server), most_replicas(server, resources)
    if not gpus or not replicas:
        return None
    priced: list[tuple[float, str]] = []
    for name, spot in tiers:
        machine = catalog.machine_types.get(name)
        title = f"{server.name}: {replicas * gpus:g} × GPU of {name}{' (Spot)' if spot else ''}"
        if machine is None or machine.usd_per_hour is None:
            return Share(title, None, catalog.prices.reference_region)
        usd = machine.usd_per_hour.spot if spot else machine.usd_per_hour.on_demand
        priced.append((replicas * gpus * usd / machine.gpus, title))
    usd, title = max(priced)
    return Share(title, usd, catalog.prices.reference_region)


def _pool_share(pool: Resource, catalog: Catalog) -> Share | None:
    nodes, machine = largest_size(pool), pool.at("nodeConfig", "machineType")
    if nodes is None or isinstance(nodes, Opaque) or not isinstance(machine, str):
        return None
    prices, region = None, catalog.prices.reference_region
    if machine in catalog.machine_types:
        location = pool.at("location")
        prices, region = catalog.price(machine, region_of(location) if isinstance(location, str) else None)
    spot = pool.at("nodeConfig", "spot") is True
    price = None if prices is None else prices.spot if spot else prices.on_demand
    title = f"{pool.name}: {nodes:g} × {machine}{' (Spot)' if spot else ''}"
    return Share(title, None if price is None else nodes * price, region)


def _server_share(server: Resource, resources: Sequence[Resource], catalog: Catalog) -> Share | None:
    gpus = replica_gpus(server)
    selector = at(pod_spec(server), "nodeSelector")
    accelerator, replicas = at(selector, ACCELERATOR_LABEL), most_replicas(server, resources)
    if not gpus or not replicas or not isinstance(accelerator, str):
        return None
    spot = at(selector, SPOT_LABEL) == "true"
    per_gpu = [
        (machine.usd_per_hour.spot if spot else machine.usd_per_hour.on_demand) / machine.gpus
        for machine in catalog.machine_types.values()
        if machine.accelerator == accelerator and machine.usd_per_hour is not None
    ]
    title = f"{server.name}: {replicas * gpus:g} × {accelerator}{' (Spot)' if spot else ''}"
    price = replicas * gpus * min(per_gpu) if per_gpu else None
    return Share(title, price, catalog.prices.reference_region)


def _budget(resources: Sequence[Resource], settings: BudgetSettings) -> Iterator[tuple[str | None, str]]:
    if not resources:
        return
    catalog = load_catalog()
    shares = gpu_cost(resources, catalog)
    stack = resources[0].stack
    ceiling = settings.stacks.get(stack, settings.monthly_usd)
    monthly = sum(share.usd_per_hour or 0.0 for share in shares) * HOURS_PER_MONTH
    if monthly > ceiling:
        counted = ", ".join(share.title for share in shares if share.usd_per_hour is not None)
        regions = ", ".join(sorted({share.region for share in shares if share.usd_per_hour is not None}))
        yield (
            None,
            f"GPU machines may cost {monthly:,.0f} USD a month at the list prices of {regions}, "
            f"more than the ceiling of {ceiling:,.0f} USD ({counted})",
        )
    if not settings.allow_unpriced:
        for share in shares:
            if share.usd_per_hour is None:
                yield None, f"no price is known of {share.title}: the ceiling of {ceiling:,.0f} USD cannot be checked"


GPU_BUDGET = StackPolicy(
    name="gpu-budget",
    what="The GPU machines of a stack cost no more in a month than its ceiling, with every pool at its largest.",
    why="The autoscaler goes as far as it may, and a bill is noticed weeks later.",
    fix="lower maxNodes, replicas or maxReplicas, or raise monthlyUsd of this policy, for one stack under stacks",
    settings=BudgetSettings,
    check=_budget,
)
