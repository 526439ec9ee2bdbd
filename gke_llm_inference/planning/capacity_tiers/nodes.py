"""What a pod says of its node: labels that it must have, and taints that the pod accepts."""

from collections.abc import Iterator

from gke_llm_inference.catalog.kubernetes_names import (
    COMPUTE_CLASS_LABEL,
    FLEX_START_LABEL,
    RESERVATION_AFFINITY_LABEL,
    RESERVATION_NAME_LABEL,
    RESERVATION_PROJECT_LABEL,
    SPOT_LABEL,
    ZONE_LABEL,
)
from gke_llm_inference.planning.capacity_tiers.plan import CapacityPlan
from gke_llm_inference.planning.plan import Toleration
from gke_llm_inference.settings import CapacityTier, FlexStartTier, ReservationTier, SpotTier


def class_selector(name: str) -> dict[str, str]:
    """Labels of the nodes of a compute class. A pod asks for nothing else beside it, which could contradict a rule."""
    return {COMPUTE_CLASS_LABEL: name}


def tier_selector(tier: CapacityTier) -> dict[str, str]:
    """Labels by which a pod on Autopilot asks for the one way in which its machine is provided."""
    match tier:
        case SpotTier():
            return {SPOT_LABEL: "true"}
        case FlexStartTier():
            return {FLEX_START_LABEL: "true"}
        case ReservationTier():
            project = {RESERVATION_PROJECT_LABEL: tier.project} if tier.project else {}
            zone = {ZONE_LABEL: tier.zones[0]} if tier.zones else {}
            return {RESERVATION_NAME_LABEL: tier.name, RESERVATION_AFFINITY_LABEL: "specific", **project, **zone}
        case _:
            return {}


def tier_tolerations(capacity: CapacityPlan | None) -> Iterator[Toleration]:
    """What pods accept that may land on any tier."""
    models = {tier.model for tier in capacity.tiers} if capacity else set()
    if "spot" in models:
        yield Toleration(key=SPOT_LABEL, value="true")
    if "flexStart" in models:
        yield Toleration(key=FLEX_START_LABEL)
    if capacity and capacity.compute_class and any(rule.node_pool for rule in capacity.compute_class.rules):
        # GKE adds it to pods of classes whose nodes it makes itself.
        yield Toleration(key=COMPUTE_CLASS_LABEL, value=capacity.compute_class.name)
