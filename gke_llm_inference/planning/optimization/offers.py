"""GPUs that a server of a stack may get, each with its machine and price."""

from collections.abc import Iterator
from dataclasses import dataclass

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.planning.autopilot import has_room_on_autopilot
from gke_llm_inference.planning.capacity import Capacity
from gke_llm_inference.planning.given import is_explicit
from gke_llm_inference.planning.machines import candidates, gpu_counts, holds
from gke_llm_inference.planning.plan import PodResources
from gke_llm_inference.planning.pod.decide import with_additions
from gke_llm_inference.planning.pods import pod_request, pod_resources
from gke_llm_inference.planning.stages import ModeledServer, StackFrame
from gke_llm_inference.settings import ExistingCluster, NodePoolSettings, ServerSettings
from gke_llm_inference.settings.servers import MOST_REPLICAS

NO_POOL = "no node pool has them"
NOT_STATED = "the stack states other GPUs"
_SPOT = "spot"
_ANY = "any"
"""Machines that exist already: however they are provisioned, they are there; their price on demand compares them."""


@dataclass(frozen=True, kw_only=True)
class Offer:
    """GPUs of one replica.

    Attributes:
        gpu: GKE's name of the GPU.
        gpus: of each replica.
        machine_type: machine with them.
        usd_per_hour: list price of the replica's part of the machine, as the machine is provisioned.
        provisioning: how Google provides the machine: `onDemand`, `spot`, or as the pool says.
        most_replicas: replicas that the stack's pool has room for; None where nothing bounds them.
        advised: why the server does not get them by itself, only the advice; empty if it may.

    """

    gpu: str
    gpus: int
    machine_type: str
    usd_per_hour: float
    provisioning: str = "onDemand"
    most_replicas: int | None = None
    advised: str = ""

    @property
    def name(self) -> str:
        """In words."""
        spot = " (Spot)" if self.provisioning == _SPOT else ""
        return f"{self.gpus} × {self.gpu}{spot}"


def predictable(catalog: Catalog) -> tuple[str, ...]:
    """GPUs whose speed and memory the catalog knows, and that Google sells, sorted."""
    known = set(catalog.performance.gpus) & set(catalog.accelerators) & set(catalog.memory.versions.visible_memory)
    return tuple(sorted(known))


def offers_of(server: ModeledServer, given: ServerSettings, provisioning: str | None = None) -> tuple[Offer, ...]:
    """What a server may get, and what it would be advised to: those of each number of GPUs that are cheapest.

    The GPU is the one that the server states; of a list, or where it states none, every one that the stack has nodes
    for. On a cluster whose nodes are not known, that is the default.

    Args:
        server: the server.
        given: its settings with techniques applied.
        provisioning: how machines of a new node pool are provisioned; as the server states it if None.

    """
    stack, asked = server.stack, given.accelerator
    stated = asked.count if is_explicit(given, "accelerator.count") and not asked.choices else None
    offers: dict[tuple[str, int], Offer] = {}
    for gpu in predictable(stack.catalog):
        for offer in _of_gpu(server, gpu, provisioning or server.settings.tiers[0].model):
            if stated is not None and not offer.advised and offer.gpus != stated:
                continue
            known = offers.get((gpu, offer.gpus))
            if known is None or (bool(offer.advised), offer.usd_per_hour) < (bool(known.advised), known.usd_per_hour):
                offers[gpu, offer.gpus] = offer
    return tuple(offers.values())


def new_pools(stack: StackFrame) -> bool:
    """Whether a node pool would be made for a server: the stack makes a Standard cluster and has no pool yet."""
    own = stack.cluster.profile == "standard" and not isinstance(stack.cluster.settings, ExistingCluster)
    return own and not stack.pools


def is_searched(server: ModeledServer) -> bool:
    """Whether the stack leaves the type of the GPU open."""
    settings = server.settings
    return "accelerator" not in settings.model_fields_set or bool(settings.accelerator.choices)


def _of_gpu(server: ModeledServer, gpu: str, provisioning: str) -> Iterator[Offer]:
    stack, asked = server.stack, server.settings.accelerator
    types = {choice.type: choice.count for choice in asked.choices}
    permitted = gpu in types if types else is_searched(server) or gpu == asked.type
    fixed = types.get(gpu)
    reason = "" if permitted else NOT_STATED
    if stack.cluster.profile == "autopilot":
        found = _on_autopilot(server, gpu, reason)
    elif stack.pools:
        found = _on_pools(server, gpu, reason)
    elif new_pools(stack):
        found = _new(server, gpu, reason, provisioning)
    elif types or gpu == asked.type:
        found = _new(server, gpu, reason, _ANY)
    else:
        return
    yield from (offer for offer in found if fixed is None or offer.gpus == fixed or offer.advised)


