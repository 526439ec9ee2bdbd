"""The rule where speed cannot be predicted: the fewest GPUs that hold weights and context."""

from dataclasses import dataclass, replace
from typing import Any

from gke_llm_inference.planning.autopilot import has_room_on_autopilot
from gke_llm_inference.planning.compatibility import request_problems, setting_problems
from gke_llm_inference.planning.extra import overridden
from gke_llm_inference.planning.given import is_explicit, merged
from gke_llm_inference.planning.machines import gpu_counts
from gke_llm_inference.planning.memory import MemoryPlan, memory_request, plan_memory
from gke_llm_inference.planning.memory.sharding import heads_divide, kv_heads_divide
from gke_llm_inference.planning.pod.decide import with_additions
from gke_llm_inference.planning.pods import pod_resources
from gke_llm_inference.planning.stages import ModeledServer
from gke_llm_inference.settings import ServerSettings


@dataclass(frozen=True)
class Fewest:
    """A number of GPUs and why."""

    count: int
    why: str


def fewest_gpus(server: ModeledServer, given: ServerSettings) -> Fewest | None:
    """The fewest GPUs with which the server starts by its memory plan; None where the stack states them.

    Where none is enough, those that miss by no more than an estimate's error, or else hold the longest context: the
    check of the whole server says what does not fit and what would.

    Args:
        server: the server.
        given: its settings with techniques applied.

    """
    if is_explicit(given, "accelerator.count"):
        return None
    gpu = given.accelerator.type
    plans = {count: plan for count in _counts(server) if (plan := _plan(server, given, count)) is not None}
    chosen = next(
        (
            count
            for certain in (True, False)
            for count, plan in plans.items()
            if plan.has_room or (not certain and plan.starts)
        ),
        None,
    )
    if chosen is not None:
        reason = f"{chosen} × {gpu} hold weights and a context of {plans[chosen].limits.max_model_len:,} tokens"
        fewer = next((count for count in reversed(plans) if count < chosen and plans[count].largest_context), None)
        if fewer is not None:
            tight = plans[fewer].starts
            reason += f"; {fewer} would {'be tight' if tight else f'hold {plans[fewer].largest_context:,}'}"
        return Fewest(chosen, reason)
    if not plans:
        return None
    near = [count for count, plan in plans.items() if plan.is_near_miss]
    longest = max(plan.largest_context for plan in plans.values())
    nearest = [count for count, plan in plans.items() if plan.largest_context == longest]
    # With no room for any context, the most GPUs lack the least.
    chosen = near[0] if near else nearest[0 if longest else -1]
    plan = plans[chosen]
    return Fewest(
        chosen,
        f"no number of {gpu} is known to hold a context of {plan.limits.max_model_len:,} tokens; "
        f"{chosen} hold {plan.largest_context:,}",
    )


def _counts(server: ModeledServer) -> list[int]:
    """Numbers of GPUs that the stack's nodes have, with room for what the server requests beside them."""
    accelerator, stack = server.settings.accelerator, server.stack
    most = stack.most_gpus(accelerator.type)

    def has_room(count: int) -> bool:
        if stack.cluster.profile != "autopilot":
            return True
        asked = accelerator.model_copy(update={"count": count})
        resources = pod_resources(count, server.stored_gib, server.settings.resources, stack.catalog)
        resources = with_additions(resources, server.settings.pod)
        return has_room_on_autopilot(asked, resources, stack.catalog)

    architecture = server.model.architecture
    return [
        count
        for count in gpu_counts(accelerator.type, stack.catalog)
        if (most is None or count <= most)
        and has_room(count)
        and heads_divide(architecture, count)
        and kv_heads_divide(architecture, count)
    ]


def _plan(server: ModeledServer, given: ServerSettings, count: int) -> MemoryPlan | None:
    """The memory plan with so many GPUs; None where there is another problem than memory."""
    changes: dict[str, Any] = {"accelerator.count": count}
    catalog = server.stack.catalog
    asked = (server.path, merged(given, changes), server.version, server.model)
    known = set(setting_problems(server.path, given, server.version, server.model, catalog))
    if not set(setting_problems(*asked, catalog)) <= known:
        return None
    running = overridden(asked[1], server.version, catalog)
    request = replace(memory_request(server.path, running, server.version, server.model, catalog.memory))
    return None if request_problems(request, catalog.memory) else plan_memory(request, catalog.memory)
