"""How replicas are spread over zones, machines and what else nodes have a label for."""

from collections.abc import Iterator

from gke_llm_inference.planning.plan import NodePoolPlan
from gke_llm_inference.planning.pod.plan import PLANNED_SPREAD, SpreadConstraint
from gke_llm_inference.settings import Finding, PodSpread, ServerSettings

_ZONE = "topology.kubernetes.io/zone"


def plan_spread(asked: tuple[PodSpread, ...]) -> tuple[SpreadConstraint, ...]:
    """The constraints of pods: those that the plan gives them, but where the settings state another for the key."""
    stated = tuple(
        SpreadConstraint(key=one.key, max_skew=one.max_skew, waits=one.when == "DoNotSchedule", domains=one.min_domains)
        for one in asked
    )
    keys = {one.key for one in stated}
    return (*(one for one in PLANNED_SPREAD if one.key not in keys), *stated)


def spread_findings(path: str, settings: ServerSettings, pool: NodePoolPlan | None) -> Iterator[Finding]:
    """What cannot be spread as it is asked, and what may leave pods without a place.

    Args:
        path: where the server stands in the configuration.
        settings: the server's settings.
        pool: its node pool; None where the stack has none.

    """
    seen: set[str] = set()
    for index, one in enumerate(settings.pod.topology_spread):
        where = f"{path}.pod.topologySpread[{index}]"
        if one.key in seen:
            yield Finding(
                path=f"{where}.key",
                what=f"{one.key} is listed twice",
                why="one constraint decides how far replicas are apart",
                fix="remove one",
            )
        elif plan_spread((one,))[-1] in PLANNED_SPREAD:
            yield Finding(
                path=where, what="is what the plan does already", why="it would change nothing", fix="remove it"
            )
        elif one.when == "DoNotSchedule":
            yield from _places(where, one, settings.replicas, pool)
        elif one.min_domains is not None:
            yield Finding(
                path=f"{where}.minDomains",
                what="needs when: DoNotSchedule",
                why="Kubernetes rejects it where pods do not wait",
                fix="remove it, or set when to DoNotSchedule",
            )
        seen.add(one.key)


def _places(where: str, one: PodSpread, replicas: int, pool: NodePoolPlan | None) -> Iterator[Finding]:
    """Whether replicas that wait for the right place find one in the node pool."""
    zones = len(pool.zones) if pool and one.key == _ZONE else 0
    # With fewer domains than that, Kubernetes lets each have maxSkew pods and no more.
    if zones and one.min_domains and one.min_domains > zones and replicas > zones * one.max_skew:
        yield Finding(
            path=f"{where}.minDomains",
            what=f"leaves {replicas - zones * one.max_skew} of {replicas} replicas without a place",
            why=f"the node pool has {zones} {'zone' if zones == 1 else 'zones'}, and with fewer than minDomains each "
            f"takes {one.max_skew} at most",
            fix=f"use {zones} or less, or give the pool more zones",
        )
    elif one.key == _ZONE:
        yield Finding(
            path=where,
            what="lets pods wait for the right zone",
            why="they wait for as long as that zone has no GPU, even where another has one",
            fix="leave it out, as replicas are apart where there is room, or see that each zone has a reservation",
            severity="warning",
        )
