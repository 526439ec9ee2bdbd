"""How a server gets its model, for programs."""

from typing import Any

from gke_llm_inference.planning import ServerPlan


def model_source_document(server: ServerPlan) -> dict[str, Any] | None:
    """The way of the model as plain data for JSON; None where it is not known."""
    plan = server.model_source
    if plan is None:
        return None
    return {
        "path": plan.source.path,
        "uri": plan.source.uri or None,
        "reader": plan.reader,
        "cachedIn": list(plan.cached_in),
        "disk": plan.disk
        and {
            "claim": plan.disk.name,
            "zone": plan.disk.zone,
            "sizeGib": plan.disk.size_gib,
            "throughputMib": plan.disk.throughput_mib,
            "filledWithinSeconds": plan.disk.ready_seconds,
        },
    }
