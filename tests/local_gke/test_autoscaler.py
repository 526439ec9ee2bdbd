"""The simulated autoscaler over hours: tiers run out and come back, machines end, pods are told."""

from pathlib import Path

import pytest

from local.gke.lifetimes import RECLAIM
from tests.local_gke.classes import FLEX_START, ON_DEMAND, RESERVATION, SPOT, document_of, waiting
from tests.local_gke.cloud import Cloud

MACHINE, COOL, WAIT = 110, 310, 1810
"""Seconds until a node is there, until a tier is asked again, until a flex-start request is given up; and a look."""


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    found = Cloud(tmp_path)
    found.declare(document_of(RESERVATION, ON_DEMAND, FLEX_START, SPOT))
    return found


def test_replicas_land_in_the_lists_order_and_recover(cloud: Cloud) -> None:
    cloud.has(reservation=1, onDemand=1, flexStart=1, spot=1)
    for number in range(5):
        cloud.run(waiting(f"pod-{number}"))
    cloud.after(MACHINE)
    # The fifth waits for a flex-start machine, and asks for a Spot one after that.
    assert cloud.nodes == ["flexStart", "onDemand", "reservation"]
    cloud.after(WAIT, every=30)
    cloud.after(MACHINE)
    assert cloud.nodes == ["flexStart", "onDemand", "reservation", "spot"]
    assert sorted(cloud.indices) == ["0", "1", "2", "3"]
    assert cloud.phases["pod-4"] == "Pending"
    cloud.has(reservation=1, onDemand=2, flexStart=1, spot=1)
    cloud.after(COOL + MACHINE)
    assert cloud.homes["pod-4"] == "onDemand"
    assert len(cloud.homes) == 5


def test_a_tier_that_ran_out_is_asked_again_after_five_minutes(cloud: Cloud) -> None:
    cloud.declare(document_of(ON_DEMAND, SPOT))
    cloud.has(onDemand=0)
    cloud.run(waiting("first"))
    cloud.after(MACHINE)
    assert cloud.homes == {"first": "spot"}
    cloud.has()
    cloud.run(waiting("second"))
    cloud.after(MACHINE)
    assert cloud.homes == {"first": "spot", "second": "spot"}
    cloud.after(COOL)
    cloud.run(waiting("third"))
    cloud.after(MACHINE)
    assert cloud.homes["third"] == "onDemand"


def test_pods_wait_where_nothing_is_left_and_are_told_once(cloud: Cloud) -> None:
    cloud.declare(document_of(ON_DEMAND, SPOT))
    cloud.has(onDemand=0, spot=0)
    cloud.run(waiting("pod"))
    cloud.after(2 * COOL)
    assert (cloud.nodes, cloud.phases) == ([], {"pod": "Pending"})
    assert cloud.events == [
        "pod NotTriggerScaleUp: pod didn't trigger scale-up: compute class gemma-l4 says DoNotScaleUp, and none of its "
        "tiers gives a node; tier 0 (onDemand, g2-standard-8): it ran out, and is asked again later; "
        "tier 1 (spot, g2-standard-8): it ran out, and is asked again later"
    ]
    cloud.has(onDemand=0)
    cloud.after(COOL + MACHINE)
    assert cloud.homes == {"pod": "spot"}
    assert cloud.events[1:] == ["pod TriggeredScaleUp: pod triggered scale-up: tier 1 (spot, g2-standard-8)"]


def test_a_flex_start_request_takes_the_machine_that_comes_while_it_waits(cloud: Cloud) -> None:
    cloud.declare(document_of(FLEX_START, SPOT))
    cloud.has(flexStart=0)
    cloud.run(waiting("pod"))
    cloud.after(WAIT / 2)
    assert cloud.nodes == []
    cloud.has()
    cloud.after(MACHINE)
    assert cloud.homes == {"pod": "flexStart"}


