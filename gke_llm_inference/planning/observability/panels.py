"""The panels of a server: what each shows, from what, and against which line. One definition for every dashboard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gke_llm_inference.catalog.gpu_metric_facts import GpuMetrics
    from gke_llm_inference.catalog.metric_facts import Concept
    from gke_llm_inference.planning.observability.queries import Metrics
    from gke_llm_inference.settings import LatencyObjective, ObjectiveSettings

Unit = Literal["requests", "percent", "seconds", "tokens/s", "per minute", "requests/s", "replicas", "USD/h", "USD"]
PERCENTILES = (50, 95, 99)
"""What is drawn of a latency."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a panel.

    Attributes:
        name: what its legend says.
        query: PromQL with one series at most.

    """

    name: str
    query: str


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """A level that the lines are held against.

    Attributes:
        name: what it is.
        value: where it is, in the panel's unit.

    """

    name: str
    value: float


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A chart over time.

    Attributes:
        title: what it shows.
        what: how to read it.
        unit: unit of its lines and thresholds.
        lines: what is drawn.
        thresholds: levels, lowest first.

    """

    title: str
    what: str
    unit: Unit
    lines: tuple[Line, ...]
    thresholds: tuple[Threshold, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Row:
    """The panels of one server.

    Attributes:
        server: its name in the configuration.
        title: what it is, in words.
        panels: what is drawn of it.

    """

    server: str
    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What the panels of a server depend on.

    Attributes:
        server: its name in the configuration.
        title: the server, its version and model in words.
        metrics: its metrics.
        objectives: how fast it must be; None where nothing is said.
        usd_per_replica_hour: list price of a replica's share of its nodes; None where it is not known.
        price_note: what the price leaves out.
        gpu_metrics: what is measured of its GPUs; None where nothing is.
        gpu_selector: what the series of its GPUs match.

    """

    server: str
    title: str
    metrics: Metrics
    objectives: ObjectiveSettings | None = None
    usd_per_replica_hour: float | None = None
    price_note: str = ""
    gpu_metrics: GpuMetrics | None = None
    gpu_selector: str = ""


def row_of(server: Watched) -> Row:
    """The panels of a server; what its version does not measure is left out."""
    return Row(
        server=server.server,
        title=server.title,
        panels=(
            *_requests(server),
            *_latency(server),
            *_tokens(server),
            *_gpus(server),
            *_cost(server),
        ),
    )


def _requests(server: Watched) -> Iterator[Panel]:
    metrics = server.metrics
    yield Panel(
        title="Requests",
        what="Requests over all replicas. A queue that stays is more load than the replicas serve.",
        unit="requests",
        lines=(
            Line(name="running", query=f"sum({metrics.value('running')})"),
            Line(name="waiting", query=f"sum({metrics.value('waiting')})"),
        ),
    )
    usage = _kv_cache(metrics)
    if usage:
        yield Panel(
            title="KV cache",
            what="Share of the KV cache in use. Near 100 % requests wait for others to end, or are preempted.",
            unit="percent",
            lines=(
                Line(name="fullest replica", query=f"100 * max({usage})"),
                Line(name="mean", query=f"100 * avg({usage})"),
            ),
        )
    if metrics.has("preemptions"):
        yield Panel(
            title="Preemptions",
            what="Running requests that lost their KV cache and start again. Each costs its prompt and answer twice.",
            unit="per minute",
            lines=(Line(name="preemptions", query=f"60 * {metrics.rate('preemptions')}"),),
        )
    finished: dict[Concept, str] = {
        "finishedRequests": "finished",
        "failedRequests": "failed",
        "rejectedRequests": "rejected",
    }
    yield Panel(
        title="Finished requests",
        what="Requests that ended, however they ended.",
        unit="requests/s",
        lines=tuple(
            Line(name=name, query=metrics.rate(concept)) for concept, name in finished.items() if metrics.has(concept)
        ),
    )


def _kv_cache(metrics: Metrics) -> str:
    """Use of the KV cache by replica, from 0 to 1; empty where nothing tells it."""
    if metrics.has("kvCacheUsage"):
        return metrics.value("kvCacheUsage")
    if metrics.has("kvCacheTokens", "kvCacheTokenLimit"):
        return f"{metrics.value('kvCacheTokens')} / {metrics.value('kvCacheTokenLimit')}"
    return ""


def _latency(server: Watched) -> Iterator[Panel]:
    metrics, objectives = server.metrics, server.objectives
    if metrics.has("timeToFirstToken"):
        yield _percentiles(
            metrics,
            "timeToFirstToken",
            "Time to first token",
            "From a request's arrival to its first token: queue and prefill.",
            objectives.ttft if objectives else None,
        )
    if metrics.has("queueTime") and not metrics.has("timeToFirstToken"):
        yield _percentiles(
            metrics,
            "queueTime",
            "Time in the queue",
            "From a request's arrival to its prefill. The server does not measure the time to the first token."
            if metrics.generates
            else "From a request's arrival to its step.",
        )
    of_request = metrics.has("timePerOutputToken")
    concept: Concept = "timePerOutputToken" if of_request else "interTokenLatency"
    if metrics.has(concept):
        yield _percentiles(
            metrics,
            concept,
            "Time per output token",
            "Mean of each request." if of_request else "Of every token; the version does not tell it by request.",
            objectives.tpot if objectives else None,
        )
    if of_request and metrics.has("interTokenLatency"):
        yield _percentiles(
            metrics,
            "interTokenLatency",
            "Time between tokens",
            "Of every token: its high percentiles are the pauses that a user sees.",
        )
    yield _percentiles(metrics, "endToEnd", "Whole requests", "From a request's arrival to its last token.")


def _percentiles(
    metrics: Metrics, concept: Concept, title: str, what: str, objective: LatencyObjective | None = None
) -> Panel:
    drawn = sorted({*PERCENTILES, *([objective.percentile] if objective else [])})
    return Panel(
        title=title,
        what=what,
        unit="seconds",
        lines=tuple(Line(name=f"p{one:g}", query=metrics.quantile(concept, one)) for one in drawn),
        thresholds=(Threshold(name=f"objective of p{objective.percentile:g}", value=objective.milliseconds / 1000),)
        if objective
        else (),
    )


def _tokens(server: Watched) -> Iterator[Panel]:
    metrics = server.metrics
    prompts = Line(name="prompts", query=metrics.rate(_counted(metrics, "promptTokens", "promptLength")))
    if not metrics.generates:
        what = "Tokens of the inputs over all replicas."
        yield Panel(title="Tokens", what=what, unit="tokens/s", lines=(prompts,))
        return
    yield Panel(
        title="Tokens",
        what="Tokens over all replicas: of prompts that were read, and of answers. A request counts when it ends where "
        "the server counts no tokens as they come."
        if not metrics.has("generationTokens")
        else "Tokens over all replicas: of prompts that were read, and of answers.",
        unit="tokens/s",
        lines=(
            prompts,
            Line(name="answers", query=_answered(metrics)),
        ),
    )
    if metrics.has("prefixCacheHits", "prefixCacheQueries"):
        hits, asked = metrics.rate("prefixCacheHits"), metrics.rate("prefixCacheQueries")
        yield Panel(
            title="Prefix cache",
            what="Share of the prompts' tokens that the prefix cache had already.",
            unit="percent",
            lines=(Line(name="hits", query=f"100 * {hits} / ({asked} > 0)"),),
        )


def _answered(metrics: Metrics) -> str:
    return metrics.rate(_counted(metrics, "generationTokens", "generationLength"))


def _counted(metrics: Metrics, tokens: Concept, lengths: Concept) -> Concept:
    return tokens if metrics.has(tokens) else lengths


def _gpus(server: Watched) -> Iterator[Panel]:
    if server.gpu_metrics is None:
        return
    names, labels = server.gpu_metrics, server.gpu_selector
    yield Panel(
        title="GPU utilization",
        what="Share of time in which the GPUs computed. It says that they were busy, not how well they were used.",
        unit="percent",
        lines=(
            Line(name="mean", query=f"avg({names.utilization}{labels})"),
            Line(name="least busy GPU", query=f"min({names.utilization}{labels})"),
        ),
    )
    used, free = f"{names.memory_used}{labels}", f"{names.memory_free}{labels}"
    yield Panel(
        title="GPU memory",
        what="Share of the GPUs' memory in use. A server takes what it may at its start, so the line is flat.",
        unit="percent",
        lines=(Line(name="fullest GPU", query=f"100 * max({used} / ({used} + {free}))"),),
    )


def _cost(server: Watched) -> Iterator[Panel]:
    metrics, price = server.metrics, server.usd_per_replica_hour
    if price is None:
        yield Panel(
            title="Replicas",
            what=f"Replicas that answer the collector. Their price is not known: {server.price_note}.",
            unit="replicas",
            lines=(Line(name="replicas", query=metrics.replicas),),
        )
        return
    note = f"; {server.price_note}" if server.price_note else ""
    hourly = f"{price:g} * {metrics.replicas}"
    yield Panel(
        title="Cost per hour",
        what=f"List price of the replicas that answer the collector, {price:,.2f} USD an hour each{note}.",
        unit="USD/h",
        lines=(Line(name="all replicas", query=hourly),),
    )
    if not metrics.generates:
        return
    most = server.objectives.max_usd_per_million_tokens if server.objectives else None
    yield Panel(
        title="Cost per million output tokens",
        what=f"List price of the replicas over the tokens of their answers, while at least one comes a second{note}.",
        unit="USD",
        lines=(Line(name="all replicas", query=f"{hourly} / (0.0036 * {_answered(metrics)} > 0.0036)"),),
        thresholds=(Threshold(name="objective", value=most),) if most is not None else (),
    )
