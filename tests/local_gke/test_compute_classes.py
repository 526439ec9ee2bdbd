"""What the simulated autoscaler makes of a compute class, and which machines Google gives for it."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_llm_inference.planning.machines import boot_disk_room_gib, local_ssd_room_gib
from local.gke.compute_classes import priority_index
from local.gke.errors import LocalGkeError
from local.gke.nodes import node
from local.gke.pools import Pool, Provision
from local.gke.scaling import Amount, Decision, Market, decide, places
from local.gke.simulation import Simulation, simulation_of
from local.gke.stock import Stock
from tests.local_gke.classes import A100, FLEX_START, L4, NAME, ON_DEMAND, RESERVATION, SPOT, class_of, waiting
from tests.planning.support import CATALOG, GEMMA, planned, standard_stack
from tests.settings.support import autopilot_stack

NOTHING = Amount()
TIERS = class_of(RESERVATION, ON_DEMAND, FLEX_START, SPOT)
POOLS = [tier.pools[0] for tier in TIERS.tiers]
KEYS = ["reservation/l4-res", "onDemand", "flexStart", "spot"]


def decided(
    pods: int, *limits: int, found: Any = TIERS, cooling: frozenset[str] = frozenset(), pools: tuple[Pool, ...] = ()
) -> Decision:
    """The decision for so many pods with so many machines of each tier, the last tiers without a bound."""
    market = Market({NAME: found}, Stock(dict(zip(KEYS, limits, strict=False))), cooling)
    return decide([waiting(f"pod-{number:02d}") for number in range(pods)], [], pools, NOTHING, market)


def tiers_of(decision: Decision) -> list[str]:
    return [one.pool.provision.model for one in decision.added]


def test_tiers_are_pools_with_gkes_labels_and_taints() -> None:
    reservation, on_demand, flex_start, spot = POOLS
    assert [pool.provision for pool in POOLS] == [
        Provision("reservation", "l4-res"),
        Provision("onDemand"),
        Provision("flexStart", wait_seconds=1800, run_seconds=7200, recycle_seconds=3600),
        Provision("spot", shutdown_seconds=120, critical_seconds=15),
    ]
    assert {pool.labels["cloud.google.com/gke-provisioning"] for pool in (reservation, on_demand)} == {"standard"}
    assert reservation.labels["cloud.google.com/reservation-name"] == "l4-res"
    assert {
        "cloud.google.com/gke-flex-start": "true",
        "cloud.google.com/gke-max-run-duration-seconds": "7200",
        "cloud.google.com/gke-node-recycle-lead-time-seconds": "3600",
        "cloud.google.com/gke-provisioning": "flex-start",
    }.items() <= flex_start.labels.items()
    assert {"cloud.google.com/gke-spot": "true", "cloud.google.com/gke-provisioning": "spot"}.items() <= (
        spot.labels.items()
    )
    assert [(taint.key, taint.value) for taint in spot.taints] == [
        ("cloud.google.com/compute-class", NAME),
        ("cloud.google.com/gke-spot", "true"),
        ("nvidia.com/gpu", "present"),
    ]
    assert [(taint.key, taint.value) for taint in flex_start.taints] == [
        ("cloud.google.com/compute-class", NAME),
        ("nvidia.com/gpu", "present"),
    ]
    assert {pool.labels["cloud.google.com/compute-class"] for pool in POOLS} == {NAME}
    assert {pool.labels["cloud.google.com/gke-gpu-driver-version"] for pool in POOLS} == {"latest"}


@pytest.mark.parametrize(
    ("selector", "provision"),
    [
        ({"cloud.google.com/gke-spot": "true"}, Provision("spot")),
        ({"cloud.google.com/gke-flex-start": "true"}, Provision("flexStart", wait_seconds=900)),
        (
            {"cloud.google.com/reservation-name": "l4-res", "cloud.google.com/reservation-project": "shared"},
            Provision("reservation", "l4-res", "shared"),
        ),
        ({}, Provision()),
    ],
)
def test_pods_without_a_class_get_the_machines_that_they_select(selector: dict[str, str], provision: Provision) -> None:
    plan = planned(autopilot_stack())
    (server,) = plan.servers
    asked = replace(server, node_selector={"cloud.google.com/gke-accelerator": "nvidia-l4", **selector})
    simulation = simulation_of([replace(plan, servers=(asked,))])
    (pool,) = [one for one in simulation.pools if one.gpus]
    assert pool.provision == provision
    pod = waiting("pod", nodeSelector=asked.node_selector)
    decision = decide([pod], [], [pool], NOTHING, Market(stock=Stock({provision.model: 0})))
    assert decision.ran_out == (frozenset() if provision.model == "flexStart" else {pool.name})
    decision = decide([pod], [], [pool], NOTHING)
    assert [one.pool for one in decision.added] == [pool]


def test_zones_are_those_of_the_reservation_of_the_tier_of_the_class_or_of_the_gpu() -> None:
    assert [pool.zones for pool in POOLS[:2]] == [("us-central1-a",), ("us-central1-a", "us-central1-b")]
    assert POOLS[3].zones == CATALOG.accelerators["nvidia-l4"].zones_in("us-central1")
    common = class_of(L4, priorityDefaults={"location": {"zones": ["us-central1-c"]}})
    assert common.tiers[0].pools[0].zones == ("us-central1-c",)


def test_storage_sets_what_pods_may_ask_of_a_nodes_disk() -> None:
    def room(**storage: Any) -> float:
        return class_of({**L4, "storage": storage}).tiers[0].pools[0].ephemeral_gib

    assert room() == boot_disk_room_gib(100, CATALOG)
    assert room(bootDiskSize=300) == boot_disk_room_gib(300, CATALOG)
    assert room(localSSDCount=1) == local_ssd_room_gib(1, CATALOG)


def test_a_tier_without_a_machine_type_has_every_machine_with_such_gpus_cheapest_first() -> None:
    (tier,) = class_of({"gpu": {"type": "nvidia-l4", "count": 1}}).tiers
    assert [pool.machine_type for pool in tier.pools][:2] == ["g2-standard-4", "g2-standard-8"]
    (none,) = class_of({"machineFamily": "a2", "gpu": {"type": "nvidia-l4", "count": 1}}).tiers
    assert none.problem == "no machine is known with 1 of nvidia-l4"


def test_several_reservations_of_a_tier_are_pools_of_their_own() -> None:
    specific = [{"name": "one", "zones": ["us-central1-a"]}, {"name": "two", "zones": ["us-central1-b"]}]
    (tier,) = class_of({**L4, "reservations": {"affinity": "Specific", "specific": specific}}).tiers
    assert [(pool.provision.reservation, pool.zones) for pool in tier.pools] == [
        ("one", ("us-central1-a",)),
        ("two", ("us-central1-b",)),
    ]
    assert len({pool.name for pool in tier.pools}) == 2


def test_a_pool_keeps_its_name_when_its_tier_moves_in_the_list() -> None:
    assert class_of(SPOT, ON_DEMAND).tiers[0].pools == class_of(ON_DEMAND, SPOT).tiers[1].pools
    assert class_of(SPOT).tiers[0].pools[0].name != class_of({**SPOT, "maxPodsPerNode": 8}).tiers[0].pools[0].name


@given(limits=st.tuples(*[st.integers(0, 3)] * 4), pods=st.integers(0, 14))
def test_machines_are_taken_in_the_lists_order_as_far_as_there_are_any(
    limits: tuple[int, int, int, int], pods: int
) -> None:
    decision = decided(pods, *limits)
    in_order = [key.partition("/")[0] for key, limit in zip(KEYS, limits, strict=True) for _ in range(limit)]
    # A flex-start request waits, whatever the stock is, so nothing is asked of the tier after it.
    until_flex = in_order[: in_order.index("flexStart")] if "flexStart" in in_order else in_order[: sum(limits[:2])]
    expected = (until_flex + ["flexStart"] * pods)[:pods]
    assert tiers_of(decision) == expected
    waits = [one.zone is None for one in decision.added if one.pool.provision.model == "flexStart"]
    assert waits == [number >= limits[2] for number in range(len(waits))]


@given(limits=st.tuples(*[st.integers(0, 3)] * 3), pods=st.integers(1, 12))
def test_pods_for_which_there_is_no_machine_are_told(limits: tuple[int, int, int], pods: int) -> None:
    found = class_of(RESERVATION, ON_DEMAND, SPOT)
    stock = Stock(dict(zip(["reservation/l4-res", "onDemand", "spot"], limits, strict=True)))
    waiters = [waiting(f"pod-{number:02d}") for number in range(pods)]
    decision = decide(waiters, [], [], NOTHING, Market({NAME: found}, stock))
    assert len(decision.added) == min(pods, sum(limits))
    assert len(decision.refusals) == max(0, pods - sum(limits))
    assert set(decision.refusals.values()) <= {
        "compute class gemma-l4 says DoNotScaleUp, and none of its tiers gives a node; "
        "tier 0 (reservation, g2-standard-8, l4-res): it ran out, and is asked again later; "
        "tier 1 (onDemand, g2-standard-8): it ran out, and is asked again later; "
        "tier 2 (spot, g2-standard-8): it ran out, and is asked again later"
    }
    ran_out = {tier.pools[0].name for tier in found.tiers}
    assert decision.ran_out == (ran_out if pods > sum(limits) else decision.ran_out & ran_out)


def test_a_tier_that_ran_out_is_not_asked_while_it_cools() -> None:
    assert tiers_of(decided(2)) == ["reservation"] * 2
    assert tiers_of(decided(2, cooling=frozenset({POOLS[0].name}))) == ["onDemand"] * 2
    all_of_them = frozenset(pool.name for pool in POOLS)
    decision = decided(1, cooling=all_of_them)
    assert (decision.added, decision.ran_out) == ((), frozenset())


def test_a_node_with_room_is_used_whatever_its_tier() -> None:
    spot = places([node(POOLS[3], 0)], [])
    decision = decide([waiting("pod")], spot, [], NOTHING, Market({NAME: TIERS}))
    assert decision.added == ()
    assert decision.places == {"default/pod": spot[0].name}


def test_a_zone_without_machines_leaves_the_others_of_the_tier() -> None:
    stock = Stock({"onDemand/us-central1-a": 1})
    pods = [waiting(f"pod-{number}") for number in range(3)]
    decision = decide(pods, [], [], NOTHING, Market({NAME: class_of(ON_DEMAND)}, stock))
    assert [one.zone for one in decision.added] == ["us-central1-a", "us-central1-b", "us-central1-b"]
    both = Stock({"onDemand/us-central1-a": 0, "onDemand/us-central1-b": 0})
    decision = decide(pods, [], [], NOTHING, Market({NAME: class_of(ON_DEMAND, A100)}, both))
    assert [one.pool.machine_type for one in decision.added] == ["a2-highgpu-1g"] * 3


def test_a_pod_that_asks_for_a_zone_gets_a_node_there_or_none() -> None:
    def added(zone: str) -> list[str | None]:
        selector = {"cloud.google.com/compute-class": NAME, "topology.kubernetes.io/zone": zone}
        pod = waiting("pod", nodeSelector=selector)
        return [one.zone for one in decide([pod], [], [], NOTHING, Market({NAME: class_of(ON_DEMAND)})).added]

    assert added("us-central1-b") == ["us-central1-b"]
    assert added("europe-west4-a") == []


def test_a_pod_gets_a_node_in_the_zone_of_its_volume() -> None:
    def added(*zones: str) -> list[str | None]:
        market = Market({NAME: class_of(ON_DEMAND)}, zones={"default/pod": frozenset(zones)})
        return [one.zone for one in decide([waiting("pod")], [], [], NOTHING, market).added]

    assert added("us-central1-b") == ["us-central1-b"]
    assert added("us-central1-c") == []
    elsewhere = places([node(POOLS[1], 0, zone="us-central1-a")], [])
    market = Market({NAME: class_of(ON_DEMAND)}, zones={"default/pod": frozenset({"us-central1-b"})})
    decision = decide([waiting("pod")], elsewhere, [], NOTHING, market)
    assert [(one.number, one.zone) for one in decision.added] == [(1, "us-central1-b")]


def test_machines_that_are_there_count_against_the_stock() -> None:
    one = node(POOLS[1], 0)
    taken = places([one], [waiting("old", nodeName=one["metadata"]["name"])])
    decision = decide([waiting("pod")], taken, [], NOTHING, Market({NAME: class_of(ON_DEMAND)}, Stock({"onDemand": 1})))
    assert decision.added == ()
    assert decision.ran_out == {POOLS[1].name}


def test_a_tier_may_name_node_pools_of_the_cluster() -> None:
    raw = standard_stack({"reserved": {"maxNodes": 1}}, {"gemma": GEMMA})
    pools = {pool.name: pool for pool in simulation_of([planned(raw)]).pools}
    reserved = pools["reserved"]
    own = Pool.from_dict({**as_dict(reserved), "labels": {**reserved.labels, "cloud.google.com/compute-class": NAME}})
    found = class_of({"nodepools": ["reserved"]}, {"nodepools": ["gone"]}, SPOT)
    assert tiers_of(decided(2, found=found, pools=(own,))) == ["onDemand", "spot"]
    stuck = decided(1, found=class_of({"nodepools": ["reserved"]}, {"nodepools": ["gone"]}), pools=(reserved,))
    assert stuck.refusals == {
        "default/pod-00": "compute class gemma-l4 says DoNotScaleUp, and none of its tiers gives a node; "
        "tier 0 (node pool reserved): its labels, taints or zones keep the pod away; "
        "tier 1: there is no node pool gone"
    }


def as_dict(pool: Pool) -> dict[str, Any]:
    (document,) = Simulation((pool,)).as_dict()["pools"]
    return dict(document)


@pytest.mark.parametrize(
    ("priority", "problem"),
    [
        ({"machineType": "e2-standard-4"}, "no machine with GPUs is known as e2-standard-4"),
        (
            {**L4, "gpu": {"type": "nvidia-tesla-a100", "count": 1}},
            "g2-standard-8 has 1 of nvidia-l4, not 1 of nvidia-tesla-a100",
        ),
        ({**L4, "gpu": {"type": "nvidia-l4", "count": 2}}, "g2-standard-8 has 1 of nvidia-l4, not 2 of nvidia-l4"),
    ],
)
def test_a_tier_that_no_machine_fits_is_told_and_the_next_one_is_taken(priority: dict[str, Any], problem: str) -> None:
    found = class_of(priority, SPOT)
    assert found.tiers[0].problem == problem
    assert tiers_of(decided(1, found=found)) == ["spot"]


def test_without_auto_creation_there_is_no_node_but_on_autopilot() -> None:
    found = class_of(SPOT, creates=False)
    assert decided(1, found=found).refusals == {
        "default/pod-00": "compute class gemma-l4 says DoNotScaleUp, and none of its tiers gives a node; "
        "tier 0: the class does not let GKE make node pools"
    }
    assert tiers_of(decided(1, found=class_of(SPOT, creates=False, autopilot=True))) == ["spot"]


def test_a_class_that_is_not_there_is_named() -> None:
    decision = decide([waiting("pod")], [], [], NOTHING)
    assert decision.refusals == {"default/pod": "there is no compute class gemma-l4"}


def test_nodes_say_which_tier_they_are_of_now() -> None:
    def index(pool: Pool, *priorities: dict[str, Any]) -> str | None:
        return priority_index(pool.labels, {NAME: class_of(*priorities)} if priorities else {})

    spot = POOLS[3]
    assert index(spot, RESERVATION, SPOT) == "1"
    assert index(spot, SPOT, RESERVATION) == "0"
    assert index(spot, RESERVATION) == "ccc_no_rule_matching"
    assert index(spot) == "ccc_deleted"
    assert priority_index({}, {NAME: TIERS}) is None


def test_a_class_says_how_long_an_idle_node_stays() -> None:
    assert class_of(SPOT).idle_seconds is None
    assert class_of(SPOT, autoscalingPolicy={"consolidationDelayMinutes": 30}).idle_seconds == 1800


def test_a_stock_is_changed_by_texts() -> None:
    stock = Stock().changed(["spot=0", "onDemand/g2-standard-8=2"])
    assert stock == Stock({"onDemand/g2-standard-8": 2, "spot": 0})
    assert stock.changed(["spot=any", "onDemand/g2-standard-8=1"]) == Stock({"onDemand/g2-standard-8": 1})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sport=0", "'sport=0': a stock starts with how machines are given; did you mean spot?"),
        ("spot", "'spot': give the number of machines, such as spot=0, or spot=any for no bound"),
        ("spot=-1", "'spot=-1': give the number of machines, such as spot=0, or spot=any for no bound"),
    ],
)
def test_a_text_that_says_no_stock_is_refused(text: str, message: str) -> None:
    with pytest.raises(LocalGkeError) as refused:
        Stock().changed([text])
    assert str(refused.value) == message


def test_a_simulation_survives_its_file() -> None:
    raw = standard_stack({"l4": {"provisioning": {"model": "flexStart"}}}, {"gemma": GEMMA})
    simulation = simulation_of([planned(raw)])
    assert simulation.pools[0].provision == Provision("flexStart", wait_seconds=900, run_seconds=604800)
    assert Simulation.from_dict(simulation.as_dict()) == simulation
