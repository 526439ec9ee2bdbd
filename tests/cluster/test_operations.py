"""What happens to running servers: updates, scaling, lost machines, drains, deletion."""

import time
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException

from gke_llm_inference.planning.plan import StackPlan
from local.gke.lifetimes import RECLAIM
from local.gke.nodes import MANAGED
from local.gke.simulation import Simulation, Start, simulation_of
from tests.cluster.support import NAMESPACE, Cluster, Document, client, config_text, documents_of
from tests.planning.support import GEMMA, planned, standard_stack
from tests.support import Recordings


def stack(replicas: int, nodes: int, *, pool: Document | None = None, **server: Any) -> Document:
    """A Standard stack with one server and one pool of one GPU per node."""
    raw = standard_stack(
        {"l4": {"maxNodes": nodes, **(pool or {})}}, {"gemma": {**GEMMA, "replicas": replicas, **server}}
    )
    return {**raw, "huggingFace": {"tokenSource": "existingSecret"}}


def deploy(cluster: Cluster, recordings: Recordings, raw: Document) -> StackPlan:
    plan = planned(raw)
    cluster.deploy(recordings.config(config_text(raw)), plan)
    return plan


def run(cluster: Cluster, recordings: Recordings, raw: Document) -> StackPlan:
    plan = deploy(cluster, recordings, raw)
    cluster.expect_ready(plan.servers[0])
    return plan


def is_updated(cluster: Cluster, replicas: int) -> bool:
    deployment = cluster.apps.read_namespaced_deployment("gemma", NAMESPACE)
    status = deployment.status
    counts = {status.replicas, status.updated_replicas, status.ready_replicas}
    return bool(status.observed_generation == deployment.metadata.generation and counts == {replicas})


def test_an_update_without_a_spare_gpu_completes_and_keeps_serving(standard: Cluster, recordings: Recordings) -> None:
    run(standard, recordings, stack(2, 2))
    before = {pod.metadata.name for pod in standard.pods("gemma")}
    deploy(standard, recordings, stack(2, 2, maxModelLen=2048))
    lowest = []

    def look() -> bool:
        lowest.append(standard.ready("gemma"))
        assert len(standard.gpu_nodes()) <= 2
        return is_updated(standard, 2)

    standard.wait(look, "the update")
    assert min(lowest) >= 1
    assert before.isdisjoint(pod.metadata.name for pod in standard.pods("gemma"))


def test_the_only_pod_makes_room_for_its_successor(standard: Cluster, recordings: Recordings) -> None:
    run(standard, recordings, stack(1, 1))
    plan = deploy(standard, recordings, stack(1, 1, maxModelLen=2048))
    assert plan.servers[0].rollout.max_surge == 0
    standard.wait(lambda: is_updated(standard, 1), "the update")


def test_the_update_that_the_plan_avoids_would_wait_forever(standard: Cluster, recordings: Recordings) -> None:
    raw = stack(2, 2)
    run(standard, recordings, raw)
    (deployment,) = [one for one in documents_of(recordings.config(config_text(raw))) if one["kind"] == "Deployment"]
    deployment["spec"]["strategy"]["rollingUpdate"] = {"maxSurge": 1, "maxUnavailable": 0}
    deployment["spec"]["template"]["metadata"]["annotations"] = {"changed": "yes"}
    standard.apply(deployment)
    standard.wait(lambda: len(standard.pods("gemma")) == 3, "a third pod")
    time.sleep(4)
    assert not is_updated(standard, 2)
    assert [pod.status.phase for pod in standard.pods("gemma")].count("Pending") == 1


def test_scaling_up_adds_nodes_and_scaling_down_removes_them(standard: Cluster, recordings: Recordings) -> None:
    for replicas in (1, 5, 1):
        run(standard, recordings, stack(replicas, 5))
        standard.wait(lambda: len(standard.gpu_nodes()) == replicas, f"{replicas} nodes")  # noqa: B023 waited for here


def test_a_pool_never_grows_beyond_its_maximum(standard: Cluster, recordings: Recordings) -> None:
    run(standard, recordings, stack(2, 2))
    standard.apps.patch_namespaced_deployment_scale("gemma", NAMESPACE, {"spec": {"replicas": 3}})
    standard.wait(lambda: len(standard.pods("gemma")) == 3, "a third pod")
    time.sleep(2)
    assert len(standard.gpu_nodes()) == 2
    assert standard.ready("gemma") == 2


