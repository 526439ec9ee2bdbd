"""Decides on the capacity of a server: every tier is checked like the first."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from gke_llm_inference.catalog.facts import ProvisioningName
from gke_llm_inference.planning.capacity_tiers.asked import gpu_of, machine_tiers
from gke_llm_inference.planning.capacity_tiers.classes import plan_class
from gke_llm_inference.planning.capacity_tiers.findings import of_tier
from gke_llm_inference.planning.capacity_tiers.fit import TierFit, fit_on
from gke_llm_inference.planning.capacity_tiers.plan import CapacityPlan, TierPlan
from gke_llm_inference.planning.capacity_tiers.price import tier_price
from gke_llm_inference.planning.capacity_tiers.speed import speed_on
from gke_llm_inference.planning.capacity_tiers.waits import wait_of
from gke_llm_inference.planning.machines import candidates, holds
from gke_llm_inference.planning.placement import too_big
from gke_llm_inference.planning.pods import pod_request
from gke_llm_inference.planning.stages import TieredServer, TimedServer
from gke_llm_inference.settings import Finding


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a tier runs a server's pods."""

    index: int
    model: ProvisioningName
    machine: str
    gpu: str
    node_pool: str | None = None


def plan_capacity(server: TimedServer) -> tuple[CapacityPlan | None, list[Finding]]:
    """The capacity of a server, with problems and warnings of its tiers; None where it states none.

    A tier that is wrong is left out, so that the plan has what can be known of the others.
    """
    settings, catalog = server.settings, server.stack.catalog
    stated = bool(settings.local_ssds) or "provisioning" in settings.model_fields_set
    if settings.capacity is None and (server.pool or not stated):
        return None, []
    places, findings = _places(server)
    fits: dict[str, TierFit] = {}
    tiers: list[TierPlan] = []
    wait = 0
    for place in places:
        fit = fits.get(place.gpu) or fits.setdefault(place.gpu, fit_on(server, place.gpu))
        price = tier_price(place.machine, place.model, server.stack.cluster.region, catalog)
        performance, of_speed = speed_on(server, place.gpu, fit.memory, price, first=not place.index)
        findings += of_tier(server.path, place.index, (*fit.findings, *of_speed))
        tiers.append(
            TierPlan(
                index=place.index,
                model=place.model,
                machine_type=place.machine,
                gpu_type=place.gpu,
                gpu_count=settings.accelerator.count,
                memory=fit.memory,
                performance=performance,
                usd_per_hour=price.usd_per_hour,
                note=price.note,
                node_pool=place.node_pool,
                wait_seconds=wait,
            )
        )
        wait += wait_of(place.model, catalog)
    if not tiers:
        return None, findings
    return CapacityPlan(tiers=tuple(tiers), compute_class=plan_class(server, tiers)), findings


def on_other_gpus(server: TieredServer) -> Iterator[TieredServer]:
    """The server as it is on each GPU that a tier has and the first one has not."""
    known = {server.settings.accelerator.type}
    for tier in server.capacity.tiers if server.capacity else ():
        if tier.memory is not None and tier.gpu_type not in known:
            known.add(tier.gpu_type)
            gpus = server.settings.accelerator.model_copy(update={"type": tier.gpu_type, "memory_mib": None})
            settings = server.settings.model_copy(update={"accelerator": gpus})
            yield replace(server, settings=settings, request=tier.memory.request, memory=tier.memory)


def _places(server: TimedServer) -> tuple[list[_Place], list[Finding]]:
    """Where each tier runs the server's pods, and which of them have no machine that holds one."""
    pools = server.tier_pools or ((server.pool,) if server.pool else ())
    if pools:
        return [
            _Place(
                index=index,
                model=pool.settings.provisioning.model,
                machine=pool.machine_type,
                gpu=pool.settings.accelerator.type,
                node_pool=pool.key,
            )
            for index, pool in enumerate(pools)
        ], []
    settings, catalog = server.settings, server.stack.catalog
    count, need = settings.accelerator.count, pod_request(server.resources, settings.accelerator.count)
    places: list[_Place] = []
    findings: list[Finding] = []
    for index, tier in machine_tiers(settings):
        gpu, name = gpu_of(tier, settings, catalog), tier.machine_type
        if name is None:
            name = server.stack.machines.cheapest(gpu, count, need, tier.model, catalog)
            if name is None:
                sold = [
                    one
                    for one in candidates(gpu, count, catalog)
                    if tier.model in catalog.machine_types[one].provisioning
                ]
                if sold and settings.capacity is not None:
                    findings.append(_too_big(server, index, f"any machine with {count} × {gpu}", sold[-1]))
                continue
        elif name not in catalog.machine_types or catalog.machine_types[name].gpus < count:
            # Said of the machine type itself.
            continue
        elif not holds(catalog.machine_types[name], need, catalog):
            findings.append(_too_big(server, index, name, name))
            continue
        places.append(_Place(index=index, model=tier.model, machine=name, gpu=gpu))
    return places, findings


def _too_big(server: TimedServer, index: int, subject: str, largest: str) -> Finding:
    fix = "request less under resources, or name a larger machine type"
    path = f"{server.path}.capacity[{index}]"
    return too_big(path, server.resources, subject, largest, fix, server.stack.catalog)
