"""Decides on what is watched of a stack."""

from collections.abc import Iterator, Sequence

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.alert_facts import AlertKind
from gke_llm_inference.catalog.metric_facts import ServerMetrics
from gke_llm_inference.planning.cost import replicas_cost
from gke_llm_inference.planning.names import dns_label
from gke_llm_inference.planning.observability.alerts import Watched, conditions, missing
from gke_llm_inference.planning.observability.plan import (
    AlertPlan,
    Condition,
    MetricsPlan,
    NotWatched,
    ObservabilityPlan,
)
from gke_llm_inference.planning.observability.promql import Scope, escaped
from gke_llm_inference.planning.observability.texts import alert_text, anchor
from gke_llm_inference.planning.plan import ClusterPlan, NodePoolPlan, ServerPlan
from gke_llm_inference.planning.pod.names import SERVER_PORT
from gke_llm_inference.settings import MetricsSettings, StackSettings

_AUTOSCALER_LOG = "container.googleapis.com/cluster-autoscaler-visibility"
_SCALE_UP_ERROR = "jsonPayload.resultInfo.results.errorMsg.messageId"


def plan_observability(
    settings: StackSettings,
    cluster: ClusterPlan,
    pools: Sequence[NodePoolPlan],
    servers: Sequence[ServerPlan],
    catalog: Catalog,
) -> ObservabilityPlan:
    """What is watched of a stack; nothing unless its settings ask for it.

    Args:
        settings: the stack's settings, without problems.
        cluster: the cluster's plan.
        pools: the node pools' plans.
        servers: the servers' plans.
        catalog: the facts to decide by.

    """
    asked = settings.observability
    if not asked.metrics.enabled:
        return ObservabilityPlan()
    metrics = tuple(_metrics(server, asked.metrics, catalog) for server in servers)
    if not asked.alerts.enabled:
        return ObservabilityPlan(metrics=metrics)
    prices = {pool.key: pool for pool in pools}
    watched = [
        Watched(
            plan=server,
            settings=settings.servers[server.key],
            scope=scope_of(server, cluster),
            cost=replicas_cost(
                server.least_replicas, server.gpu_count, prices.get(server.node_pool or ""), cluster, catalog
            ),
            catalog=catalog,
        )
        for server in servers
    ]
    alerts = _Alerts(cluster, asked.alerts.runbooks, catalog)
    return ObservabilityPlan(
        metrics=metrics,
        alerts=(
            *(alerts.of_server(server.plan, one) for server in watched for one in conditions(server)),
            *alerts.of_cluster(),
        ),
        not_watched=tuple(
            NotWatched(server=one.plan.key, kind=kind, why=why) for one in watched for kind, why in missing(one)
        ),
        channels=tuple(sorted(asked.alerts.notification_channels)),
        project=cluster.project,
    )


def scope_of(server: ServerPlan, cluster: ClusterPlan) -> Scope:
    """Whose series are a server's. Of a cluster whose name is not known, project and location may not be its own."""
    known = cluster.name is not None
    return Scope(
        namespace=server.namespace,
        job=server.name,
        grouped=server.group is not None,
        project=cluster.project if known else None,
        location=cluster.location if known else None,
        cluster=cluster.name,
    )


def samples_of(facts: ServerMetrics, version: str) -> tuple[str, ...]:
    """Names of all samples that a version exposes of what the catalog knows, sorted."""
    found = [metric for concept in facts.metrics if (metric := facts.metric(concept, version)) is not None]
    return tuple(sorted(name for metric in found for name in metric.samples))


def _metrics(server: ServerPlan, settings: MetricsSettings, catalog: Catalog) -> MetricsPlan:
    facts = catalog.metrics[server.kind]
    return MetricsPlan(
        server=server.key,
        name=server.name,
        namespace=server.namespace,
        selector=server.served_selector,
        labels=server.labels,
        port=SERVER_PORT,
        path=facts.path,
        interval_seconds=settings.interval_seconds,
        collected=() if settings.everything else samples_of(facts, server.version),
    )


class _Alerts:
    """Makes alert policies of conditions: titles, texts and links."""

    def __init__(self, cluster: ClusterPlan, runbooks: str | None, catalog: Catalog) -> None:
        self._cluster, self._runbooks, self._facts = cluster, runbooks, catalog.alerts.alerts

    def of_server(self, server: ServerPlan, condition: Condition) -> AlertPlan:
        """The alert of a server on a condition."""
        kind, facts = condition.kind, self._facts[condition.kind]
        names = {**self._names, "server": server.name, "namespace": server.namespace}
        return AlertPlan(
            kind=kind,
            server=server.key,
            name=dns_label(f"{server.name}-{anchor(kind)}"),
            title=f"{server.name}: {facts.title} ({self._place})",
            severity=facts.severity,
            condition=condition,
            log_filter=None,
            text=alert_text(kind, facts, names, condition.threshold, condition.why),
            runbook=self._runbook(kind),
            labels={"alert": anchor(kind), "namespace": server.namespace, "server": server.name},
        )

    def of_cluster(self) -> Iterator[AlertPlan]:
        """Alerts on what the servers of the stack share, by the cluster's log; none where its name is not known."""
        cluster, facts = self._cluster, self._facts["capacity"]
        if cluster.name is None or cluster.location is None:
            return
        yield AlertPlan(
            kind="capacity",
            server=None,
            name=anchor("capacity"),
            title=f"{facts.title} ({self._place})",
            severity=facts.severity,
            condition=None,
            log_filter="\n".join(
                [
                    'resource.type="k8s_cluster"',
                    f'resource.labels.cluster_name="{escaped(cluster.name)}"',
                    f'resource.labels.location="{escaped(cluster.location)}"',
                    f'log_id("{_AUTOSCALER_LOG}")',
                    f'{_SCALE_UP_ERROR}:"scale.up.error."',
                ]
            ),
            text=alert_text(
                "capacity",
                facts,
                self._names,
                "an entry of the autoscaler's log with a message scale.up.error",
                "each is a node that a pod waits for",
            ),
            runbook=self._runbook("capacity"),
            labels={"alert": anchor("capacity")},
        )

    @property
    def _names(self) -> dict[str, str]:
        cluster = self._cluster
        names = {"project": cluster.project, "cluster": cluster.name, "location": cluster.location}
        return {name: value for name, value in names.items() if value is not None}

    @property
    def _place(self) -> str:
        """Which cluster it is, for whoever has several."""
        return self._cluster.name or self._cluster.settings.mode

    def _runbook(self, kind: AlertKind) -> str | None:
        return f"{self._runbooks}#{anchor(kind)}" if self._runbooks else None
