"""The real autoscaler of Kubernetes behind a metrics API: pods follow a queue, within their bounds, and do not flap."""

from collections.abc import Iterator

import pytest

from local.gke import LocalGke
from local.gke.simulation import Simulation, Start, simulation_of
from tests.cluster.autoscaled import Autoscaled, shortened
from tests.cluster.metrics_api import served
from tests.cluster.queue_of_pods import QueueOfPods
from tests.cluster.support import NAMESPACE, Cluster, Document, config_text, documents_of
from tests.planning.support import QWEN, planned, standard_stack
from tests.support import Recordings

SPEED = 60.0
"""A minute in a second: the autoscaler looks every quarter of a second, which are 15 s, as on GKE."""
NODE, IMAGE, START = 90, 60, 240
"""Simulated seconds until a new pod's node is there, its image, and from then until it answers."""
MOST = 4
LITTLE, SOME, MUCH = 0.25, 1.5, 2.5
"""Loads, as parts of what one pod can answer: for one pod, for two, for four."""
WAITING, RUNNING, EXTERNAL = "autoscaling.gke.io|chat|queue", "autoscaling.gke.io|chat|running", "queue"
RENDERED: Document = {
    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "chat"},
    "minReplicas": 1,
    "maxReplicas": MOST,
    "metrics": [
        {
            "type": "Pods",
            "pods": {"metric": {"name": name}, "target": {"type": "AverageValue", "averageValue": target}},
        }
        for name, target in ((WAITING, "4"), (RUNNING, "12"))
    ],
    "behavior": {
        "scaleUp": {"stabilizationWindowSeconds": 0, "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]},
        "scaleDown": {
            "stabilizationWindowSeconds": 600,
            "policies": [{"type": "Pods", "value": 1, "periodSeconds": 300}],
        },
    },
}
HASTY: Document = {
    **RENDERED,
    "metrics": [
        {
            "type": "External",
            "external": {"metric": {"name": EXTERNAL}, "target": {"type": "AverageValue", "averageValue": "4"}},
        }
    ],
    "behavior": {
        "scaleUp": {"stabilizationWindowSeconds": 0, "policies": [{"type": "Pods", "value": 4, "periodSeconds": 60}]},
        "scaleDown": {"stabilizationWindowSeconds": 0, "policies": [{"type": "Pods", "value": 4, "periodSeconds": 60}]},
    },
}
"""By the queue alone, and without the time that a pod takes to start."""


@pytest.fixture(scope="module")
def scaled(tmp_path_factory: pytest.TempPathFactory, recordings: Recordings) -> Iterator[Autoscaled]:
    """A server of one pod, on a pool that begins without nodes."""
    server = {**QWEN, "maxModelLen": 4096, "maxOutputTokens": 128, "replicas": 1}
    raw = {**standard_stack({"l4": {"maxNodes": MOST}}, {"chat": server})}
    raw = {**raw, "huggingFace": {"tokenSource": "existingSecret"}}
    gke = LocalGke(tmp_path_factory.mktemp("autoscaling") / "gke")
    try:
        gke.start("standard", speed=SPEED, progress=print)
        pools = simulation_of([planned(raw)]).pools
        gke.simulate_as(Simulation(pools, (Start(NAMESPACE, "chat", IMAGE, START, 600),)))
        cluster = Cluster(gke)
        made = Autoscaled(
            cluster, "chat", QueueOfPods(20, 15), {WAITING: "waiting", RUNNING: "running"}, EXTERNAL, SPEED
        )
        with served(cluster, made.api, tmp_path_factory.mktemp("adapter")):
            for document in documents_of(recordings.config(config_text(raw))):
                if document["kind"] == "Deployment":
                    del document["spec"]["replicas"]
                cluster.apply(document)
            yield made
    finally:
        gke.reset()


@pytest.fixture
def four_pods(scaled: Autoscaled, request: pytest.FixtureRequest) -> Autoscaled:
    """The server whose autoscaler has brought it to one pod and, by much load, to four; some load is left."""
    scaled.rate(LITTLE)
    scaled.scale_by(shortened(RENDERED, SPEED))
    scaled.until(lambda: scaled.is_of(1), "one pod", 4000)
    scaled.sizes[:] = [1]
    scaled.scale_by(shortened(request.param, SPEED))
    scaled.rate(MUCH)
    scaled.until(lambda: scaled.is_of(MOST), "four pods", 2 * (NODE + IMAGE + START) + 300)
    return scaled


@pytest.mark.parametrize("four_pods", [RENDERED], indirect=True, ids=["rendered"])
def test_pods_follow_a_queue_and_turn_once(four_pods: Autoscaled) -> None:
    scaled, limits = four_pods, shortened(RENDERED, SPEED)["behavior"]["scaleDown"]
    # The queue that came while they started asks for many more than the pool has room for.
    assert scaled.sizes == [1, 2, 3, 4]
    assert sum(scaled.queue.waiting().values()) > 10 * MOST * 4
    assert {one.reason for one in scaled.autoscaler().status.conditions} >= {"TooManyReplicas"}
    assert len(scaled.cluster.gpu_nodes()) == MOST
    scaled.rate(SOME)
    scaled.until(lambda: scaled.is_of(2), "two pods", 4000)
    scaled.for_a_while((limits["stabilizationWindowSeconds"] + limits["policies"][0]["periodSeconds"]) * SPEED)
    assert scaled.is_of(2)
    scaled.rate(LITTLE)
    scaled.until(lambda: scaled.is_of(1), "one pod", 4000)
    assert scaled.sizes == [1, 2, 3, 4, 3, 2, 1]
    assert "system:serviceaccount:kube-system:horizontal-pod-autoscaler" in scaled.api.users


@pytest.mark.parametrize("four_pods", [HASTY], indirect=True, ids=["hasty"])
def test_without_windows_they_come_and_go(four_pods: Autoscaled) -> None:
    four_pods.rate(SOME)
    four_pods.until(lambda: four_pods.turns >= 3, "pods come and go", 4000)
