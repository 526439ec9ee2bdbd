"""How a server scales, and what a cluster needs for it: plain, frozen data."""

from dataclasses import dataclass
from typing import Literal

from gke_llm_inference.settings.autoscaling import AutoscalingSource

SignalName = Literal["running", "waiting"]
"""Requests that are answered, or that wait until a replica has room."""


@dataclass(frozen=True, kw_only=True)
class Signal:
    """A metric of the server that decides on the number of its pods.

    Attributes:
        name: what it counts.
        metric: what the server's version calls it.
        target: requests for each pod that are aimed at.
        why: why so many.

    """

    name: SignalName
    metric: str
    target: int
    why: str


@dataclass(frozen=True, kw_only=True)
class ScalingRule:
    """How fast the number of pods changes in one direction.

    Attributes:
        window_seconds: how long the load must have asked for it.
        pods: how many pods come or go in a period at most.
        period_seconds: the period.
        why: why so.

    """

    window_seconds: int
    pods: int
    period_seconds: int
    why: str


@dataclass(frozen=True, kw_only=True)
class QueuePlan:
    """A subscription of Pub/Sub that holds requests while there is no pod.

    Attributes:
        subscription: its id.
        messages: messages for each pod that are aimed at.

    """

    subscription: str
    messages: int


@dataclass(frozen=True, kw_only=True)
class InterceptorPlan:
    """KEDA's HTTP add-on before a server, which holds requests while there is no pod.

    Attributes:
        hosts: hostnames by which clients call the server through it.
        url: where clients call it.
        scaler: where KEDA asks how many requests there are.
        port: port of the server's Service.
        wait_seconds: how long a request may be held until a pod answers.

    """

    hosts: tuple[str, ...]
    url: str
    scaler: str
    port: int
    wait_seconds: int


@dataclass(frozen=True, kw_only=True)
class KedaPlan:
    """What KEDA asks.

    Attributes:
        prometheus: address of Managed Service for Prometheus.
        polling_seconds: how often it asks.
        labels: labels of the server's series, sorted.

    """

    prometheus: str
    polling_seconds: int
    labels: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class AutoscalingPlan:
    """How the number of a server's pods follows its load.

    Attributes:
        name: name of the server's Deployment, and of what scales it.
        source: what reads the metrics.
        source_why: why it is that.
        min_replicas: fewest pods.
        max_replicas: most pods.
        bounds_why: what holds so many.
        signals: what decides, sorted; the largest answer counts.
        holds: requests that a pod has room for at once.
        cold_start_seconds: from a pod that finds no node to its first good answer.
        up: how fast pods come.
        down: how fast pods go.
        keda: what KEDA asks; None with another source.
        queue: the queue that holds requests; None without one.
        interceptor: the proxy that holds requests; None without one.

    """

    name: str
    source: AutoscalingSource
    source_why: str
    min_replicas: int
    max_replicas: int
    bounds_why: str
    signals: tuple[Signal, ...]
    holds: int
    cold_start_seconds: int
    up: ScalingRule
    down: ScalingRule
    keda: KedaPlan | None = None
    queue: QueuePlan | None = None
    interceptor: InterceptorPlan | None = None

    def target(self, name: SignalName) -> int:
        """Requests for each pod that are aimed at.

        Raises:
            StopIteration: there is no such signal.

        """
        return next(one.target for one in self.signals if one.name == name)


@dataclass(frozen=True, kw_only=True)
class MetricsAdapterPlan:
    """The Custom Metrics Stackdriver adapter, of which a cluster has one.

    Attributes:
        image: what it runs.
        namespace: its namespace.
        name: name of its objects.
        project: Google Cloud project whose metrics it reads.
        account_id: id of the Google service account that it acts as.

    """

    image: str
    namespace: str
    name: str
    project: str
    account_id: str
