"""Where the machines of a tier can be: in the region of its GPU, and in the zones of its reservation."""

from collections.abc import Iterator

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.planning.accelerators import region_problems
from gke_llm_inference.planning.cluster import region_of
from gke_llm_inference.planning.plan import ClusterPlan
from gke_llm_inference.settings import Finding, ReservationTier


def gpu_findings(where: str, gpu: str, cluster: ClusterPlan, catalog: Catalog) -> list[Finding]:
    """The problem of a GPU that the cluster's region does not have."""
    if cluster.region is None or gpu not in catalog.accelerators:
        return []
    return region_problems(where, gpu, cluster.region, catalog)


def zone_findings(
    where: str, tier: ReservationTier, gpu: str, cluster: ClusterPlan, catalog: Catalog
) -> Iterator[Finding]:
    """Problems and warnings of the zones of a reservation.

    Args:
        where: where the tier stands in the configuration.
        tier: the tier.
        gpu: its GPU.
        cluster: the cluster's plan.
        catalog: the facts to decide by.

    """
    region = cluster.region
    if region is None:
        return
    known = catalog.accelerators[gpu].zones_in(region) if gpu in catalog.accelerators else ()
    for index, zone in enumerate(tier.zones):
        at = f"{where}.zones[{index}]"
        if region_of(zone) != region:
            yield Finding(
                path=at,
                what=f"{zone} is not in {region}",
                why="machines of a reservation are in its zones, and nodes of a cluster in its region",
                fix=f"use a reservation in {region}" + (f", such as one in {known[0]}" if known else ""),
            )
        elif known and zone not in known:
            yield Finding(
                path=at,
                what=f"{zone} is not known to have {gpu}",
                why=f"the catalog knows it in {', '.join(known)}",
                fix="see where the reservation is; or go on if you know better",
                severity="warning",
            )