def _on_autopilot(server: ModeledServer, gpu: str, reason: str) -> Iterator[Offer]:
    stack, catalog = server.stack, server.stack.catalog
    region = stack.cluster.region
    if region is not None and not catalog.accelerators[gpu].is_offered_in(region):
        return
    for count in sorted(catalog.accelerators[gpu].autopilot_maxima):
        asked = server.settings.accelerator.model_copy(update={"type": gpu, "count": count})
        if has_room_on_autopilot(asked, _resources(server, count), catalog):
            yield from _machine(server, gpu, count, reason, server.settings.tiers[0].model)


def _on_pools(server: ModeledServer, gpu: str, reason: str) -> Iterator[Offer]:
    """Parts of nodes of the stack's pools; new nodes of other GPUs are advised at most."""
    stack, own = server.stack, server.settings.node_pool
    pools = {key: pool for key, pool in sorted(stack.pools.items()) if key in stack.sound_pools and own in (None, key)}
    fitting = [pool for pool in pools.values() if pool.accelerator.type == gpu]
    for pool in fitting:
        for count in gpu_counts(gpu, stack.catalog):
            if count <= pool.accelerator.count:
                yield from _part(server, pool, count, reason)
    if not fitting:
        like = next(iter(pools.values()), NodePoolSettings())
        yield from _new(server, gpu, reason or NO_POOL, like.provisioning.model)


def _part(server: ModeledServer, pool: NodePoolSettings, count: int, reason: str) -> Iterator[Offer]:
    catalog = server.stack.catalog
    need = pod_request(_resources(server, count))
    machine = pool.machine_type or _cheapest(pool.accelerator.type, pool.accelerator.count, need, catalog)
    price, _ = catalog.price(machine, server.stack.cluster.region) if machine else (None, "")
    if machine is None or price is None:
        return
    clients = pool.sharing.max_clients if pool.sharing else 1
    provisioning = pool.provisioning.model
    yield Offer(
        gpu=pool.accelerator.type,
        gpus=count,
        machine_type=machine,
        usd_per_hour=(price.spot if provisioning == _SPOT else price.on_demand)
        * count
        / (pool.accelerator.count * clients),
        provisioning=provisioning,
        most_replicas=pool.max_nodes * (pool.accelerator.count // count) * clients,
        advised=reason,
    )


def _new(server: ModeledServer, gpu: str, reason: str, provisioning: str) -> Iterator[Offer]:
    catalog, region = server.stack.catalog, server.stack.cluster.region
    if region is not None and not catalog.accelerators[gpu].is_offered_in(region):
        return
    for count in gpu_counts(gpu, catalog):
        yield from _machine(server, gpu, count, reason, provisioning)


def _machine(server: ModeledServer, gpu: str, count: int, reason: str, provisioning: str) -> Iterator[Offer]:
    """The cheapest machine with so many of the GPU; advised at most where Google does not sell it as asked."""
    catalog = server.stack.catalog
    machine = _cheapest(gpu, count, pod_request(_resources(server, count)), catalog)
    price, _ = catalog.price(machine, server.stack.cluster.region) if machine else (None, "")
    if machine is None or price is None:
        return
    sold = catalog.machine_types[machine].provisioning
    if provisioning not in (*sold, _ANY):
        reason = reason or f"Google sells {machine} only as {' and '.join(sold)}"
        provisioning = sold[0]
    yield Offer(
        gpu=gpu,
        gpus=count,
        machine_type=machine,
        usd_per_hour=price.spot if provisioning == _SPOT else price.on_demand,
        provisioning=provisioning,
        advised=reason,
    )


def _cheapest(gpu: str, count: int, need: Capacity, catalog: Catalog) -> str | None:
    return next(
        (name for name in candidates(gpu, count, catalog) if holds(catalog.machine_types[name], need, catalog)), None
    )


def _resources(server: ModeledServer, count: int) -> PodResources:
    return with_additions(
        pod_resources(count, server.stored_gib, server.settings.resources, server.stack.catalog), server.settings.pod
    )


def most_replicas(offer: Offer) -> int:
    """Replicas that find room, and that a server may have."""
    return MOST_REPLICAS if offer.most_replicas is None else min(MOST_REPLICAS, offer.most_replicas)


def no_room(offer: Offer) -> str:
    """Why more replicas are none that may be taken."""
    most = most_replicas(offer)
    limit = "that its node pool has room for" if most < MOST_REPLICAS else "that a server may have"
    return f"needs more than the {most:,} replicas {limit}"
