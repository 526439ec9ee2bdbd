"""Whether a server fits its GPUs: what is said where it does not, and what would fit instead."""

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.planning.alternatives import Alternative, alternatives
from gke_llm_inference.planning.memory import MemoryPlan
from gke_llm_inference.planning.plan import ClusterPlan
from gke_llm_inference.settings import Finding, ServerSettings

_PROPOSALS = 3


def check_fit(
    path: str, settings: ServerSettings, plan: MemoryPlan, cluster: ClusterPlan, catalog: Catalog
) -> tuple[tuple[Alternative, ...], list[Finding]]:
    """What would fit instead of a server that does not, and the problem or warning of it.

    A server that does not fit is refused, unless the stack allows it, or the constants were not measured for its
    version and it misses by less than their error margin.

    Args:
        path: where the server stands in the configuration.
        settings: its settings with presets applied.
        plan: its memory plan.
        cluster: the cluster's plan; what it does not offer is not proposed.
        catalog: the facts to decide by.

    """
    if plan.verdict == "fits":
        return (), []
    # A model that lies on a volume is not exchanged for one to download.
    base = settings.model if settings.model_volume is None else None
    found = tuple(one for one in alternatives(plan.request, catalog, model=base) if _offered(one, cluster, catalog))
    proposals = "; or ".join(one.what for one in found[:_PROPOSALS])
    may_start = plan.verdict == "tight" or settings.allow_unfit or plan.is_near_miss
    finding = Finding(
        path=path,
        what=f"{plan.verdict} {_gpus(settings)}"
        if plan.verdict == "does not fit"
        else f"is tight on {_gpus(settings)}",
        why=plan.reason,
        fix=proposals or "no change to its settings makes it fit; use a smaller model",
        severity="warning" if may_start else "problem",
    )
    return found, [finding]


def _offered(change: Alternative, cluster: ClusterPlan, catalog: Catalog) -> bool:
    """Whether the cluster may have the GPUs of a change, as far as that is known."""
    facts = catalog.accelerators.get(change.accelerator or "")
    if facts is None:
        return True
    in_region = cluster.region is None or bool(facts.zones_in(cluster.region))
    return in_region and (cluster.profile != "autopilot" or change.gpus in facts.autopilot_maxima)


def _gpus(settings: ServerSettings) -> str:
    return f"{settings.accelerator.count} × {settings.accelerator.type}"
