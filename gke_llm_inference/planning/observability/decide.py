"""Decides on what is watched of a stack."""

from collections.abc import Sequence

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.metric_facts import ServerMetrics
from gke_llm_inference.planning.observability.plan import MetricsPlan, ObservabilityPlan
from gke_llm_inference.planning.plan import ServerPlan
from gke_llm_inference.planning.pod.names import SERVER_PORT
from gke_llm_inference.settings import MetricsSettings, StackSettings


def plan_observability(settings: StackSettings, servers: Sequence[ServerPlan], catalog: Catalog) -> ObservabilityPlan:
    """What is watched of a stack; nothing unless its settings ask for it.

    Args:
        settings: the stack's settings, without problems.
        servers: the servers' plans.
        catalog: the facts to decide by.

    """
    metrics = settings.observability.metrics
    if not metrics.enabled:
        return ObservabilityPlan()
    return ObservabilityPlan(metrics=tuple(_metrics(server, metrics, catalog) for server in servers))


def _metrics(server: ServerPlan, settings: MetricsSettings, catalog: Catalog) -> MetricsPlan:
    facts = catalog.metrics[server.kind]
    return MetricsPlan(
        server=server.key,
        name=server.name,
        namespace=server.namespace,
        selector=server.selector,
        labels=server.labels,
        port=SERVER_PORT,
        path=facts.path,
        interval_seconds=settings.interval_seconds,
        collected=() if settings.everything else samples_of(facts, server.version),
    )


def samples_of(facts: ServerMetrics, version: str) -> tuple[str, ...]:
    """Names of all samples that a version exposes of what the catalog knows, sorted."""
    found = [metric for concept in facts.metrics if (metric := facts.metric(concept, version)) is not None]
    return tuple(sorted(name for metric in found for name in metric.samples))
