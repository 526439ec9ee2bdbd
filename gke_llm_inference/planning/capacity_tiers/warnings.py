"""What may go wrong with tiers that work."""

from collections.abc import Iterator

from gke_llm_inference.planning.plan import StartPlan
from gke_llm_inference.settings import Finding, FlexStartTier, ServerSettings


def flex_start_warnings(path: str, settings: ServerSettings, start: StartPlan) -> Iterator[Finding]:
    """Warnings of flex-start machines, which Google takes back after days.

    Args:
        path: where the server stands in the configuration.
        settings: its settings.
        start: how long its start takes.

    """
    fewest = settings.replicas if settings.autoscaling is None else settings.autoscaling.min_replicas
    for index, tier in enumerate(settings.tiers):
        where = f"{path}.provisioning" if settings.capacity is None else f"{path}.capacity[{index}]"
        if not isinstance(tier, FlexStartTier):
            continue
        lead = tier.recycle_lead_seconds
        if lead is None and fewest <= 1:
            yield Finding(
                path=where,
                what=f"the only replica stops when its machine goes, after {_days(tier.max_run_seconds)}",
                why="Google takes a flex-start machine back, and nothing brings another one before that",
                fix=f"state recycleLeadSeconds, such as {_rounded(start.new_node_seconds)}, or add a replica",
                severity="warning",
            )
        elif lead is not None and lead < start.new_node_seconds:
            yield Finding(
                path=f"{where}.recycleLeadSeconds",
                what=f"{lead} s are less than the {start.new_node_seconds} s that a start on a new machine takes",
                why="the old machine goes before the new one answers",
                fix=f"use {_rounded(start.new_node_seconds)} or more",
                severity="warning",
            )


def _days(seconds: int) -> str:
    days = seconds / 86_400
    return f"{days:g} days" if days >= 1 else f"{seconds} s"


def _rounded(seconds: int) -> int:
    """The next full quarter of an hour."""
    return -(-seconds // 900) * 900
