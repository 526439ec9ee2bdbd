"""Decides on the groups of a server whose replicas span several machines."""

from collections.abc import Iterator

from gke_llm_inference.planning.groups.plan import GroupPlan, stage_layers
from gke_llm_inference.planning.plan import NodePoolPlan
from gke_llm_inference.settings import Finding, ServerSettings

# The interface that a pod has on GKE; without it, NCCL and Gloo take the first that they find.
_INTERFACE = {"GLOO_SOCKET_IFNAME": "eth0", "NCCL_SOCKET_IFNAME": "eth0"}


def plan_group(settings: ServerSettings, layers: int, pool: NodePoolPlan | None) -> GroupPlan | None:
    """The group that each replica is; None where it is one pod.

    Args:
        settings: the settings with presets applied, which have no problem.
        layers: layers of the model.
        pool: node pool of the stack that its pods run on; None without one.

    """
    if settings.nodes == 1:
        return None
    return GroupPlan(
        nodes=settings.nodes,
        layers=stage_layers(layers, settings.stages),
        tensor_parallel=settings.shares,
        one_zone=pool is None or len(pool.zones) != 1,
    )


def group_environment(settings: ServerSettings) -> dict[str, str]:
    """Variables by which the pods of a group find each other; none for a server of single pods."""
    return dict(_INTERFACE) if settings.nodes > 1 else {}


def zone_findings(path: str, settings: ServerSettings, pool: NodePoolPlan | None) -> Iterator[Finding]:
    """What there is to know where the machines of a group may come from several zones.

    Args:
        path: where the server stands in the configuration.
        settings: its settings.
        pool: its node pool; None where the stack has none.

    """
    if settings.nodes == 1 or pool is None or len(pool.zones) == 1:
        return
    zones = ", ".join(pool.zones)
    yield Finding(
        path=f"{path}.nodes",
        what=f"the machines of a group may come from {len(pool.zones)} zones ({zones}), but must be in one",
        why="its pods wait for a machine in the zone of the first, even where another zone has one",
        fix=f"give nodePools.{pool.key} one zone, such as zones: [{pool.zones[0]}]",
        severity="warning",
    )
