"""What a plan says of observability: how each server's metrics are collected."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_TARGET_LABELS = ("container", "node", "pod")
"""What a series says of where it is from, beside project, location, cluster, namespace, job and instance."""


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
class ObservabilityPlan:
    """What is watched of a stack.

    Attributes:
        metrics: how the metrics of each server are collected, sorted by name; empty where none are.

    """

    metrics: tuple[MetricsPlan, ...] = ()

    def metrics_of(self, server: str) -> MetricsPlan | None:
        """How the metrics of a server are collected, by its name in the configuration; None where they are not."""
        return next((one for one in self.metrics if one.server == server), None)
