"""What is watched: whether metrics of the servers are collected."""

from typing import Annotated

from pydantic import Field

from gke_llm_inference.settings.base import Settings


class MetricsSettings(Settings):
    """Collection of the servers' metrics by Managed Service for Prometheus, which bills each sample."""

    enabled: bool = False
    """Whether the metrics of every server are collected."""
    interval_seconds: Annotated[int, Field(ge=5, le=60)] = 30
    """Seconds between two collections."""
    everything: bool = False
    """Whether all is collected that a server exposes, not only what alerts and dashboards are made of."""


class ObservabilitySettings(Settings):
    """What is watched; off unless it is asked for, as Google bills it."""

    metrics: MetricsSettings = MetricsSettings()
    """Collection of the servers' metrics."""
