"""What a plan says of observability: how each server's metrics are collected, and what shows them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
        rows: what shows them, a row for each server; none where none are collected.
        title: what the stack's dashboards are called.
        has_dashboards: whether Cloud Monitoring has some.
        project: Google Cloud project that they are in; None where the stack has none.

    """

    metrics: tuple[MetricsPlan, ...] = ()
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
