"""A server whose pods follow a simulated queue by an autoscaler of the control plane, and what became of its size."""

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tests.cluster.metrics_api import MetricsApi
from tests.cluster.queue_of_pods import QueueOfPods
from tests.cluster.support import NAMESPACE, Cluster, Document, client, is_ready

_LOOK_SECONDS = 0.1


def shortened(spec: Document, speed: float) -> Document:
    """The spec of an autoscaler whose windows and periods are as much shorter as simulated time is faster."""
    seconds = ("stabilizationWindowSeconds", "periodSeconds")

    def changed(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: math.ceil(one / speed) if key in seconds else changed(one) for key, one in sorted(value.items())
            }
        return [changed(one) for one in value] if isinstance(value, list) else value

    return {**spec, "behavior": changed(spec["behavior"])}


@dataclass
class Autoscaled:
    """One server, and the queue before its pods.

    Attributes:
        server: name of its Deployment.
        metrics: which metrics of a pod say how many requests run, and how many wait.
        external: the metric that says how many wait altogether.
        speed: simulated seconds in one second.
        sizes: numbers of pods that were asked for, one after the other.
        api: the metrics of its pods that are ready, as a server answers to nobody while it loads its model.

    """

    cluster: Cluster
    server: str
    queue: QueueOfPods
    metrics: Mapping[str, str]
    external: str
    speed: float
    sizes: list[int] = field(default_factory=list)
    api: MetricsApi = field(init=False)
    _began: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.api = MetricsApi(self._of_pods, self._altogether)

    @property
    def turns(self) -> int:
        """How often the number of pods changed its direction."""
        signs = [new > old for old, new in pairwise(self.sizes)]
        return sum(one != other for one, other in pairwise(signs))

    def rate(self, pods: float) -> None:
        """Let requests come from now on as fast as so many pods answer them."""
        with self._lock:
            self._look()
            self.queue.rate = pods * self.queue.capacity

    def scale_by(self, spec: Document) -> None:
        """Give the server an autoscaler, or another one."""
        self.cluster.apply(
            {
                "apiVersion": "autoscaling/v2",
                "kind": "HorizontalPodAutoscaler",
                "metadata": {"name": self.server, "namespace": NAMESPACE},
                "spec": spec,
            }
        )

    def autoscaler(self) -> Any:
        """The autoscaler, with its status."""
        return client.AutoscalingV2Api(self.cluster.api).read_namespaced_horizontal_pod_autoscaler(
            self.server, NAMESPACE
        )

    def until(self, condition: Callable[[], bool], what: str, seconds: float) -> None:
        """Wait until something is so, for so many simulated seconds at most, and write down all sizes meanwhile."""
        ends = time.monotonic() + seconds / self.speed
        while True:
            scale = self.cluster.apps.read_namespaced_deployment_scale(self.server, NAMESPACE)
            if not self.sizes or self.sizes[-1] != scale.spec.replicas:
                self.sizes.append(scale.spec.replicas)
            if condition():
                return
            assert time.monotonic() < ends, f"{what}: not within {seconds:g} s; {self.sizes}, {self.queue.load}"
            time.sleep(_LOOK_SECONDS)

    def for_a_while(self, seconds: float) -> None:
        """Let so many simulated seconds go by."""
        ends = time.monotonic() + seconds / self.speed
        self.until(lambda: time.monotonic() > ends, "time goes by", seconds + 60 * self.speed)

    def is_of(self, pods: int) -> bool:
        """Whether so many pods are asked for, and ready, and no others are there."""
        found = self.cluster.pods(self.server)
        return self.sizes[-1] == len(found) == sum(map(is_ready, found)) == pods

    def _look(self) -> None:
        ready = [pod.metadata.name for pod in self.cluster.pods(self.server) if is_ready(pod)]
        self.queue.advance((time.monotonic() - self._began) * self.speed, ready)

    def _of_pods(self, metric: str) -> dict[str, float] | None:
        with self._lock:
            self._look()
            values = {"running": self.queue.running, "waiting": self.queue.waiting}
            return values[self.metrics[metric]]() if metric in self.metrics else None

    def _altogether(self, metric: str) -> float | None:
        with self._lock:
            self._look()
            return sum(self.queue.waiting().values()) if metric == self.external else None
