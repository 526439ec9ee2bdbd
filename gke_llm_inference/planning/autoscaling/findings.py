"""What stands in the way of the servers of a stack that scale, whatever their size."""

from collections.abc import Iterator

from gke_llm_inference.planning.access.exposed import exposure_of
from gke_llm_inference.planning.autoscaling.collection import reads_cloud_monitoring
from gke_llm_inference.planning.autoscaling.source import StackSources
from gke_llm_inference.planning.plan import ClusterPlan
from gke_llm_inference.settings import (
    AutoscalingSettings,
    AutoscalingSource,
    ExistingCluster,
    Finding,
    HttpHolder,
    QueueHolder,
    StackSettings,
)


def autoscaling_findings(settings: StackSettings, cluster: ClusterPlan, sources: StackSources) -> list[Finding]:
    """Problems and warnings of what reads the metrics, and of what holds requests.

    Args:
        settings: the stack's settings.
        cluster: the cluster's plan.
        sources: what decides on the sources.

    """
    scaled = {key: one.autoscaling for key, one in sorted(settings.servers.items()) if one.autoscaling is not None}
    chosen = {key: sources.of(one)[0] for key, one in scaled.items()}
    findings: list[Finding] = []
    for key, asked in scaled.items():
        path, source = f"servers.{key}.autoscaling", chosen[key]
        where = f"{path}.source" if asked.source or not settings.autoscaling.source else "autoscaling.source"
        findings += _version_findings(where, source, sources)
        if source == "keda" and reads_cloud_monitoring(asked, sources) and cluster.project is None:
            findings.append(_no_project("KEDA"))
        findings += _holder_findings(path, asked, source, sources)
        if isinstance(asked.scale_to_zero, HttpHolder):
            exposure = exposure_of(settings.servers[key], settings.gateway)
            findings += [_exposed(path, exposure)] if exposure != "none" else []
    findings += _uncollected(settings, sources)
    findings += _together(settings, chosen)
    findings += _adapter_findings(settings, cluster, chosen)
    return list(dict.fromkeys(findings))


def _version_findings(where: str, source: AutoscalingSource, sources: StackSources) -> Iterator[Finding]:
    native = sources.facts.native.since
    if source == "native" and not sources.reaches(native):
        known = sources.version is not None
        yield Finding(
            path=where,
            what=f"native needs GKE {native} or later"
            + (f", and cluster.gkeVersion is {sources.version}" if known else ""),
            why="an older cluster does not serve AutoscalingMetric",
            fix="use adapter or keda" if known else "set cluster.gkeVersion to what the cluster runs, or use adapter",
            severity="problem" if known else "warning",
        )


def _no_project(reader: str) -> Finding:
    return Finding(
        path="gcp:project",
        what="is missing",
        why=f"{reader} reads the metrics of a Google Cloud project",
        fix="pulumi config set gcp:project PROJECT",
    )


def _holder_findings(
    path: str, asked: AutoscalingSettings, source: AutoscalingSource, sources: StackSources
) -> Iterator[Finding]:
    """Sources that cannot go to zero with what holds the requests."""
    holder, since = asked.scale_to_zero, sources.facts.scale_to_zero_since
    if isinstance(holder, HttpHolder) and source != "keda":
        yield Finding(
            path=f"{path}.source",
            what=f"{source} does not go with the HTTP add-on",
            why="the add-on is KEDA's, and KEDA alone wakes a server by what it holds",
            fix="use source: keda, or remove source",
        )
    if isinstance(holder, QueueHolder) and source == "native":
        yield Finding(
            path=f"{path}.source",
            what="native cannot read the length of a queue",
            why="AutoscalingMetric reads pods, and there is none to read at zero",
            fix=f"use source: keda, or adapter from GKE {since} on",
        )
    if isinstance(holder, QueueHolder) and source == "adapter" and not sources.reaches(since):
        known = f"cluster.gkeVersion is {sources.version}" if sources.version else "cluster.gkeVersion is not stated"
        yield Finding(
            path=f"{path}.minReplicas",
            what=f"0 with the adapter needs GKE {since} or later, and {known}",
            why="Kubernetes' own autoscaler rejects it before that",
            fix=f"use source: keda, minReplicas: 1, or set cluster.gkeVersion where the cluster runs {since}",
        )


def _uncollected(settings: StackSettings, sources: StackSources) -> Iterator[Finding]:
    """Metrics that a server is scaled by and the stack does not want."""
    metrics = settings.observability.metrics
    if metrics.enabled or "enabled" not in metrics.model_fields_set:
        return
    for key, server in sorted(settings.servers.items()):
        if server.autoscaling is not None and reads_cloud_monitoring(server.autoscaling, sources):
            yield Finding(
                path="observability.metrics.enabled",
                what=f"is false, and servers.{key} is scaled by its metrics",
                why=f"{sources.of(server.autoscaling)[0]} reads them from Cloud Monitoring, where nobody collects them",
                fix="remove it, or use source: native where the cluster has it",
            )
            return


def _exposed(path: str, exposure: str) -> Finding:
    return Finding(
        path=f"{path}.scaleToZero.holder",
        what=f"httpAddOn holds no request of the load balancer (exposure: {exposure})",
        why="it sends requests to the pods themselves, and without a pod it answers 503",
        fix="use minReplicas: 1 without scaleToZero, or exposure: none",
    )


def _together(settings: StackSettings, chosen: dict[str, AutoscalingSource]) -> Iterator[Finding]:
    """The adapter and KEDA in one cluster."""
    keda = [key for key, source in chosen.items() if source == "keda"]
    if not keda:
        return
    why = (
        f"servers.{keda[0]} uses KEDA, and both register the API external.metrics.k8s.io: the second would take the "
        "metrics of the first away"
    )
    for key, source in chosen.items():
        if source == "adapter":
            yield Finding(
                path=f"servers.{key}.autoscaling.source",
                what="the adapter cannot be in one cluster with KEDA",
                why=why,
                fix="use source: keda for both, or for neither",
            )
    if settings.autoscaling.metrics_adapter is not None:
        yield Finding(
            path="autoscaling.metricsAdapter",
            what=f"{settings.autoscaling.metrics_adapter}: the adapter cannot be in one cluster with KEDA",
            why=why,
            fix="remove it, or use another source than KEDA",
        )


def _adapter_findings(
    settings: StackSettings, cluster: ClusterPlan, chosen: dict[str, AutoscalingSource]
) -> Iterator[Finding]:
    asked = settings.autoscaling.metrics_adapter
    if asked == "create" and cluster.project is None:
        yield _no_project("the adapter")
    if asked is not None or not isinstance(cluster.settings, ExistingCluster):
        return
    for key, source in chosen.items():
        if source == "adapter":
            yield Finding(
                path=f"servers.{key}.autoscaling.source",
                what="whether the cluster has the Custom Metrics Stackdriver adapter is not known",
                why="without it the server stays at minReplicas; a cluster has one, whichever stack made it",
                fix="set autoscaling.metricsAdapter to existing, or to create for this stack to make it",
                severity="warning",
            )
