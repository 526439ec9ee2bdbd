"""The alerts of a server: each condition in PromQL, its threshold from the plan, and why it is that one."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.alert_facts import AlertKind, AlertThresholds
from gke_llm_inference.catalog.metric_facts import Concept, ExposedMetric
from gke_llm_inference.planning.cost import Cost
from gke_llm_inference.planning.observability.plan import Condition
from gke_llm_inference.planning.observability.promql import Scope, duration, number, quantile
from gke_llm_inference.planning.observability.queries import metric_of
from gke_llm_inference.planning.plan import ServerPlan
from gke_llm_inference.planning.pod.names import SERVER_CONTAINER
from gke_llm_inference.settings import LatencyObjective, ServerSettings

_SHORT = 300
_WINDOW = 600
_MINUTE = 60
_OF_GENERATION: tuple[AlertKind, ...] = ("timeToFirstToken", "interTokenLatency", "kvCacheFull", "preemptions")


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A server, and what is known of it.

    Attributes:
        plan: its plan.
        settings: its settings.
        scope: whose series are its.
        cost: what the replicas cost that it has at least.
        catalog: the facts to decide by.

    """

    plan: ServerPlan
    settings: ServerSettings
    scope: Scope
    cost: Cost
    catalog: Catalog

    @property
    def has_no_pods(self) -> bool:
        """Whether it keeps its objects without pods."""
        return self.plan.autoscaling is None and self.plan.replicas == 0

    @property
    def ttft(self) -> LatencyObjective | None:
        """What the server is to be held to for the first token."""
        return self.settings.objectives.ttft if self.settings.objectives else None

    @property
    def tpot(self) -> LatencyObjective | None:
        """The same for each further token."""
        return self.settings.objectives.tpot if self.settings.objectives else None

    @property
    def thresholds(self) -> AlertThresholds:
        """Thresholds for what the plan does not say."""
        return self.catalog.alerts.thresholds

    def metric(self, concept: Concept) -> ExposedMetric | None:
        """The metric of a concept at the server's version; None where it has none."""
        return metric_of(concept, self.plan.task, self.plan.version, self.catalog.metrics[self.plan.kind])

    def mean(self, concept: Concept) -> str | None:
        """The mean of each series of a gauge over some minutes; None where the version has none."""
        metric = self.metric(concept)
        return None if metric is None else f"avg_over_time({self.scope.of(metric.name, _SHORT)})"


def conditions(server: Watched) -> Iterator[Condition]:
    """What raises an alert of a server, the most urgent first; nothing of one that has no pods."""
    if server.has_no_pods:
        return
    for make in (_no_replica, _crash_loop, _first_token, _next_token, _queue, _kv_cache, _preemptions, _idle):
        condition = make(server)
        if condition is not None:
            yield condition


def missing(server: Watched) -> Iterator[tuple[AlertKind, str]]:
    """What cannot be told of a server, and why."""
    if server.has_no_pods:
        return
    if server.plan.least_replicas == 0:
        yield "noReplica", "it may scale to none"
        yield "idleGpus", "it may scale to none"
    if server.plan.task != "generate":
        yield from ((kind, "it generates no text") for kind in _OF_GENERATION)
        return
    title = server.catalog.servers[server.plan.kind].title
    if server.metric("timeToFirstToken") is None:
        yield "timeToFirstToken", f"{title} does not measure it"
    elif server.ttft is None:
        yield "timeToFirstToken", "objectives.ttft is not stated"
    if server.tpot is None:
        yield "interTokenLatency", "objectives.tpot is not stated"
    if server.metric("preemptions") is None:
        yield "preemptions", f"{title} does not count them"


def _no_replica(server: Watched) -> Condition | None:
    if server.plan.least_replicas == 0:
        return None
    rollout, start = server.plan.rollout, server.plan.start
    stays = server.plan.least_replicas - rollout.max_unavailable > 0
    seconds = _minutes(max(0 if stays else start.new_node_seconds, server.thresholds.outage_seconds))
    return Condition(
        kind="noReplica",
        expression=f"(sum({server.scope.of('up')}) or vector(0)) < 1",
        seconds=seconds,
        threshold=f"none for {duration(seconds)}",
        why="an update leaves a replica in place"
        if stays
        else f"an update takes the only replicas away, and a start on a new node takes {start.new_node_seconds} s",
    )


def _crash_loop(server: Watched) -> Condition:
    facts, start = server.thresholds, server.plan.probes.startup_seconds
    window = _minutes(facts.restarts * (start + facts.back_off_seconds))
    return Condition(
        kind="crashLoop",
        # Half below, as rates of counts are extrapolated.
        expression=f"sum(increase({server.scope.restarts(SERVER_CONTAINER, window)})) > {number(facts.restarts - 0.5)}",
        seconds=0,
        threshold=f"{facts.restarts} restarts within {duration(window)}",
        why=f"each start may take {start} s, and Kubernetes waits up to {facts.back_off_seconds} s between two",
    )


def _first_token(server: Watched) -> Condition | None:
    return _latency(server, "timeToFirstToken", server.metric("timeToFirstToken"), server.ttft, "ttft")


