"""What machines have cost, and when they and their pods end."""

from typing import Any

import pytest

from local.gke.lifetimes import RECLAIM, Grace, ends_of, is_taken, is_to_recycle, seconds_left
from local.gke.usage import Usage, report
from tests.local_gke.classes import A100, FLEX_START, ON_DEMAND, RESERVATION, SPOT, class_of, node_of, waiting
from tests.planning.support import CATALOG

POOLS = [tier.pools[0] for tier in class_of(RESERVATION, ON_DEMAND, FLEX_START, SPOT, A100).tiers]
LIMITS = CATALOG.gke.shutdown


def test_hours_are_counted_for_each_tier_and_priced() -> None:
    nodes = [node_of(pool) for pool in POOLS]
    usage = Usage().after(nodes, 1800).after(nodes[:1], 1800)
    g2, a2 = (CATALOG.price(name, "us-central1")[0] for name in ("g2-standard-8", "a2-highgpu-1g"))
    assert g2 is not None
    assert a2 is not None
    total = g2.on_demand * 2 + g2.spot * 0.5 + a2.on_demand * 0.5
    assert report(usage.lines(CATALOG)) == [
        f"0.50 node-hours of g2-standard-8 (flexStart, us-central1): {g2.on_demand / 2:.2f} USD",
        f"0.50 node-hours of a2-highgpu-1g (onDemand, us-central1): {a2.on_demand / 2:.2f} USD",
        f"0.50 node-hours of g2-standard-8 (onDemand, us-central1): {g2.on_demand / 2:.2f} USD",
        f"1.00 node-hours of g2-standard-8 (reservation, us-central1): {g2.on_demand:.2f} USD",
        f"0.50 node-hours of g2-standard-8 (spot, us-central1): {g2.spot / 2:.2f} USD",
        f"{total:.2f} USD in all at list price",
    ]


def test_what_has_no_price_is_said_and_what_may_cost_less() -> None:
    usage = Usage(
        {
            "spot g4-standard-48 us-central1-a": 3600.0,
            "flexStart a2-highgpu-1g us-central1-a": 3600.0,
            "spot g2-standard-8 antarctica1-a": 3600.0,
        }
    )
    price, _ = CATALOG.price("a2-highgpu-1g", "us-central1")
    g4, _ = CATALOG.price("g4-standard-48", "us-central1")
    assert price is not None
    assert g4 is not None
    assert report(usage.lines(CATALOG)) == [
        f"1.00 node-hours of a2-highgpu-1g (flexStart, us-central1): {price.on_demand:.2f} USD at most",
        "1.00 node-hours of g2-standard-8 (spot, antarctica1): no price known",
        f"1.00 node-hours of g4-standard-48 (spot, us-central1): {g4.spot:.2f} USD",
        f"at least {price.on_demand + g4.spot:.2f} USD in all at list price",
    ]
    assert report([]) == []


def pod(seconds: int, grace: int) -> dict[str, Any]:
    containers = [{"lifecycle": {"preStop": {"sleep": {"seconds": seconds}}}}, {}]
    return {"spec": {"containers": containers, "terminationGracePeriodSeconds": grace}}


@pytest.mark.parametrize(
    ("given", "node_seconds", "spot_seconds"),
    [(pod(5, 60), 7, 7), (pod(50, 60), 15, 52), (pod(50, 20), 15, 20), (pod(300, 600), 15, 105)],
)
def test_a_pod_has_what_its_kubelet_has_before_the_machine_goes(
    given: dict[str, Any], node_seconds: int, spot_seconds: int
) -> None:
    usual, long = Grace.of(node_of(POOLS[1]), LIMITS), Grace.of(node_of(POOLS[3]), LIMITS)
    assert (usual, long) == (Grace(30, 15), Grace(120, 105))
    assert (usual.until_end(given), long.until_end(given)) == (node_seconds, spot_seconds)


def test_a_flex_start_machine_is_replaced_before_it_goes() -> None:
    flex = POOLS[2]
    node = node_of(flex, annotations=ends_of(flex, wall=1_000_000.0, speed=600))
    ages = [(0, False, False), (3599, False, False), (3601, True, False), (7199, True, False), (7200, True, True)]
    for age, recycled, taken in ages:
        wall = 1_000_000.0 + age / 600
        assert seconds_left(node, wall, 600) == pytest.approx(7200 - age, abs=0.01)
        assert (is_to_recycle(node, wall, 600), is_taken(node, wall + 1e-6, 600)) == (recycled, taken), age


def test_other_machines_stay_until_google_wants_them_back() -> None:
    spot = POOLS[3]
    assert ends_of(spot, wall=0, speed=1) == {}
    node = node_of(spot)
    assert (seconds_left(node, 1e12, 1), is_to_recycle(node, 1e12, 1), is_taken(node, 1e12, 1)) == (None, False, False)
    assert is_taken(node_of(spot, annotations={RECLAIM: "now"}), 0, 1)


def test_waiting_pods_are_of_no_account_for_hours() -> None:
    assert Usage().after([{"metadata": waiting("pod")["metadata"], "status": {}}], 60) == Usage()
