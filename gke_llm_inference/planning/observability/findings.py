"""What stands against what a stack wants to be watched."""

from collections.abc import Iterator

from gke_llm_inference.settings import ExistingCluster, Finding, StackSettings


def observability_findings(settings: StackSettings) -> Iterator[Finding]:
    """Problems and warnings of what a stack wants to be watched."""
    asked = settings.observability
    if asked.metrics.enabled and isinstance(settings.cluster, ExistingCluster):
        yield from _collection_problems(settings.cluster)


def _collection_problems(cluster: ExistingCluster) -> Iterator[Finding]:
    if not cluster.managed_prometheus:
        yield Finding(
            path="observability.metrics.enabled",
            what="needs a cluster with managed collection, and cluster.managedPrometheus is false",
            why="a PodMonitoring is read by the collectors of Managed Service for Prometheus alone",
            fix="gcloud container clusters update NAME --enable-managed-prometheus, then remove managedPrometheus: "
            "false; or leave metrics off",
        )
