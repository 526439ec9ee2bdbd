"""The compute class of a server: one rule for each of its tiers."""

from collections.abc import Sequence

from gke_llm_inference.planning.capacity_tiers.asked import needs_class
from gke_llm_inference.planning.capacity_tiers.names import class_name, pools_class_name
from gke_llm_inference.planning.capacity_tiers.plan import (
    ClassRule,
    ComputeClassPlan,
    FlexStartRule,
    ReservationRule,
    TierPlan,
)
from gke_llm_inference.planning.capacity_tiers.versions import is_since
from gke_llm_inference.planning.capacity_tiers.waits import FLEX_START_WAIT_SECONDS
from gke_llm_inference.planning.lifecycle import asks_for_longer_spot
from gke_llm_inference.planning.local_ssds import count_of
from gke_llm_inference.planning.machines import boot_disk_for_gib
from gke_llm_inference.planning.node_pools import driver_for
from gke_llm_inference.planning.node_shutdown import NodeShutdown
from gke_llm_inference.planning.stages import PlacedServer
from gke_llm_inference.settings import FlexStartTier, ReservationTier

# GKE's own boot disk of nodes that it makes.
_LEAST_BOOT_DISK_GB = 100


def plan_class(server: PlacedServer, tiers: Sequence[TierPlan]) -> ComputeClassPlan | None:
    """The class that tries a server's tiers in order; None where its pods ask for their one tier by themselves."""
    stack = server.stack
    if server.tier_pools:
        keys = [pool.key for pool in server.tier_pools]
        rules = tuple(ClassRule(node_pool=key) for key in keys)
        return ComputeClassPlan(name=pools_class_name(stack.namespace, keys), rules=rules)
    if not needs_class(server.settings, stack.cluster.profile):
        return None
    return ComputeClassPlan(
        name=class_name(stack.namespace, server.key),
        rules=tuple(_rule(server, tier, last=tier is tiers[-1]) for tier in tiers),
        creates_pools=stack.cluster.profile == "standard",
    )


def spot_shutdown_of_class(server: PlacedServer) -> NodeShutdown | None:
    """How long Spot machines of a server's class take to end.

    As long as they can, where the cluster is known to take that: a pod that may land on any tier then has more time on
    all of them. Where its version is not known, only a server that asks for it gets it.
    """
    settings, limits = server.settings, server.stack.catalog.gke.shutdown
    if not needs_class(settings, server.stack.cluster.profile) or server.tier_pools:
        return None
    longer = is_since(server.stack.cluster, limits.spot_node_since)
    if longer or asks_for_longer_spot(settings, limits):
        return NodeShutdown(seconds=limits.spot_node, critical_seconds=limits.spot_critical)
    return None


def _rule(server: PlacedServer, tier: TierPlan, *, last: bool) -> ClassRule:
    catalog, asked = server.stack.catalog, server.settings.tiers[tier.index]
    reservation = flex_start = None
    if isinstance(asked, ReservationTier):
        zones = tuple(sorted(set(asked.zones)))
        reservation = ReservationRule(name=asked.name, project=asked.project, zones=zones)
    if isinstance(asked, FlexStartTier):
        flex_start = FlexStartRule(
            max_run_seconds=asked.max_run_seconds,
            recycle_lead_seconds=asked.recycle_lead_seconds,
            wait_seconds=None if last else FLEX_START_WAIT_SECONDS,
        )
    disks = catalog.disks.types(tier.machine_type)
    machine, fewest = catalog.machine_types[tier.machine_type], server.settings.local_ssds
    on_boot_disk = 0 if fewest else server.resources.ephemeral_storage_gib
    return ClassRule(
        machine_type=tier.machine_type,
        gpu_type=tier.gpu_type,
        gpu_count=tier.gpu_count,
        driver_version=catalog.accelerators[tier.gpu_type].driver or driver_for(server.cuda),
        spot=tier.model == "spot",
        reservation=reservation,
        flex_start=flex_start,
        shutdown=spot_shutdown_of_class(server) if tier.model == "spot" else None,
        boot_disk_type=disks[0] if disks else None,
        secondary_boot_disk=server.settings.secondary_boot_disk.image if server.settings.secondary_boot_disk else None,
        boot_disk_gb=max(_LEAST_BOOT_DISK_GB, boot_disk_for_gib(on_boot_disk, catalog)),
        # Machines that always have theirs take no number.
        local_ssds=(count_of(machine, fewest) or 0) if fewest and not machine.has_local_ssds else 0,
    )
