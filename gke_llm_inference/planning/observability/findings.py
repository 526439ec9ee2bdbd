"""What stands against what a stack wants to be watched."""

from collections.abc import Iterator

from gke_llm_inference.settings import ExistingCluster, Finding, StackSettings


def observability_findings(settings: StackSettings, project: str | None) -> Iterator[Finding]:
    """Problems and warnings of what a stack wants to be watched.

    Args:
        settings: the stack's settings.
        project: its project in Google Cloud; None where it has none.

    """
    asked = settings.observability
    if asked.dashboards.enabled:
        yield from _dashboard_problems(settings, project)
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


def _dashboard_problems(settings: StackSettings, project: str | None) -> Iterator[Finding]:
    if not settings.observability.metrics.enabled:
        yield Finding(
            path="observability.dashboards.enabled",
            what="needs observability.metrics.enabled",
            why="the dashboards show what is collected, and would be empty",
            fix="set observability.metrics.enabled: true",
        )
    if project is None:
        yield Finding(
            path="observability.dashboards.enabled",
            what="needs a project in Google Cloud",
            why="a dashboard of Cloud Monitoring belongs to one",
            fix="pulumi config set gcp:project PROJECT; or leave dashboards off",
        )
