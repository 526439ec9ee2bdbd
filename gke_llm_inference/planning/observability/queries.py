"""PromQL for what is asked of a server, whatever its version calls it."""

from dataclasses import dataclass

from gke_llm_inference.catalog.metric_facts import Concept, ExposedMetric, ServerMetrics
from gke_llm_inference.catalog.model_facts import Task
from gke_llm_inference.planning.observability.promql import pods_of, pods_of_groups

WINDOW = "5m"
"""What rates are taken over: ten scrapes, so that one that fails leaves no gap."""
# What is measured of a server that generates, and says nothing of one that pools.
_OF_GENERATION: frozenset[Concept] = frozenset(
    {
        *("decodeTime", "generationLength", "generationTokens", "interTokenLatency", "kvCacheUsage"),
        *("preemptions", "timePerOutputToken", "timeToFirstToken"),
    }
)


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """The metrics of one server.

    Attributes:
        facts: what the server measures.
        version: its version, which decides on the names.
        selector: what its series match, and those of no other server; see `matching`.
        task: what the server does, which decides on what says anything of it.

    """

    facts: ServerMetrics
    version: str
    selector: str
    task: Task = "generate"

    @property
    def generates(self) -> bool:
        """Whether the server generates text."""
        return self.task == "generate"

    def has(self, *concepts: Concept) -> bool:
        """Whether the version measures all of these."""
        return all(self._metric(one) is not None for one in concepts)

    def value(self, concept: Concept) -> str:
        """The series of a gauge.

        Raises:
            KeyError: the version does not measure it.

        """
        return self._series(self._known(concept).name)

    def rate(self, concept: Concept) -> str:
        """How fast a counter grows over all replicas, per second; of a histogram, the sum of what it observes.

        Raises:
            KeyError: the version does not measure it.

        """
        metric = self._known(concept)
        name = f"{metric.name}_sum" if metric.kind == "histogram" else metric.name
        return f"sum(rate({self._series(name)}[{WINDOW}]))"

    def quantile(self, concept: Concept, percentile: float) -> str:
        """A percentile of a histogram over all replicas; nothing where nothing was observed.

        Raises:
            KeyError: the version does not measure it.

        """
        buckets = self._series(self._known(concept).buckets)
        return f"histogram_quantile({percentile / 100:g}, sum by (le) (rate({buckets}[{WINDOW}])))"

    @property
    def replicas(self) -> str:
        """How many replicas are scraped."""
        return f"count(count by (pod) ({self.value('running')}))"

    def _series(self, name: str) -> str:
        return f"{name}{self.selector}"

    def _metric(self, concept: Concept) -> ExposedMetric | None:
        return metric_of(concept, self.task, self.version, self.facts)

    def _known(self, concept: Concept) -> ExposedMetric:
        metric = self._metric(concept)
        if metric is None:
            raise KeyError(concept)
        return metric


def metric_of(concept: Concept, task: Task, version: str, facts: ServerMetrics) -> ExposedMetric | None:
    """The metric of a concept; None where the version has none, or it says nothing of a server of that task."""
    return None if task != "generate" and concept in _OF_GENERATION else facts.metric(concept, version)


def matching(**labels: str | None) -> str:
    """What series match by their labels; a label that is None is not asked for."""
    told = ",".join(f'{name}="{value}"' for name, value in labels.items() if value is not None)
    return f"{{{told}}}"


def matching_pods(deployment: str, cluster: str | None, *, grouped: bool = False) -> str:
    """What series match whose label `pod` names a pod of a Deployment, or of a LeaderWorkerSet.

    Args:
        deployment: its name.
        cluster: name of the cluster; None where it is not known.
        grouped: whether it is a LeaderWorkerSet.

    """
    told = "" if cluster is None else f'cluster="{cluster}",'
    return f'{{{told}pod=~"{pods_of_groups(deployment) if grouped else pods_of(deployment)}"}}'
