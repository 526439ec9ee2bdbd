"""What is watched: whether metrics of the servers are collected, drawn and traced."""

from typing import Annotated

from pydantic import Field

from gke_llm_inference.settings.base import Settings
from gke_llm_inference.settings.tracing import TracingSettings


class MetricsSettings(Settings):
    """Collection of the servers' metrics by Managed Service for Prometheus, which bills each sample."""

    enabled: bool = False
    """Whether the metrics of every server are collected."""
    interval_seconds: Annotated[int, Field(ge=5, le=60)] = 30
    """Seconds between two collections."""
    everything: bool = False
    """Whether all is collected that a server exposes, not only what alerts and dashboards are made of."""


class DashboardSettings(Settings):
    """Dashboards of Cloud Monitoring, with a section for each server."""

    enabled: bool = False
    """Whether the stack has them."""


class GpuMetricsSettings(Settings):
    """Metrics of the GPUs, by GKE's own exporter of DCGM; Google bills each sample."""

    enabled: bool = False
    """Whether GKE collects them on a cluster that the stack makes; of an existing one, whether it does already."""


class ObservabilitySettings(Settings):
    """What is watched; off unless it is asked for, as Google bills it."""

    metrics: MetricsSettings = MetricsSettings()
    """Collection of the servers' metrics."""
    dashboards: DashboardSettings = DashboardSettings()
    """Dashboards of them."""
    gpu_metrics: GpuMetricsSettings = GpuMetricsSettings()
    """Metrics of the GPUs."""
    tracing: TracingSettings | None = None
    """Where the servers send traces of their requests; nowhere if absent."""
