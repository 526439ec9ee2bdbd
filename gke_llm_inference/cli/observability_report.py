"""What is watched of a stack, for people and programs."""

from collections.abc import Iterator
from typing import Any

from gke_llm_inference.planning.observability.plan import ObservabilityPlan
from gke_llm_inference.planning.plan import ServerPlan


def metrics_document(server: ServerPlan, plan: ObservabilityPlan) -> dict[str, Any] | None:
    """How the metrics of a server are collected as plain data for JSON; None where they are not."""
    metrics = plan.metrics_of(server.key)
    if metrics is None:
        return None
    return {
        "job": metrics.name,
        "path": metrics.path,
        "intervalSeconds": metrics.interval_seconds,
        "collected": list(metrics.collected) or None,
    }


def metrics_lines(server: ServerPlan, plan: ObservabilityPlan) -> Iterator[str]:
    """How the metrics of a server are collected as lines of the plan; none where they are not."""
    metrics = plan.metrics_of(server.key)
    if metrics is not None:
        what = f"{len(metrics.collected)} names" if metrics.collected else "everything"
        yield f"  metrics    {what} of {metrics.path}, every {metrics.interval_seconds} s, as job {metrics.name}"


def tracing_document(server: ServerPlan) -> dict[str, Any] | None:
    """Where a server sends traces as plain data for JSON; None where it sends none."""
    tracing = server.tracing
    return None if tracing is None else {"endpoint": tracing.endpoint, "samplingRatio": tracing.sampling_ratio}


def tracing_lines(server: ServerPlan) -> Iterator[str]:
    """Where a server sends traces as lines of the plan; none where it sends none."""
    if server.tracing is not None:
        yield f"  traces     {100 * server.tracing.sampling_ratio:g} % of the requests, to {server.tracing.endpoint}"


def dashboard_lines(plan: ObservabilityPlan) -> Iterator[str]:
    """The dashboards of a stack as lines of the plan; none where it has none."""
    for one in plan.dashboards:
        yield f"Dashboard {one.title}: {sum(len(row.panels) for row in one.rows)} charts"
