"""Decides how a server's pods follow its load."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.planning.autoscaling.pace import pace_down, pace_up
from gke_llm_inference.planning.autoscaling.plan import (
    AutoscalingPlan,
    InterceptorPlan,
    KedaPlan,
    MetricsAdapterPlan,
    QueuePlan,
    Signal,
    SignalName,
)
from gke_llm_inference.planning.autoscaling.source import StackSources
from gke_llm_inference.planning.autoscaling.target import Room, room_of, running_target, waiting_target
from gke_llm_inference.planning.names import dns_label
from gke_llm_inference.settings import (
    AutoscalingSettings,
    ExistingCluster,
    Finding,
    HttpHolder,
    QueueHolder,
    StackAutoscalingSettings,
)

if TYPE_CHECKING:
    from gke_llm_inference.planning.plan import ClusterPlan, ServerPlan, StartPlan
    from gke_llm_inference.planning.stages import StackFrame, TieredServer, TimedServer

_PROJECT = "PROJECT"


def plan_autoscaling(
    server: "TieredServer", start: "StartPlan", sources: StackSources, *, port: int
) -> tuple[AutoscalingPlan | None, list[Finding]]:
    """How a server scales, with problems and warnings of it; None where it does not, or nothing is known to aim at.

    Args:
        server: the server, with its place and its speed.
        start: how long its start takes.
        sources: what decides on what reads its metrics.
        port: port of its Service.

    """
    asked, stack = server.settings.autoscaling, server.stack
    if asked is None or server.memory is None:
        return None, []
    catalog, name = stack.catalog, dns_label(server.key)
    source, why = sources.of(asked)
    room = room_of(server.memory, server.performance, catalog.memory)
    signals, findings = _signals(server, asked, room)
    passed = server.capacity.wait_seconds if server.capacity else 0
    # A pod that is added is never the first, but what is held while there is none may wait for that.
    longest, first = start.later_node_seconds + passed, start.new_node_seconds + passed
    keda = _keda(stack.cluster, stack.namespace, name, catalog) if source == "keda" else None
    holder = asked.scale_to_zero
    interceptor = (
        _interceptor(name, stack.namespace, sources.asked.keda_namespace, port, first, catalog)
        if isinstance(holder, HttpHolder)
        else None
    )
    plan = AutoscalingPlan(
        name=name,
        source=source,
        source_why=why,
        min_replicas=asked.min_replicas,
        max_replicas=asked.max_replicas,
        bounds_why=_bounds(server, stack.cluster),
        # The interceptor counts waiting requests among the running ones, and is asked for nothing else.
        signals=signals if interceptor is None else tuple(one for one in signals if one.name == "running"),
        holds=room.requests,
        cold_start_seconds=longest,
        up=pace_up(longest, asked.min_replicas, asked.max_replicas),
        down=pace_down(longest, catalog.autoscaling),
        keda=keda,
        queue=QueuePlan(subscription=holder.subscription, messages=holder.messages)
        if isinstance(holder, QueueHolder)
        else None,
        interceptor=interceptor,
    )
    return plan, findings


def plan_metrics_adapter(
    asked: StackAutoscalingSettings, stack: "StackFrame", servers: "Iterable[ServerPlan]", *, name: str
) -> MetricsAdapterPlan | None:
    """The adapter that a stack makes; None where it makes none.

    Args:
        asked: what the stack says.
        stack: what its servers have around them.
        servers: its servers.
        name: the stack's own name, of which the service account's id is made.

    """
    catalog, cluster = stack.catalog, stack.cluster
    is_used = any(server.autoscaling is not None and server.autoscaling.source == "adapter" for server in servers)
    makes_cluster = not isinstance(cluster.settings, ExistingCluster)
    makes = asked.metrics_adapter == "create" or (asked.metrics_adapter is None and is_used and makes_cluster)
    if not makes or cluster.project is None:
        return None
    facts = catalog.autoscaling.adapter
    return MetricsAdapterPlan(
        image=stack.image(facts.image),
        namespace=facts.namespace,
        name=facts.name,
        project=cluster.project,
        account_id=dns_label(f"{name}-metrics", catalog.gke.name_limits.service_account_id),
    )


def _signals(server: "TimedServer", asked: AutoscalingSettings, room: Room) -> tuple[tuple[Signal, ...], list[Finding]]:
    target, path = asked.target, f"{server.path}.autoscaling.target"
    running, running_why = running_target(room, server.performance)
    waiting, waiting_why = waiting_target(server.performance, server.stack.catalog.autoscaling.waiting_requests)
    if target.running_requests is not None:
        running, running_why = target.running_requests, "the stack states it"
    if target.waiting_requests is not None:
        waiting, waiting_why = target.waiting_requests, "the stack states it"
    signals: list[Signal] = []
    findings = list(_target_findings(path, asked, room, server))
    goals: tuple[tuple[SignalName, int, str], ...] = (
        ("running", running, running_why),
        ("waiting", waiting, waiting_why),
    )
    for name, value, why in goals:
        metric = server.stack.catalog.metrics[server.settings.server].metric(name, server.version)
        if metric is not None:
            signals.append(Signal(name=name, metric=metric.name, target=value, why=why))
    return tuple(signals), findings


def _target_findings(path: str, asked: AutoscalingSettings, room: Room, server: "TimedServer") -> Iterator[Finding]:
    """What a stated target has against it: a pod never has more running requests than it has room for."""
    stated = asked.target.running_requests
    if stated is None or stated <= room.requests or server.memory is None:
        return
    most = server.memory.limits.max_num_seqs
    certain = room.is_of_workload or stated > most
    bound = f"the server answers {most:,} at once at most" if stated > most else f"{room.requests:,}, {room.bound}"
    yield Finding(
        path=f"{path}.runningRequests",
        what=f"{stated:,} are more than a pod answers at once",
        why=f"{bound}; the rest waits, so that the load of a pod "
        + ("never comes to the target" if certain else "may never come to the target"),
        fix=f"use {room.requests:,} or less, or remove it"
        + ("" if certain else "; with a workload the lengths of requests are known"),
        severity="problem" if certain else "warning",
    )


def _bounds(server: "TieredServer", cluster: "ClusterPlan") -> str:
    pool = server.pool
    if len(server.tier_pools) > 1:
        names = ", ".join(f"nodePools.{one.key}" for one in server.tier_pools)
        return f"{names} grow as far as all of their servers at their most need"
    if server.capacity is not None and server.capacity.compute_class is not None:
        return "its compute class makes nodes as far as the project's quota goes"
    if pool is not None:
        clients = pool.settings.sharing.max_clients if pool.settings.sharing else 1
        gpus = pool.settings.max_nodes * pool.settings.accelerator.count
        shared = f", each for {clients} pods" if clients > 1 else ""
        return f"nodePools.{pool.key} grows to {gpus:,} GPUs{shared}, which hold all of its servers at their most"
    if cluster.profile == "autopilot":
        return "Autopilot makes nodes as far as the project's quota goes"
    return "the nodes are not in the configuration"


def _keda(cluster: "ClusterPlan", namespace: str, name: str, catalog: Catalog) -> KedaPlan:
    facts = catalog.autoscaling.keda
    labels = {"namespace": namespace, "job": name}
    if cluster.name is not None:
        labels["cluster"] = cluster.name
    if cluster.location is not None:
        labels["location"] = cluster.location
    return KedaPlan(
        prometheus=facts.prometheus.replace(_PROJECT, cluster.project or _PROJECT),
        polling_seconds=facts.polling_seconds,
        labels=tuple(sorted(labels.items())),
    )


def _interceptor(
    name: str, namespace: str, keda_namespace: str, port: int, longest: int, catalog: Catalog
) -> InterceptorPlan:
    facts = catalog.autoscaling.http_add_on
    return InterceptorPlan(
        hosts=(f"{name}.{namespace}", f"{name}.{namespace}.svc.cluster.local"),
        url=f"http://{facts.interceptor}.{keda_namespace}.svc.cluster.local:{facts.interceptor_port}",
        scaler=f"{facts.scaler}.{keda_namespace}:{facts.scaler_port}",
        port=port,
        # Twice what the start is expected to take, as for the startup probe.
        wait_seconds=2 * longest,
    )
