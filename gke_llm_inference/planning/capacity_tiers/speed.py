"""How fast a server is on the GPU of a tier, and whether that is fast enough."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gke_llm_inference.planning.objectives import asks_for_speed, speed_findings
from gke_llm_inference.settings import Finding

if TYPE_CHECKING:
    from gke_llm_inference.planning.capacity_tiers.price import TierPrice
    from gke_llm_inference.planning.memory import MemoryPlan
    from gke_llm_inference.planning.performance.plan import PerformancePlan
    from gke_llm_inference.planning.stages import TimedServer


def speed_on(
    server: TimedServer, gpu: str, memory: MemoryPlan | None, price: TierPrice, *, first: bool
) -> tuple[PerformancePlan | None, list[Finding]]:
    """The speed of a server on a tier, and what its objectives have against it.

    Args:
        server: the server.
        gpu: GPU of the tier.
        memory: the server's memory plan on it; None where something is wrong.
        price: what its machine costs.
        first: whether it is the first tier, whose findings are told already.

    """
    if first or memory is None or not memory.starts or not asks_for_speed(server):
        return server.performance if first else None, []
    if gpu not in server.stack.catalog.performance.gpus:
        return None, [_unknown_speed(server, gpu)]
    if gpu == server.settings.accelerator.type and not _is_priced(server):
        return server.performance, []
    plan = _planned(server, memory, price)
    fix = "remove the tier, name a faster GPU, or relax the objective"
    findings = [replace(one, fix=fix) for one in speed_findings(server.path, server.settings, plan, ())]
    if server.performance is not None:
        known = speed_findings(server.path, server.settings, server.performance, ())
        told = {(one.path, one.what) for one in known}
        findings = [one for one in findings if (one.path, one.what) not in told]
    return plan, findings


def _planned(server: TimedServer, memory: MemoryPlan, price: TierPrice) -> PerformancePlan:
    from gke_llm_inference.planning.performance.plan import Price
    from gke_llm_inference.planning.speed import basis_of, performance_request

    least = server.stack.cluster.profile == "autopilot"
    price_of_replica = Price(usd_per_hour=price.usd_per_hour, is_least=least, note=price.note)
    asked = replace(performance_request(server), price=price_of_replica)
    return server.stack.speeds.plan(
        memory.request,
        memory.state.kv_cache_tokens,
        memory.limits.max_model_len,
        asked,
        basis_of(server, memory.request)[0],
        server.stack.catalog,
    )


def _is_priced(server: TimedServer) -> bool:
    """Whether an objective depends on what the machine costs."""
    objectives = server.settings.objectives
    return objectives is not None and objectives.max_usd_per_million_tokens is not None


def _unknown_speed(server: TimedServer, gpu: str) -> Finding:
    must_be = server.settings.objectives is not None and not server.settings.allow_slow
    return Finding(
        path=server.path,
        what=f"the speed of {gpu} is not known",
        why="the catalog has no roofs of this GPU, from which speed is predicted",
        fix="remove the tier, or name another GPU",
        severity="problem" if must_be else "warning",
    )
