"""The tiers of a server, for people and programs: whether it fits, is fast enough, what it costs, when it starts."""

from collections.abc import Iterator
from typing import Any

from gke_llm_inference.planning import CapacityPlan, ServerPlan, TierPlan


def capacity_document(server: ServerPlan) -> dict[str, Any] | None:
    """The tiers of a server as plain data for JSON; None where it states none."""
    capacity = server.capacity
    if capacity is None:
        return None
    return {
        "computeClass": server.compute_class,
        "tiers": [
            {
                "model": tier.model,
                "machineType": tier.machine_type,
                "gpuType": tier.gpu_type,
                "gpus": tier.gpu_count,
                "nodePool": tier.node_pool,
                "verdict": tier.memory.verdict if tier.memory else None,
                "kvCacheTokens": tier.memory.state.kv_cache_tokens if tier.memory else None,
                "speed": tier.performance.verdict if tier.performance else None,
                "usdPerHour": None if tier.usd_per_hour is None else round(tier.usd_per_hour, 4),
                "priceNote": tier.note,
                "newNodeSeconds": server.start.new_node_seconds,
                "waitSeconds": tier.wait_seconds,
            }
            for tier in capacity.tiers
        ],
    }


def capacity_lines(server: ServerPlan) -> Iterator[str]:
    """The lines of a plan that say what each tier comes to."""
    capacity = server.capacity
    if capacity is None:
        return
    for tier in capacity.tiers:
        yield f"  {'capacity' if not tier.index else '':<10} {_tier(tier, server)}"
    yield f"             {_how(capacity)}"


def _tier(tier: TierPlan, server: ServerPlan) -> str:
    fit = tier.memory.verdict if tier.memory else "not planned"
    speed = f", {tier.performance.verdict} its objectives" if tier.performance and tier.performance.verdict else ""
    price = "no price known" if tier.usd_per_hour is None else f"{tier.usd_per_hour:.2f} USD an hour"
    note = f" ({tier.note})" if tier.note and not tier.note.startswith("no price") else ""
    if tier.usd_per_hour is None and tier.note:
        price = tier.note
    wait = f" after up to {tier.wait_seconds} s for the tiers before" if tier.wait_seconds else ""
    return (
        f"{tier.index + 1}. {tier.title}: {fit}{speed}; {price}{note}; "
        f"starts in {server.start.new_node_seconds} s{wait}"
    )


def _how(capacity: CapacityPlan) -> str:
    if capacity.compute_class is None:
        return "each pod asks for it by itself"
    return f"in this order, by the compute class {capacity.compute_class.name}; with none of them, pods wait"
