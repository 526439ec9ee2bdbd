"""Whether a server fits its GPUs: what is said where it does not, and what would fit instead."""

from collections.abc import Sequence

from gke_llm_inference.planning.alternatives import Alternative
from gke_llm_inference.planning.memory import MemoryPlan
from gke_llm_inference.settings import Finding, NodePoolSettings, ServerSettings

_PROPOSALS = 3


def check_fit(
    path: str, settings: ServerSettings, plan: MemoryPlan, alternatives: Sequence[Alternative]
) -> list[Finding]:
    """The problem or warning of a server that does not fit, is tight, or can only be estimated.

    A server that does not fit is refused, unless the stack allows it, or the constants were not measured for its
    version and it misses by less than their error margin.

    Args:
        path: where the server stands in the configuration.
        settings: its settings with presets applied.
        plan: its memory plan.
        alternatives: what would fit instead, cheapest first.

    """
    if plan.verdict == "fits":
        return []
    if plan.verdict == "estimated":
        return _estimated(plan)
    # A model that no machine holds as it is: that several do is said, however much they cost.
    spread = [one for one in alternatives[_PROPOSALS:] if one.kind == "more nodes"][:1]
    proposals = "; or ".join(one.what + pool_needed(one.node_pool) for one in (*alternatives[:_PROPOSALS], *spread))
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
    return [finding]


def pool_needed(node_pool: tuple[str, NodePoolSettings] | None) -> str:
    """The node pool that a proposal needs, as the end of it."""
    if node_pool is None:
        return ""
    key, pool = node_pool
    return f", on a node pool of {pool.accelerator.count} × {pool.accelerator.type} such as nodePools.{key}"


def _estimated(plan: MemoryPlan) -> list[Finding]:
    """Warnings of what makes a plan an estimate, each where it stands."""
    return [
        Finding(
            path=one.path,
            what=f"{one.name} {one.what}: the memory plan is estimated, not known",
            why=plan.reason,
            fix="measure a start" if one.of_model else "measure a start, or remove it",
            severity="warning",
        )
        for one in plan.unplanned
    ]


def _gpus(settings: ServerSettings) -> str:
    each = f"{settings.accelerator.count} × {settings.accelerator.type}"
    return each if settings.nodes == 1 else f"{settings.nodes} machines with {each}"
