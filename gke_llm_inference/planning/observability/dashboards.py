"""Decides on what dashboards show of a stack: its servers with their names of metrics, objectives and prices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gke_llm_inference.planning.cost import replicas_cost
from gke_llm_inference.planning.observability.panels import Row, Watched, row_of
from gke_llm_inference.planning.observability.queries import Metrics, matching, matching_pods

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gke_llm_inference.catalog import Catalog
    from gke_llm_inference.planning.plan import ClusterPlan, NodePoolPlan, ServerPlan
    from gke_llm_inference.settings import StackSettings


def plan_rows(
    settings: StackSettings,
    cluster: ClusterPlan,
    servers: Sequence[ServerPlan],
    pools: Sequence[NodePoolPlan],
    catalog: Catalog,
) -> tuple[Row, ...]:
    """What dashboards show of a stack, a row for each server; nothing where no metrics are collected.

    Args:
        settings: the stack's settings, without problems.
        cluster: the cluster.
        servers: the servers, sorted by name.
        pools: the node pools.
        catalog: the names of metrics, and the prices.

    """
    if not settings.observability.metrics.enabled:
        return ()
    by_key = {pool.key: pool for pool in pools}
    return tuple(
        row_of(_watched(settings, cluster, server, by_key.get(server.node_pool or ""), catalog)) for server in servers
    )


def _watched(
    settings: StackSettings, cluster: ClusterPlan, server: ServerPlan, pool: NodePoolPlan | None, catalog: Catalog
) -> Watched:
    cost = replicas_cost(server.group.nodes if server.group else 1, server.gpu_count, pool, cluster, catalog)
    facts = catalog.servers[server.kind]
    return Watched(
        server=server.key,
        title=f"{server.key}: {facts.title} {server.version}, {server.model}",
        metrics=Metrics(
            facts=catalog.metrics[server.kind],
            version=server.version,
            selector=matching(cluster=cluster.name, namespace=server.namespace, job=server.name),
            task=server.task,
        ),
        objectives=settings.servers[server.key].objectives,
        usd_per_replica_hour=cost.hourly_usd,
        price_note=cost.note,
        gpu_metrics=catalog.gpu_metrics if settings.observability.gpu_metrics.enabled else None,
        gpu_selector=matching_pods(server.name, cluster.name, grouped=server.group is not None),
    )
