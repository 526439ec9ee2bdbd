"""How fast a server of a stack is planned to be: its workload, its price and the facts, brought together once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gke_llm_inference.planning.cost import replicas_cost
from gke_llm_inference.planning.machines import cheapest_machine
from gke_llm_inference.planning.pods import pod_request
from gke_llm_inference.planning.speculation import speculation_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gke_llm_inference.planning.capacity_tiers.price import TierPrice
    from gke_llm_inference.planning.memory import MemoryPlan, MemoryRequest
    from gke_llm_inference.planning.performance.calibration_use import SpeedBasis
    from gke_llm_inference.planning.performance.plan import PerformancePlan, PerformanceRequest, Price
    from gke_llm_inference.planning.stages import PlacedServer
    from gke_llm_inference.settings import Finding


def performance_of(server: PlacedServer) -> PerformancePlan:
    """The speed of a server that starts, on a GPU whose roofs are known.

    Without a workload it is that of the default profile.
    """
    assert server.memory is not None
    return performance_with(server, server.memory)


def performance_with(server: PlacedServer, memory: MemoryPlan) -> PerformancePlan:
    """The speed that a server would have with another memory plan, which may be on other GPUs."""
    return server.stack.speeds.plan(
        memory.request,
        memory.state.kv_cache_tokens,
        memory.limits.max_model_len,
        performance_request(server),
        basis_of(server, memory.request)[0],
        server.stack.catalog,
    )


def basis_of(server: PlacedServer, request: MemoryRequest) -> tuple[SpeedBasis, list[Finding]]:
    """What the speed of a server rests on, as it is or as another request asks, and what of its calibration is wrong.

    A calibration that says nothing of the request is not used.
    """
    settings, stack = server.settings, server.stack
    path = f"{server.path}.calibration"
    return stack.speeds.basis(path, settings.measured_speed, settings.model, request, stack.catalog)


def performance_request(server: PlacedServer) -> PerformanceRequest:
    """What a server is to serve, with how many replicas and at which price."""
    from gke_llm_inference.planning.performance.plan import PerformanceRequest
    from gke_llm_inference.planning.performance.workload import objectives_of, workload_of

    settings = server.settings
    return PerformanceRequest(
        workload=workload_of(settings.workload, server.stack.catalog.workloads),
        objectives=objectives_of(settings.objectives),
        replicas=settings.most_replicas,
        price=replica_price(server),
        notes=tuple(_notes(server)),
    )


def replica_price(server: PlacedServer) -> Price:
    """List price of one replica; on Autopilot that of the cheapest machine, to which a premium comes."""
    from gke_llm_inference.planning.performance.plan import Price

    accelerator, stack = server.settings.accelerator, server.stack
    if (own := _tier_price(server)) is not None:
        return Price(usd_per_hour=own.usd_per_hour, is_least=stack.cluster.profile == "autopilot", note=own.note)
    cost = replicas_cost(1, accelerator.count, server.pool, stack.cluster, stack.catalog)
    if cost.hourly_usd is not None or server.pool is not None or stack.cluster.profile != "autopilot":
        return Price(usd_per_hour=cost.hourly_usd, note=cost.note)
    machine = cheapest_machine(accelerator.type, accelerator.count, pod_request(server.resources), stack.catalog)
    prices = stack.catalog.price(machine, stack.cluster.region)[0] if machine else None
    if prices is None:
        return Price(usd_per_hour=None, note=cost.note)
    return Price(usd_per_hour=prices.on_demand, is_least=True, note=cost.note)


def _tier_price(server: PlacedServer) -> TierPrice | None:
    """What the machine of the first tier costs; None where the server states no tiers, or has a node pool."""
    from gke_llm_inference.planning.capacity_tiers.asked import machine_tiers
    from gke_llm_inference.planning.capacity_tiers.price import tier_price

    settings, stack = server.settings, server.stack
    tiers = machine_tiers(settings)
    stated = settings.capacity is not None or "provisioning" in settings.model_fields_set
    if server.pool is not None or not stated or not tiers:
        return None
    tier, gpus = tiers[0][1], settings.accelerator
    need = pod_request(server.resources, gpus.count)
    machine = tier.machine_type or stack.machines.cheapest(gpus.type, gpus.count, need, tier.model, stack.catalog)
    if machine not in stack.catalog.machine_types:
        return None
    return tier_price(machine, tier.model, stack.cluster.region, stack.catalog)


def _notes(server: PlacedServer) -> Iterator[str]:
    """What the prediction leaves out."""
    from gke_llm_inference.planning.performance.workload import MOST_BURSTINESS, REQUESTS

    settings, pool = server.settings, server.pool
    if pool is not None and pool.settings.sharing is not None:
        yield "others on the same GPU are not counted: the figures are those of a GPU that they leave idle"
    if settings.speculative_tokens is not None:
        yield "speculative tokens are not counted: how many are right depends on the prompts"
    spoken = speculation_of(settings)
    if spoken is not None:
        stated = "" if spoken.acceptance_rate is not None else ", and acceptanceRate is not stated"
        yield f"no gain by speculation is counted{stated}: guessing, verifying and batches take from it what varies"
    burstiness = settings.workload.burstiness if settings.workload else None
    if burstiness is not None and burstiness > MOST_BURSTINESS:
        yield f"a burstiness above {MOST_BURSTINESS:g} is more than the {REQUESTS} requests that are simulated can show"
    assert server.memory is not None
    request = server.memory.request
    if request.unplanned:
        names = ", ".join(dict.fromkeys(one.name for one in request.unplanned))
        yield f"what {names} changes is not counted"
