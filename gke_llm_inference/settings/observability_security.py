"""Whether somebody learns of one environment's troubles as of another's, and no more is told of its requests."""

from collections.abc import Iterator

from gke_llm_inference.settings.findings import Finding
from gke_llm_inference.settings.stack import StackSettings


def alerts(settings: StackSettings, than: StackSettings, name: str, other: str) -> Iterator[Finding]:
    """Alerts that only the other stack has, or that only there reach somebody."""
    ours, theirs = settings.observability.alerts, than.observability.alerts
    if not theirs.enabled:
        return
    if not ours.enabled:
        yield Finding(
            path="observability.alerts.enabled",
            what=f"is off in {name} and on in {other}",
            why="who overloads a server, or crashes it again and again, is noticed by chance",
            fix=f"set observability.metrics.enabled and observability.alerts in {name}",
        )
    elif theirs.notification_channels and not ours.notification_channels:
        yield Finding(
            path="observability.alerts.notificationChannels",
            what=f"has a channel in {other}, but none in {name}",
            why="an alert that reaches nobody is no better than none",
            fix=f"name a channel in {name}",
        )


def traces(settings: StackSettings, than: StackSettings, name: str, other: str) -> Iterator[Finding]:
    """Traces that only this stack's servers send, or that more pods may take."""
    ours, theirs = settings.observability.tracing, than.observability.tracing
    if ours is None:
        return
    if theirs is None:
        yield Finding(
            path="observability.tracing",
            what=f"sends spans of requests to a collector in {name}, and none in {other}",
            why="who reads spans learns when and how much each client asks, and each server may call the collector",
            fix=f"remove it from {name}, or try it in {other} first",
        )
    elif theirs.collector_labels and not ours.collector_labels:
        yield Finding(
            path="observability.tracing.collectorLabels",
            what=f"names the collector's pods in {other}, and none in {name}",
            why=f"servers may then call every pod of the namespace {ours.namespace} at the collector's port",
            fix=f"set the labels of the collector's pods in {name}",
        )
