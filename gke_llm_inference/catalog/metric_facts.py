"""What the inference servers count and measure, and under which name each version exposes it to Prometheus."""

from typing import Literal

from packaging.version import Version
from pydantic import Field

from gke_llm_inference.catalog.facts import Facts, ServerKind
from gke_llm_inference.catalog.files import directory, read

MetricKind = Literal["gauge", "counter", "histogram"]
MetricUnit = Literal["requests", "seconds", "tokens", "ratio", "events", "info"]
Concept = Literal[
    "running",
    "waiting",
    "kvCacheUsage",
    "kvCacheTokens",
    "kvCacheTokenLimit",
    "preemptions",
    "timeToFirstToken",
    "interTokenLatency",
    "timePerOutputToken",
    "endToEnd",
    "queueTime",
    "prefillTime",
    "decodeTime",
    "promptTokens",
    "generationTokens",
    "promptLength",
    "generationLength",
    "finishedRequests",
    "failedRequests",
    "rejectedRequests",
    "prefixCacheHits",
    "prefixCacheQueries",
    "loraRequests",
    "cacheConfig",
]
"""What can be asked of a server, whatever it calls it."""


class MetricName(Facts):
    """A name that a metric has from a version on."""

    since: str
    name: str | None = Field(default=None, pattern=r"^[a-z_][a-z0-9_]*(:[a-z0-9_]+)?$")
    """As it stands in what the server exposes; of a histogram, without `_bucket`, `_sum` and `_count`. None where the
    version no longer has it."""


class ExposedMetric(Facts):
    """A metric of one version of a server."""

    name: str
    kind: MetricKind
    unit: MetricUnit

    @property
    def cloud_monitoring_type(self) -> str:
        """Its type in Cloud Monitoring, as Managed Service for Prometheus writes it."""
        return f"prometheus.googleapis.com/{self.name}/{self.kind}"

    @property
    def samples(self) -> tuple[str, ...]:
        """The names of the series that it consists of."""
        parts = ("bucket", "count", "sum")
        return tuple(f"{self.name}_{part}" for part in parts) if self.kind == "histogram" else (self.name,)

    @property
    def buckets(self) -> str:
        """The name of a histogram's buckets.

        Raises:
            ValueError: the metric is no histogram.

        """
        if self.kind != "histogram":
            raise ValueError(f"{self.name} is a {self.kind} and has no buckets")
        return f"{self.name}_bucket"


class Metric(Facts):
    """One concept of a server, under its names."""

    kind: MetricKind
    unit: MetricUnit
    what: str
    """What it says, where the concept's name alone would mislead."""
    names: tuple[MetricName, ...] = Field(min_length=1)
    """Oldest version first."""


class ServerMetrics(Facts):
    """The metrics of one server."""

    source: str
    checked: str
    """How the names are held against the server's own source."""
    date: str
    path: str
    """Where the server exposes them, without an API key."""
    metrics: dict[Concept, Metric]

    def metric(self, concept: Concept, version: str) -> ExposedMetric | None:
        """The metric of a concept at a version; None where that version has none."""
        metric = self.metrics.get(concept)
        if metric is None:
            return None
        names = [one.name for one in metric.names if Version(one.since) <= Version(version)]
        if not names or names[-1] is None:
            return None
        return ExposedMetric(name=names[-1], kind=metric.kind, unit=metric.unit)


def read_metrics() -> dict[ServerKind, ServerMetrics]:
    """The facts that ship with the package, by server.

    Raises:
        pydantic.ValidationError: a file does not have the shape that this module states.

    """
    kinds: tuple[ServerKind, ...] = ("tgi", "vllm")
    root = directory("servers/metrics")
    return {kind: ServerMetrics.model_validate(read(root / f"{kind}.yaml")) for kind in kinds}
