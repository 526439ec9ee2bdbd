"""The example of capacity: tiers run out one after the other, replicas land in the list's order, and come back."""

from collections import Counter
from typing import Any

import pytest

from gke_llm_inference.catalog import load_catalog
from local.gke.lifetimes import RECLAIM
from local.gke.usage import Usage, report
from tests.cluster.support import NAMESPACE, Cluster, config_text, documents_of, is_ready, plan_of_file
from tests.planning.support import GEMMA, existing_stack, planned, standard_stack
from tests.support import REPOSITORY, Recordings

TIERS = ("reservation/l4-res", "onDemand/g2-standard-8", "flexStart", "spot/g2-standard-8")
A100 = ("onDemand/a2-highgpu-1g", "spot/a2-highgpu-1g")
LEFT = (
    "pod didn't trigger scale-up: compute class llm-inference-chat says DoNotScaleUp, and none of its tiers gives a "
    "node; tier 0 (reservation, g2-standard-8, l4-res): it ran out, and is asked again later; tier 1 "
)


def stock(cluster: Cluster, *texts: str) -> None:
    cluster.gke.set_stock(cluster.gke.stock.changed(texts))


def scaled(cluster: Cluster, replicas: int) -> None:
    cluster.apps.patch_namespaced_deployment_scale("chat", NAMESPACE, {"spec": {"replicas": replicas}})


def tiers(cluster: Cluster) -> Counter[str]:
    """How many pods are ready on each tier, by its place in the list."""
    annotations = {one.metadata.name: one.metadata.annotations for one in cluster.gpu_nodes()}
    return Counter(
        annotations[pod.spec.node_name].get("ccc_priority_index")
        for pod in cluster.pods("chat")
        if is_ready(pod) and pod.spec.node_name in annotations
    )


def land(cluster: Cluster, *expected: int) -> None:
    """Wait until so many pods are on the first, the second, ... tier."""
    wanted = Counter({str(index): count for index, count in enumerate(expected) if count})
    cluster.wait(lambda: tiers(cluster) == wanted, f"pods on {dict(wanted)}", 60)


def told(cluster: Cluster) -> set[str]:
    """What pods that wait for a node were told."""
    events: list[Any] = cluster.core.list_namespaced_event(NAMESPACE).items
    return {one.message for one in events if one.reason == "NotTriggerScaleUp"}


@pytest.mark.parametrize("mode", ["standard", "autopilot"])
def test_replicas_take_what_is_there_in_the_lists_order(
    mode: str, request: pytest.FixtureRequest, recordings: Recordings
) -> None:
    cluster: Cluster = request.getfixturevalue(mode)
    path = REPOSITORY / f"examples/capacity/Pulumi.{mode}.yaml"
    before = cluster.gke.usage
    stock(cluster, *(f"{tier}=1" for tier in TIERS), *(f"{tier}=0" for tier in A100))
    cluster.deploy(recordings.file(path), plan_of_file(path))
    land(cluster, 1, 1)
    scaled(cluster, 5)
    land(cluster, 1, 1, 1, 1)
    # The last one waits, as the list has no more.
    cluster.wait(lambda: any(one.startswith(LEFT) for one in told(cluster)), "an event", 30)
    assert tiers(cluster).total() == 4
    # A machine of another kind.
    stock(cluster, f"{A100[0]}=any")
    land(cluster, 1, 1, 1, 1, 1)
    # Google takes the Spot machine back, and has no other.
    stock(cluster, "spot=0")
    (spot,) = [one for one in cluster.gpu_nodes() if one.metadata.annotations["local-gke/machine"].startswith("spot")]
    cluster.core.patch_node(spot.metadata.name, {"metadata": {"annotations": {RECLAIM: "now"}}})
    land(cluster, 1, 1, 1, 0, 2)
    # What comes back is taken again, by its place in the list.
    stock(cluster, *(f"{tier}=any" for tier in TIERS[1:]), "spot=any")
    scaled(cluster, 7)
    land(cluster, 1, 3, 1, 0, 2)
    assert_counted(before, cluster.gke.usage)


def test_ordered_node_pools_are_taken_in_their_order(standard: Cluster, recordings: Recordings) -> None:
    raw = standard_stack(
        {
            "reserved": {"provisioning": {"model": "reservation", "name": "l4-res"}, "maxNodes": 3},
            "spot": {"provisioning": {"model": "spot"}, "maxNodes": 3},
        },
        {"chat": {**GEMMA, "replicas": 3, "capacity": [{"nodePool": "reserved"}, {"nodePool": "spot"}]}},
    )
    raw = {**raw, "huggingFace": {"tokenSource": "existingSecret"}}
    raw["cluster"]["gkeVersion"] = "1.36.4-gke.1000000"
    plan = planned(raw)
    stock(standard, "reservation=1")
    standard.gke.simulate(plan)
    for document in documents_of(recordings.config(config_text(raw))):
        if document["kind"] == "ComputeClass":
            # Only a deployment knows the names of its pools.
            document["spec"]["priorities"] = [{"nodepools": [pool.name]} for pool in plan.node_pools]
        standard.apply(document)
    land(standard, 1, 2)
    stock(standard, "spot=2", "reservation=any")
    scaled(standard, 4)
    land(standard, 2, 2)


def test_a_flex_start_machine_is_replaced_while_the_server_answers(standard: Cluster, recordings: Recordings) -> None:
    raw = existing_stack(
        {
            "chat": {
                **GEMMA,
                "replicas": 2,
                "capacity": [{"model": "flexStart", "maxRunSeconds": 10800, "recycleLeadSeconds": 5400}, "spot"],
            }
        }
    )
    raw["cluster"]["gkeVersion"] = "1.36.4-gke.1000000"
    plan = planned(raw)
    stock(standard, "spot=0")
    standard.deploy(recordings.config(config_text(raw)), plan)
    standard.expect_ready(plan.servers[0])
    # Names are used again, so nodes are told apart by what each is once only.
    first = {one.metadata.uid for one in standard.gpu_nodes()}
    ready = []

    def replaced() -> bool:
        ready.append(standard.ready("chat"))
        return first.isdisjoint(one.metadata.uid for one in standard.gpu_nodes())

    standard.wait(replaced, "other nodes", 60)
    assert min(ready) >= 1
    assert tiers(standard).total() >= 1


def assert_counted(before: Usage, after: Usage) -> None:
    """Every tier that was used is counted at the catalog's price."""
    catalog = load_catalog()
    seconds = {words: total - before.seconds.get(words, 0) for words, total in after.seconds.items()}
    lines = Usage({words: total for words, total in seconds.items() if total > 0}).lines(catalog)
    assert [(line.model, line.machine_type) for line in lines] == [
        ("flexStart", "g2-standard-8"),
        ("onDemand", "a2-highgpu-1g"),
        ("onDemand", "g2-standard-8"),
        ("reservation", "g2-standard-8"),
        ("spot", "g2-standard-8"),
    ]
    for line in lines:
        price, _ = catalog.price(line.machine_type, "us-central1")
        assert price is not None
        assert line.usd == pytest.approx(line.hours * (price.spot if line.model == "spot" else price.on_demand))
    assert report(lines)[-1] == f"{sum(line.usd or 0 for line in lines):.2f} USD in all at list price"
