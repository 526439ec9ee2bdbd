"""What a plan says of observability: how metrics are collected, what raises an alert, and what shows them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gke_llm_inference.catalog.alert_facts import AlertKind, AlertSeverity
from gke_llm_inference.planning.observability.cloud_dashboard import cloud_dashboard
from gke_llm_inference.planning.observability.grafana import grafana_dashboard
from gke_llm_inference.planning.observability.panels import Row

_TARGET_LABELS = ("container", "node", "pod")
"""What a series says of where it is from, beside project, location, cluster, namespace, job and instance."""
_MOST_SERVERS = 6
"""Servers on a dashboard of Cloud Monitoring: a page of a hundred charts is slow, and nobody finds anything there."""


@dataclass(frozen=True, kw_only=True)
class MetricsPlan:
    """How the metrics of one server are collected.

    Attributes:
        server: its name in the configuration.
        name: name of its Kubernetes objects; the label `job` of its series, too.
        namespace: namespace of its pods.
        selector: labels of its pods, and of no others.
        labels: labels of the object.
        port: name of the container's port.
        path: where the container exposes the metrics.
        interval_seconds: seconds between two collections.
        collected: names of what is collected, sorted; everything that the server exposes if empty.

    """

    server: str
    name: str
    namespace: str
    selector: Mapping[str, str]
    labels: Mapping[str, str]
    port: str
    path: str
    interval_seconds: int
    collected: tuple[str, ...]

    @property
    def spec(self) -> dict[str, Any]:
        """Spec of the PodMonitoring."""
        endpoint: dict[str, Any] = {"port": self.port, "path": self.path, "interval": f"{self.interval_seconds}s"}
        if self.collected:
            endpoint["metricRelabeling"] = [
                {"action": "keep", "sourceLabels": ["__name__"], "regex": f"({'|'.join(self.collected)})"}
            ]
        return {
            "selector": {"matchLabels": dict(self.selector)},
            "endpoints": [endpoint],
            "targetLabels": {"metadata": list(_TARGET_LABELS)},
        }


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What raises an alert.

    Attributes:
        kind: what it is about.
        expression: PromQL that has a result while something is wrong.
        seconds: how long it must have one.
        threshold: from when on that is, in words.
        why: why from then on.

    """

    kind: AlertKind
    expression: str
    seconds: int
    threshold: str
    why: str


@dataclass(frozen=True, kw_only=True)
class AlertPlan:
    """One alert policy: it has a condition on metrics, or a filter of a log.

    Attributes:
        kind: what it is about.
        server: name of the server in the configuration; None for what is about the whole cluster.
        name: what tells it from every other of the stack, as a DNS label.
        title: what Cloud Monitoring shows.
        severity: how urgent it is.
        condition: what raises it; None for an alert on a log.
        log_filter: entries that raise it; None for an alert on metrics.
        text: what it means, what to check and what to do, as Markdown.
        runbook: address of the section of the runbooks' page that says the same; None where the page has none.
        labels: labels of the policy, by which it is found.

    """

    kind: AlertKind
    server: str | None
    name: str
    title: str
    severity: AlertSeverity
    condition: Condition | None
    log_filter: str | None
    text: str
    runbook: str | None
    labels: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class NotWatched:
    """An alert that a server does not have.

    Attributes:
        server: its name in the configuration.
        kind: what the alert would be about.
        why: why there is none.

    """

    server: str
    kind: AlertKind
    why: str


@dataclass(frozen=True, kw_only=True)
class DashboardPlan:
    """A dashboard of Cloud Monitoring.

    Attributes:
        name: name of its resource, unique in the stack.
        title: what it is called.
        rows: what it shows, a row for each server.

    """

    name: str
    title: str
    rows: tuple[Row, ...]

    @property
    def document(self) -> dict[str, Any]:
        """The dashboard as the API takes it."""
        return cloud_dashboard(self.title, self.rows)


@dataclass(frozen=True, kw_only=True)
class ObservabilityPlan:
    """What is watched of a stack.

    Attributes:
        metrics: how the metrics of each server are collected, sorted by name; empty where none are.
        alerts: the alert policies, by server, the most urgent first; those of the cluster last.
        not_watched: alerts that a server does not have, though alerts are on.
        channels: notification channels of every alert.
        rows: what shows them, a row for each server; none where none are collected.
        title: what the stack's dashboards are called.
        has_dashboards: whether Cloud Monitoring has some.
        project: Google Cloud project that they are in; None where the stack has none.

    """

    metrics: tuple[MetricsPlan, ...] = ()
    alerts: tuple[AlertPlan, ...] = ()
    not_watched: tuple[NotWatched, ...] = ()
    channels: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    title: str = ""
    has_dashboards: bool = False
    project: str | None = None

    @property
    def dashboards(self) -> tuple[DashboardPlan, ...]:
        """The dashboards of Cloud Monitoring; none where the stack asks for none."""
        if not self.has_dashboards:
            return ()
        parts = [self.rows[first : first + _MOST_SERVERS] for first in range(0, len(self.rows), _MOST_SERVERS)]
        return tuple(
            DashboardPlan(
                name=f"dashboard-{number}" if number > 1 else "dashboard",
                title=f"{self.title} ({number} of {len(parts)})" if len(parts) > 1 else self.title,
                rows=part,
            )
            for number, part in enumerate(parts, 1)
        )

    def grafana(self, server: str | None = None) -> dict[str, Any]:
        """One dashboard for Grafana, of every server or of one, by its name in the configuration."""
        rows = [row for row in self.rows if server in (None, row.server)]
        return grafana_dashboard(self.title if server is None else f"{self.title} {server}", rows)

    def metrics_of(self, server: str) -> MetricsPlan | None:
        """How the metrics of a server are collected, by its name in the configuration; None where they are not."""
        return next((one for one in self.metrics if one.server == server), None)

    def alerts_of(self, server: str | None) -> tuple[AlertPlan, ...]:
        """The alerts of a server by its name in the configuration; those of the cluster for None."""
        return tuple(one for one in self.alerts if one.server == server)
