"""The real autoscaler of Kubernetes behind a metrics API: pods follow a queue, within their bounds, and do not flap."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from gke_llm_inference.planning.autoscaling.plan import AutoscalingPlan
from local.gke import LocalGke
from tests.cluster.autoscaled import Autoscaled, shortened
from tests.cluster.metrics_api import served
from tests.cluster.queue_of_pods import QueueOfPods
from tests.cluster.support import Cluster, Document, config_text, documents_of
from tests.planning.support import QWEN, planned, standard_stack
from tests.support import Recordings

SPEED = 120.0
"""Two minutes in a second: the autoscaler looks every quarter of a second, which are 30 s; on GKE, every 15 s."""
MOST = 4
LITTLE, SOME, MUCH = 0.25, 1.5, 2.0
"""Loads, as parts of what one pod can answer: for one pod, for two, and for more."""
EXTERNAL = "queue"
SERVER: Document = {**QWEN, "maxModelLen": 4096, "maxOutputTokens": 128, "autoscaling": {"maxReplicas": MOST}}
RAW = {
    **standard_stack({"l4": {"maxNodes": MOST}}, {"chat": SERVER}, gkeVersion="1.37.0-gke.3100000"),
    "huggingFace": {"tokenSource": "existingSecret"},
}


@dataclass(frozen=True)
class Scene:
    """A server that scales, and the autoscaler that its stack has for it."""

    scaled: Autoscaled
    plan: AutoscalingPlan
    rendered: Document

    def has(self, pods: int) -> None:
        """Wait until the server has so many pods, all ready."""
        self.scaled.until(lambda: self.scaled.is_of(pods), f"{pods} ready pods", 6 * self.plan.cold_start_seconds)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, recordings: Recordings) -> Iterator[Scene]:
    """A pool without nodes, and a server on it whose first pod starts."""
    plan = planned(RAW)
    scaling = plan.servers[0].autoscaling
    assert scaling is not None
    documents = documents_of(recordings.config(config_text(RAW)))
    (rendered,) = [one["spec"] for one in documents if one["kind"] == "HorizontalPodAutoscaler"]
    names = [one["pods"]["metric"]["name"] for one in rendered["metrics"]]
    gke = LocalGke(tmp_path_factory.mktemp("autoscaling") / "gke")
    try:
        gke.start("standard", speed=SPEED, progress=print)
        gke.simulate(plan)
        cluster = Cluster(gke)
        metrics = dict(zip(names, (signal.name for signal in scaling.signals), strict=True))
        made = Autoscaled(cluster, "chat", QueueOfPods(20, scaling.holds), metrics, EXTERNAL, SPEED)
        with served(cluster, made.api, tmp_path_factory.mktemp("adapter")):
            for document in documents:
                if document["kind"] != "HorizontalPodAutoscaler":
                    cluster.apply(document)
            yield Scene(made, scaling, rendered)
    finally:
        gke.reset()


@pytest.fixture
def one_pod(scene: Scene) -> Scene:
    """The server with its autoscaler, which has brought it to one pod."""
    scene.scaled.rate(LITTLE)
    scene.scaled.scale_by(shortened(scene.rendered, SPEED))
    scene.has(1)
    scene.scaled.sizes[:] = [1]
    return scene


def test_the_windows_are_those_of_a_cold_start(scene: Scene) -> None:
    """What the others shorten."""
    cold = scene.plan.cold_start_seconds
    assert cold > 300
    assert (scene.rendered["minReplicas"], scene.rendered["maxReplicas"]) == (1, MOST)
    up, down = scene.rendered["behavior"]["scaleUp"], scene.rendered["behavior"]["scaleDown"]
    assert (up["stabilizationWindowSeconds"], down["stabilizationWindowSeconds"]) == (0, cold)
    assert up["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 60}]
    assert down["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": cold}]


def test_pods_follow_a_queue_within_their_bounds_and_turn_once(one_pod: Scene) -> None:
    scaled, cold = one_pod.scaled, one_pod.plan.cold_start_seconds
    scaled.rate(MUCH)
    one_pod.has(MOST)
    # All of them came within one cold start. The queue that came meanwhile asks for more than the pool has room for.
    assert scaled.sizes == [1, 2, 3, 4]
    assert sum(scaled.queue.waiting().values()) > 10 * MOST * one_pod.plan.target("waiting")
    assert {one.reason for one in scaled.autoscaler().status.conditions} >= {"TooManyReplicas"}
    assert len(scaled.cluster.gpu_nodes()) == MOST
    scaled.rate(SOME)
    one_pod.has(2)
    scaled.for_a_while(cold)
    scaled.rate(LITTLE)
    one_pod.has(1)
    assert scaled.sizes == [1, 2, 3, 4, 3, 2, 1]
    assert "system:serviceaccount:kube-system:horizontal-pod-autoscaler" in scaled.api.users


def test_by_a_queue_alone_and_without_windows_they_come_and_go(one_pod: Scene) -> None:
    rule = {"stabilizationWindowSeconds": 0, "policies": [{"type": "Pods", "value": MOST, "periodSeconds": 60}]}
    target = {"type": "AverageValue", "averageValue": str(one_pod.plan.target("waiting"))}
    hasty = {
        **one_pod.rendered,
        "metrics": [{"type": "External", "external": {"metric": {"name": EXTERNAL}, "target": target}}],
        "behavior": {"scaleUp": rule, "scaleDown": rule},
    }
    one_pod.scaled.scale_by(shortened(hasty, SPEED))
    one_pod.scaled.rate(SOME)
    one_pod.scaled.until(lambda: one_pod.scaled.turns >= 3, "pods come and go", 8 * one_pod.plan.cold_start_seconds)