def test_the_pods_of_a_flex_start_machine_move_before_it_ends(cloud: Cloud) -> None:
    cloud.declare(document_of(FLEX_START))
    cloud.run(waiting("old"))
    cloud.after(MACHINE)
    (first,) = cloud.names
    cloud.allow_evictions(allowed=False)
    cloud.after(3600, every=100)
    cloud.after(MACHINE)
    # Its successor is there, and a budget keeps the pod where it is.
    assert (len(cloud.names), cloud.phases) == (2, {"old": "Running"})
    cloud.allow_evictions(allowed=True)
    cloud.after(20)
    assert cloud.phases == {}
    cloud.run(waiting("new"))
    cloud.after(40)
    assert cloud.phases == {"new": "Running"}
    assert first not in cloud.names
    assert len(cloud.names) == 1


def test_without_a_successor_the_pods_of_a_flex_start_machine_run_to_its_end(cloud: Cloud) -> None:
    cloud.declare(document_of(FLEX_START))
    cloud.has(flexStart=1)
    cloud.run(waiting("pod"))
    cloud.after(MACHINE)
    cloud.after(7100, every=100)
    assert cloud.phases == {"pod": "Running"}
    cloud.after(200)
    assert (cloud.phases, cloud.nodes) == ({"pod": "Failed"}, [])


def test_a_spot_machine_goes_when_its_pods_have_ended_or_its_time_is_over(cloud: Cloud) -> None:
    cloud.declare(document_of(SPOT))
    stubborn = waiting("stubborn", terminationGracePeriodSeconds=600)
    stubborn["spec"]["containers"][0]["lifecycle"] = {"preStop": {"sleep": {"seconds": 500}}}
    cloud.run(waiting("quick"))
    cloud.run(stubborn)
    cloud.after(MACHINE)
    for name in cloud.names:
        cloud.annotate(name, RECLAIM)
    cloud.after(30)
    assert cloud.phases == {"quick": "Failed", "stubborn": "Running"}
    assert len(cloud.names) == 1
    cloud.after(80)
    assert cloud.phases["stubborn"] == "Running"
    cloud.after(30)
    assert (cloud.phases["stubborn"], cloud.names) == ("Failed", [])


def test_an_idle_node_goes_after_the_time_of_its_class(cloud: Cloud) -> None:
    cloud.declare(document_of(SPOT, autoscalingPolicy={"consolidationDelayMinutes": 30}))
    cloud.run(waiting("pod"))
    cloud.after(MACHINE)
    cloud.end("pod")
    cloud.after(1750)
    assert cloud.nodes == ["spot"]
    cloud.after(100)
    assert cloud.nodes == []


def test_nodes_follow_their_class(cloud: Cloud) -> None:
    cloud.declare(document_of(SPOT))
    cloud.run(waiting("pod"))
    cloud.after(MACHINE + 20)
    assert cloud.indices == ["0"]
    cloud.declare(document_of(ON_DEMAND, SPOT))
    cloud.after(20)
    assert cloud.indices == ["1"]
    cloud.declare(document_of(ON_DEMAND))
    cloud.after(20)
    assert cloud.indices == ["ccc_no_rule_matching"]


def test_hours_are_counted_while_nodes_are_there(cloud: Cloud) -> None:
    cloud.declare(document_of(SPOT))
    cloud.run(waiting("pod"))
    cloud.after(100)
    start = dict(cloud.usage.seconds)
    cloud.after(3600, every=100)
    (words,) = cloud.usage.seconds
    assert words.startswith("spot g2-standard-8 us-central1-")
    assert cloud.usage.seconds[words] - start.get(words, 0) == pytest.approx(3600, abs=20)


def test_autopilot_makes_pools_for_any_class(tmp_path: Path) -> None:
    for profile, nodes in (("standard", []), ("autopilot", ["spot"])):
        cloud = Cloud(tmp_path, profile=profile)  # type: ignore[arg-type]  # one of both
        cloud.declare(document_of(SPOT, creates=False))
        cloud.run(waiting("pod"))
        assert cloud.after(MACHINE).nodes == nodes
