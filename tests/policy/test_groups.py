"""Policies look at both pod templates of a LeaderWorkerSet, and count the GPUs of all of its pods."""

from typing import Any

from gke_llm_inference.policy.resources import Resource
from gke_llm_inference.policy.workloads import containers, is_server, pod_specs, replica_gpus, selects

TYPE = "kubernetes:leaderworkerset.x-k8s.io/v1:LeaderWorkerSet"


def template(name: str, gpus: int = 8) -> dict[str, Any]:
    container = {"name": name, "resources": {"limits": {"nvidia.com/gpu": str(gpus)}}}
    return {"metadata": {"labels": {"app": "large"}}, "spec": {"containers": [container]}}


def groups(*, leader: bool = True, size: int = 3) -> Resource:
    own = {"size": size, "workerTemplate": template("worker")} | (
        {"leaderTemplate": template("leader")} if leader else {}
    )
    return Resource(urn="", type=TYPE, name="large", properties={"spec": {"leaderWorkerTemplate": own}})


def test_both_templates_are_looked_at() -> None:
    assert is_server(groups())
    assert [one.title for one in containers(groups())] == ["container leader", "container worker of workers"]
    assert [path for path, _ in pod_specs(groups())] == [
        "spec.leaderWorkerTemplate.leaderTemplate.spec",
        "spec.leaderWorkerTemplate.workerTemplate.spec",
    ]


def test_without_a_leader_of_its_own_every_pod_is_of_the_template_of_workers() -> None:
    (container,) = containers(groups(leader=False))
    assert not container.is_worker


def test_the_gpus_of_every_pod_are_counted() -> None:
    assert [replica_gpus(groups(leader=leader, size=3)) for leader in (True, False)] == [24, 24]
    assert replica_gpus(groups(size=1)) == 8


def test_labels_that_the_controller_gives_may_match() -> None:
    assert selects({"matchLabels": {"app": "large", "leaderworkerset.sigs.k8s.io/worker-index": "0"}}, groups())
    assert not selects({"matchLabels": {"app": "other", "leaderworkerset.sigs.k8s.io/worker-index": "0"}}, groups())
