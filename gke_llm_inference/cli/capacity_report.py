"""The tiers of a server, for people and programs: whether it fits, is fast enough, what it costs, when it starts."""

from collections.abc import Iterator
from typing import Any

from gke_llm_inference.planning import CapacityPlan, ServerPlan


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
        yield f"  {'capacity' if not tier.index else '':<10} {tier.summary(server.start.new_node_seconds)}"
    yield f"             {_how(capacity)}"


def _how(capacity: CapacityPlan) -> str:
    if capacity.compute_class is None:
        return "each pod asks for it by itself"
    return f"in this order, by the compute class {capacity.compute_class.name}; with none of them, pods wait"