def test_a_node_that_falls_silent_is_replaced(standard: Cluster, recordings: Recordings) -> None:
    plan = run(standard, recordings, stack(1, 2))
    (pod,) = standard.pods("gemma")
    lost = pod.spec.node_name
    standard.core.patch_node(lost, {"metadata": {"labels": {MANAGED: None}}})
    standard.wait(
        lambda: all(node.metadata.name != lost or not is_ready(node) for node in standard.core.list_node().items),
        "the node counts as lost",
    )
    standard.wait(lambda: standard.ready("gemma") == 1 and pod.metadata.uid not in uids(standard), "a new pod")
    standard.expect_ready(plan.servers[0])


def is_ready(node: Any) -> bool:
    return any(one.type == "Ready" and one.status == "True" for one in node.status.conditions)


def uids(cluster: Cluster) -> set[str]:
    return {pod.metadata.uid for pod in cluster.pods("gemma")}


def test_a_spot_machine_that_google_takes_back_is_replaced(standard: Cluster, recordings: Recordings) -> None:
    raw = stack(1, 2, pool={"provisioning": {"model": "spot"}})
    plan = run(standard, recordings, raw)
    (pod,) = standard.pods("gemma")
    node = standard.core.read_node(pod.spec.node_name)
    assert node.metadata.labels["cloud.google.com/gke-spot"] == "true"
    assert {(taint.key, taint.value) for taint in node.spec.taints} == {
        ("cloud.google.com/gke-spot", "true"),
        ("nvidia.com/gpu", "present"),
    }
    # Google gives 30 seconds, of which the kubelet keeps half for system pods.
    assert pod.spec.termination_grace_period_seconds <= 15
    standard.core.patch_node(node.metadata.name, {"metadata": {"annotations": {RECLAIM: "now"}}})
    standard.wait(lambda: pod.metadata.uid not in uids(standard) and standard.ready("gemma") == 1, "a new pod")
    standard.expect_ready(plan.servers[0])


def test_a_drain_takes_one_pod_at_a_time(standard: Cluster, recordings: Recordings) -> None:
    run(standard, recordings, stack(2, 3))
    first, second = standard.pods("gemma")
    standard.wait(
        lambda: (
            client.PolicyV1Api(standard.api)
            .read_namespaced_pod_disruption_budget("gemma", NAMESPACE)
            .status.disruptions_allowed
            == 1
        ),
        "the budget",
    )
    evict(standard, first)
    with pytest.raises(ApiException) as refused:
        evict(standard, second)
    assert refused.value.status == 429
    standard.wait(lambda: standard.ready("gemma") == 2, "the first pod's successor")

    def evicted() -> bool:
        try:
            evict(standard, second)
        except ApiException:
            return False
        return True

    standard.wait(evicted, "the second eviction")


def evict(cluster: Cluster, pod: Any) -> None:
    name = pod.metadata.name
    cluster.core.create_namespaced_pod_eviction(
        name, NAMESPACE, client.V1Eviction(metadata=client.V1ObjectMeta(name=name, namespace=NAMESPACE))
    )


def test_deleting_a_stack_leaves_nothing(standard: Cluster, recordings: Recordings) -> None:
    raw = stack(2, 2)
    run(standard, recordings, raw)
    for document in reversed(documents_of(recordings.config(config_text(raw)))):
        standard.delete(document)
    standard.wait(lambda: NAMESPACE not in standard.namespaces(), "the namespace is gone")
    standard.wait(lambda: not standard.gpu_nodes(), "the GPU nodes are gone")
    assert standard.core.list_persistent_volume().items == []


def test_a_server_that_takes_longer_than_its_probe_allows_restarts_again_and_again(
    standard: Cluster, recordings: Recordings
) -> None:
    raw = stack(1, 1)
    deploy(standard, recordings, raw)
    pools = simulation_of([planned(raw)]).pools
    standard.gke.simulate_as(Simulation(pools, (Start(NAMESPACE, "gemma", 0, 601, 600),)))
    for pod in standard.pods("gemma"):
        standard.core.delete_namespaced_pod(pod.metadata.name, NAMESPACE)

    def looping() -> bool:
        statuses = [one for pod in standard.pods("gemma") for one in pod.status.container_statuses or ()]
        return any(
            one.restart_count >= 2 and one.state.waiting and one.state.waiting.reason == "CrashLoopBackOff"
            for one in statuses
        )

    standard.wait(looping, "a crash loop")
    assert standard.ready("gemma") == 0


