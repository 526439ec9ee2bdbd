"""What stands against what a stack wants to be watched."""

from collections.abc import Iterator

from gke_llm_inference.planning.plan import ClusterPlan
from gke_llm_inference.settings import AlertSettings, ExistingCluster, Finding, StackSettings


def observability_findings(settings: StackSettings, cluster: ClusterPlan, project: str | None) -> Iterator[Finding]:
    """Problems and warnings of what a stack wants to be watched.

    Args:
        settings: the stack's settings.
        cluster: the cluster's plan.
        project: its project in Google Cloud; None where it has none.

    """
    asked = settings.observability
    if asked.dashboards.enabled:
        yield from _dashboard_problems(settings, project)
    if asked.metrics.enabled and isinstance(settings.cluster, ExistingCluster):
        yield from _collection_problems(settings.cluster)
    if not asked.alerts.enabled:
        yield from _unused(asked.alerts)
        return
    if not asked.metrics.enabled:
        yield Finding(
            path="observability.alerts.enabled",
            what="is on while observability.metrics is off",
            why="alerts are about metrics, and without any collected nothing would ever be raised",
            fix="set observability.metrics.enabled: true",
        )
    if not asked.alerts.notification_channels:
        yield Finding(
            path="observability.alerts.notificationChannels",
            what="is empty, so that alerts reach nobody",
            why="Cloud Monitoring opens incidents all the same, but who does not look at them learns nothing",
            fix="name a channel; gcloud beta monitoring channels list shows those that exist",
            severity="warning",
        )
    yield from _cluster_problems(cluster)
    yield from _channel_problems(asked.alerts, cluster.project)


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


def _unused(alerts: AlertSettings) -> Iterator[Finding]:
    for key, given in (("notificationChannels", alerts.notification_channels), ("runbooks", alerts.runbooks)):
        if given:
            yield Finding(
                path=f"observability.alerts.{key}",
                what="has no effect",
                why="alerts are off, so that there is none to send or to link",
                fix=f"set observability.alerts.enabled: true, or remove {key}",
                severity="warning",
            )


def _cluster_problems(cluster: ClusterPlan) -> Iterator[Finding]:
    settings = cluster.settings
    if not isinstance(settings, ExistingCluster):
        return
    if settings.kubeconfig_context is not None:
        yield Finding(
            path="observability.alerts.enabled",
            what="needs a cluster in Google Cloud, and this one is a context of a kubeconfig",
            why="alert policies are made in the project that the cluster's metrics are in, which a kubeconfig does not "
            "name",
            fix="identify the cluster by name and location, or leave alerts off",
        )
    elif cluster.project is None:
        yield Finding(
            path="gcp:project",
            what="is missing, while alerts are on",
            why="alert policies belong to a project",
            fix="pulumi config set gcp:project PROJECT",
        )
    elif settings.stack_reference is not None:
        yield Finding(
            path="observability.alerts.enabled",
            what="tells servers apart by namespace and name alone",
            why="the cluster of a stackReference has its name only once that stack is read: servers of the same name "
            "on another cluster raise the same alerts, and the autoscaler's errors are not told",
            fix="identify the cluster by name and location, or give each cluster's servers a namespace of its own",
            severity="warning",
        )


def _channel_problems(alerts: AlertSettings, project: str | None) -> Iterator[Finding]:
    for index, channel in enumerate(alerts.notification_channels):
        owner = channel.split("/")[1]
        # A project's number is a name of it, too.
        if project is not None and owner != project and not owner.isdigit():
            yield Finding(
                path=f"observability.alerts.notificationChannels[{index}]",
                what=f"is a channel of the project {owner}, and the alerts are in {project}",
                why="Cloud Monitoring tells channels of an alert policy's own project alone",
                fix=f"make the channel in {project}",
            )