def _next_token(server: Watched) -> Condition | None:
    # The objective is about each request's mean; where a version measures single tokens alone, those have to do.
    metric = server.metric("timePerOutputToken") or server.metric("interTokenLatency")
    return _latency(server, "interTokenLatency", metric, server.tpot, "tpot")


def _latency(
    server: Watched, kind: AlertKind, metric: ExposedMetric | None, objective: LatencyObjective | None, name: str
) -> Condition | None:
    if metric is None or objective is None:
        return None
    latency = quantile(objective.percentile, server.scope.of(metric.buckets, _WINDOW))
    return Condition(
        kind=kind,
        expression=f"{latency} > {number(objective.milliseconds / 1000)}",
        seconds=_SHORT,
        threshold=f"p{number(objective.percentile)} over {number(objective.milliseconds)} ms for {duration(_SHORT)}",
        why=f"the server's objectives.{name}, over the requests of the last {duration(_WINDOW)}",
    )


def _queue(server: Watched) -> Condition | None:
    mean = server.mean("waiting")
    if mean is None:
        return None
    limit, why = _waiting_limit(server)
    return Condition(
        kind="queue",
        expression=f"avg({mean}) > {limit}",
        seconds=_SHORT,
        threshold=f"over {limit} waiting a replica for {duration(_SHORT)}",
        why=why,
    )


def _waiting_limit(server: Watched) -> tuple[int, str]:
    """How many requests of each replica may wait: as many as it ends within the time that a first token may take."""
    facts, performance = server.thresholds, server.plan.performance
    objective = server.ttft
    if performance is None or performance.highest is None or objective is None:
        aimed = _waiting_target(server)
        if aimed is not None:
            return 2 * aimed, f"twice the queue that the autoscaler aims at, {aimed} a replica; no objective says more"
        return facts.waiting_per_replica, "twice the queue that Google's guide scales at; no objective says more"
    rate, seconds = performance.highest.rate, objective.milliseconds / 1000
    return (
        max(1, math.ceil(rate * seconds)),
        f"what a replica ends within objectives.ttft: {rate:.2f} requests a second for {number(seconds)} s",
    )


def _waiting_target(server: Watched) -> int | None:
    """Waiting requests of each replica that the autoscaler adds one at; None where it does not look at them."""
    scaling = server.plan.autoscaling
    return next((one.target for one in scaling.signals if one.name == "waiting"), None) if scaling else None


def _kv_cache(server: Watched) -> Condition | None:
    usage = server.mean("kvCacheUsage")
    if usage is None:
        used, limit = server.mean("kvCacheTokens"), server.mean("kvCacheTokenLimit")
        if used is None or limit is None:
            return None
        usage = f"{used} / {limit}"
    share = server.thresholds.kv_cache_usage
    memory = server.plan.memory
    holds = (
        f"; it holds {memory.state.kv_cache_tokens:,} tokens"
        if memory is not None and memory.state.kv_cache_tokens is not None
        else ""
    )
    return Condition(
        kind="kvCacheFull",
        expression=f"max({usage}) > {number(share)}",
        seconds=_WINDOW,
        threshold=f"a replica's over {number(share * 100)} % for {duration(_WINDOW)}",
        why=f"what is left is less than a batch grows by{holds}",
    )


def _preemptions(server: Watched) -> Condition | None:
    metric = server.metric("preemptions")
    if metric is None:
        return None
    return Condition(
        kind="preemptions",
        expression=f"sum(increase({server.scope.of(metric.name, _WINDOW)})) > 0",
        seconds=_WINDOW,
        threshold=f"again and again for {duration(_WINDOW)}",
        why="one now and then is the price of a full batch, a steady flow is work done twice",
    )


def _idle(server: Watched) -> Condition | None:
    running, finished = server.metric("running"), server.metric("finishedRequests")
    if running is None or finished is None or server.plan.least_replicas == 0:
        return None
    seconds = server.thresholds.idle_seconds
    busy = f"sum(max_over_time({server.scope.of(running.name, _SHORT)})) == 0"
    # Short requests begin and end between two collections.
    ended = f"sum(increase({server.scope.of(finished.name, _SHORT)})) > 0"
    return Condition(
        kind="idleGpus",
        expression=f"({busy}) unless ({ended})",
        seconds=seconds,
        threshold=f"no request for {duration(seconds)}",
        why=_price(server),
    )


def _price(server: Watched) -> str:
    gpus = server.plan.least_replicas * server.plan.gpu_count
    what = f"{gpus} {server.plan.gpu_type}"
    cost = server.cost
    if cost.hourly_usd is None:
        return f"{what} are paid for; their price is not known here"
    note = f"; {cost.note}" if cost.note else ""
    return f"{what} cost {cost.hourly_usd:.2f} USD an hour, {cost.monthly_usd:,.0f} a month, at list price{note}"


def _minutes(seconds: int) -> int:
    """Coarse, so that a better prediction changes few alerts; conditions are evaluated once a minute."""
    return math.ceil(seconds / _MINUTE) * _MINUTE
