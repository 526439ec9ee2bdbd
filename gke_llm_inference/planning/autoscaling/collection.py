"""Metrics that are collected because servers are scaled by them."""

from gke_llm_inference.planning.autoscaling.source import StackSources
from gke_llm_inference.settings import AutoscalingSettings, HttpHolder, StackSettings


def reads_cloud_monitoring(asked: AutoscalingSettings, sources: StackSources) -> bool:
    """Whether a server is scaled by what Cloud Monitoring has of it, which somebody has to collect."""
    return sources.of(asked)[0] != "native" and not isinstance(asked.scale_to_zero, HttpHolder)


def with_collected_metrics(settings: StackSettings, sources: StackSources) -> StackSettings:
    """The settings with metrics collected where a server is scaled by them; what the stack states itself stays."""
    metrics = settings.observability.metrics
    scaled = [one.autoscaling for one in settings.servers.values() if one.autoscaling is not None]
    if "enabled" in metrics.model_fields_set or not any(reads_cloud_monitoring(one, sources) for one in scaled):
        return settings
    collected = metrics.model_copy(update={"enabled": True})
    return settings.model_copy(
        update={"observability": settings.observability.model_copy(update={"metrics": collected})}
    )