def test_an_update_that_never_gets_ready_fails_by_its_deadline(standard: Cluster, recordings: Recordings) -> None:
    raw = stack(1, 1)
    standard.gke.simulate_as(Simulation(simulation_of([planned(raw)]).pools, (Start(NAMESPACE, "gemma", 0, 601, 600),)))
    for document in documents_of(recordings.config(config_text(raw))):
        if document["kind"] == "Deployment":
            document["spec"]["progressDeadlineSeconds"] = 4
        standard.apply(document)

    def failed() -> bool:
        conditions = standard.apps.read_namespaced_deployment("gemma", NAMESPACE).status.conditions or ()
        return any(one.type == "Progressing" and one.reason == "ProgressDeadlineExceeded" for one in conditions)

    standard.wait(failed, "the deadline")


def test_a_servers_account_may_do_nothing(standard: Cluster, recordings: Recordings) -> None:
    run(standard, recordings, stack(1, 1))
    api = standard.impersonating(f"system:serviceaccount:{NAMESPACE}:gemma")
    review = client.AuthorizationV1Api(api).create_self_subject_rules_review(
        client.V1SelfSubjectRulesReview(spec=client.V1SelfSubjectRulesReviewSpec(namespace=NAMESPACE))
    )
    allowed = {
        (verb, resource)
        for rule in review.status.resource_rules
        for verb in rule.verbs
        for resource in rule.resources or ()
    }
    # What every authenticated client may do: ask who it is and what it may.
    assert allowed == {
        ("create", "selfsubjectaccessreviews"),
        ("create", "selfsubjectreviews"),
        ("create", "selfsubjectrulesreviews"),
    }
    core: Any = client.CoreV1Api(api)
    calls: list[Any] = [
        lambda: core.list_namespaced_secret(NAMESPACE),
        lambda: core.list_namespaced_pod(NAMESPACE),
        core.list_node,
    ]
    for call in calls:
        with pytest.raises(ApiException) as refused:
            call()
        assert refused.value.status == 403


def test_a_new_token_restarts_the_pods_and_the_same_one_does_not(standard: Cluster, recordings: Recordings) -> None:
    raw = {**stack(1, 1), "huggingFace": {"tokenSource": "config"}}
    plan = planned(raw)
    standard.gke.simulate(plan)
    tokens = ("hf_plantedPlantedPlanted1", "hf_plantedPlantedPlanted1", "hf_plantedPlantedPlanted2")
    pods = []
    for token in tokens:
        apply_with_token(standard, documents_of(recordings.config(config_text(raw))), token)
        standard.wait(lambda: is_updated(standard, 1), "the update")
        pods.append(uids(standard))
    assert pods[0] == pods[1]
    assert pods[1].isdisjoint(pods[2])
    carriers = [
        standard.core.list_namespaced_pod(NAMESPACE),
        standard.apps.list_namespaced_deployment(NAMESPACE),
        standard.apps.list_namespaced_replica_set(NAMESPACE),
    ]
    assert not any(token in str(one) for one in carriers for token in tokens)


def apply_with_token(cluster: Cluster, documents: list[Document], token: str) -> None:
    """As the engine does: the Secret first, then what depends on the version that it got."""
    secret = next(one for one in documents if one["kind"] == "Secret")
    secret["stringData"] = {"hf_api_token": token}
    order = {"Namespace": 0, "Secret": 1}
    version = ""
    for document in sorted(documents, key=lambda one: order.get(one["kind"], 2)):
        if document["kind"] == "Deployment":
            annotations = document["spec"]["template"]["metadata"]["annotations"]
            assert annotations == {"llm-inference/token-version": ""}
            annotations["llm-inference/token-version"] = version
        applied = cluster.apply(document)
        if document is secret:
            version = applied["metadata"]["resourceVersion"]
