"""How fast pods come and go: a pod that starts takes minutes, in which the same load must not ask for more."""

import math

from gke_llm_inference.catalog.autoscaling_facts import AutoscalingFacts
from gke_llm_inference.planning.autoscaling.plan import ScalingRule

_MINUTE = 60


def pace_up(start_seconds: int, least: int, most: int) -> ScalingRule:
    """How fast pods come: at once, and so many a minute that all are asked for within one start.

    Args:
        start_seconds: from a pod that finds no node to its first good answer.
        least: fewest pods.
        most: most pods.

    """
    minutes = max(1, start_seconds // _MINUTE)
    pods = max(1, math.ceil((most - max(1, least)) / minutes))
    return ScalingRule(
        window_seconds=0,
        pods=pods,
        period_seconds=_MINUTE,
        why=f"all {most} are asked for within one start of {start_seconds} s",
    )


def pace_down(start_seconds: int, facts: AutoscalingFacts) -> ScalingRule:
    """How fast pods go: one in the time that one takes to come back, after the load was lower for as long.

    Args:
        start_seconds: from a pod that finds no node to its first good answer.
        facts: what the autoscaler allows.

    """
    window = min(facts.longest_window_seconds, max(facts.down_window_seconds, start_seconds))
    period = min(facts.longest_period_seconds, max(_MINUTE, start_seconds))
    return ScalingRule(
        window_seconds=window,
        pods=1,
        period_seconds=period,
        why=f"a pod that went too early takes {start_seconds} s to come back",
    )
