"""What is watched: whether metrics of the servers are collected, drawn, told of and traced."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from gke_llm_inference.settings.base import Settings, refused
from gke_llm_inference.settings.tracing import TracingSettings


def _channel(text: str) -> str:
    if not re.fullmatch(r"projects/[a-z0-9][a-z0-9:.-]{4,62}/notificationChannels/[0-9]{1,30}", text):
        raise refused(
            "is not the name of a notification channel",
            "alerts reach a channel by its full name, as projects/PROJECT/notificationChannels/NUMBER, not by what it "
            "is called or by an address",
            "take it from gcloud beta monitoring channels list --format='value(name)'",
        )
    return text


NotificationChannel = Annotated[str, AfterValidator(_channel)]
RunbookUrl = Annotated[str, StringConstraints(pattern=r"^https://[A-Za-z0-9._~:/?@!&'()*+,;=%-]{1,500}$")]


class MetricsSettings(Settings):
    """Collection of the servers' metrics by Managed Service for Prometheus, which bills each sample."""

    enabled: bool = False
    """Whether the metrics of every server are collected."""
    interval_seconds: Annotated[int, Field(ge=5, le=60)] = 30
    """Seconds between two collections."""
    everything: bool = False
    """Whether all is collected that a server exposes, not only what alerts and dashboards are made of."""


class AlertSettings(Settings):
    """Alert policies of Cloud Monitoring for what is collected; what each one says is planned."""

    enabled: bool = False
    """Whether every server has its alerts."""
    notification_channels: Annotated[tuple[NotificationChannel, ...], Field(strict=False, max_length=16)] = ()
    """Channels of Cloud Monitoring that exist already and are told of every alert."""
    runbooks: RunbookUrl | None = None
    """Address of a page like docs/runbooks.md, to which every alert links at its own section; an alert has that
    section as its text in any case."""

    @model_validator(mode="after")
    def _each_once(self) -> "AlertSettings":
        if len(set(self.notification_channels)) < len(self.notification_channels):
            raise refused(
                "names a notification channel twice",
                "it would be told of every alert twice, and Cloud Monitoring refuses that",
                "remove one of the two",
            )
        return self


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
    alerts: AlertSettings = AlertSettings()
    """Alerts on them."""
    dashboards: DashboardSettings = DashboardSettings()
    """Dashboards of them."""
    gpu_metrics: GpuMetricsSettings = GpuMetricsSettings()
    """Metrics of the GPUs."""
    tracing: TracingSettings | None = None
    """Where the servers send traces of their requests; nowhere if absent."""
