"""What is watched of a stack, for people and programs."""

from collections.abc import Iterator
from typing import Any

from gke_llm_inference.planning.observability.plan import AlertPlan, ObservabilityPlan
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


def alerts_document(server: str | None, plan: ObservabilityPlan) -> list[dict[str, Any]]:
    """The alerts of a server, or of the cluster for None, as plain data for JSON."""
    return [
        {
            "alert": alert.kind,
            "title": alert.title,
            "severity": alert.severity,
            "expression": alert.condition.expression if alert.condition else None,
            "logFilter": alert.log_filter,
            "seconds": alert.condition.seconds if alert.condition else 0,
            "threshold": alert.condition.threshold if alert.condition else None,
            "why": alert.condition.why if alert.condition else None,
            "runbook": alert.runbook,
        }
        for alert in plan.alerts_of(server)
    ]


def not_watched_document(server: str, plan: ObservabilityPlan) -> list[dict[str, str]]:
    """The alerts that a server does not have as plain data for JSON."""
    return [{"alert": one.kind, "why": one.why} for one in plan.not_watched if one.server == server]


def alert_lines(server: ServerPlan, plan: ObservabilityPlan) -> Iterator[str]:
    """The alerts of a server as lines of the plan; none where alerts are off."""
    lines = [f"{alert.kind}: {_when(alert)}" for alert in plan.alerts_of(server.key)]
    lines += [f"no {one.kind}: {one.why}" for one in plan.not_watched if one.server == server.key]
    yield from (f"  {'' if index else 'alerts':<10} {line}" for index, line in enumerate(lines))


def stack_lines(plan: ObservabilityPlan) -> Iterator[str]:
    """What is said of the alerts of the whole stack."""
    if plan.alerts:
        channels = len(plan.channels)
        who = "nobody" if not channels else "1 channel" if channels == 1 else f"{channels} channels"
        shared = ", ".join(alert.kind for alert in plan.alerts_of(None))
        yield f"Alerts: {len(plan.alerts)} policies tell {who}" + (f"; of the cluster: {shared}" if shared else "")


def _when(alert: AlertPlan) -> str:
    condition = alert.condition
    return f"{condition.threshold} ({condition.why})" if condition else alert.title
