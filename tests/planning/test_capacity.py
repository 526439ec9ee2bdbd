"""Capacity as a list: what each tier comes to, what makes a compute class, and what is refused."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gke_llm_inference.cli.plan_report import stack_document, stack_text
from gke_llm_inference.planning import ServerPlan
from gke_llm_inference.planning.capacity_tiers.plan import ClassRule, FlexStartRule, ReservationRule
from gke_llm_inference.planning.cost import server_cost
from gke_llm_inference.planning.node_shutdown import NodeShutdown
from gke_llm_inference.planning.plan import Toleration
from gke_llm_inference.planning.quota import stack_quota_needs
from gke_llm_inference.planning.stack_cost import stack_cost
from gke_llm_inference.settings import Refusal
from tests.planning.support import CATALOG, QWEN, only_problem, outcome_of, planned, problems_of, standard_stack
from tests.settings.support import Raw

SERVER = {**QWEN, "maxModelLen": 8192}
RESERVED = {"model": "reservation", "name": "l4-res", "zones": ["us-central1-a"]}
FLEX = {"model": "flexStart", "recycleLeadSeconds": 3600}
A100 = {"model": "spot", "machineType": "a2-highgpu-1g"}
FOUR = [RESERVED, "onDemand", FLEX, A100]
NEW = "1.35.1-gke.1000000"
CLASS = "cloud.google.com/compute-class"


def autopilot(capacity: list[Any], version: str | None = NEW, **server: Any) -> Raw:
    """One server named chat on Autopilot, with that capacity."""
    cluster = {"mode": "autopilot", "location": "us-central1", **({"gkeVersion": version} if version else {})}
    return {"cluster": cluster, "servers": {"chat": {**SERVER, "capacity": capacity, **server}}}


def standard(capacity: list[Any], pools: Raw | None = None, version: str | None = NEW, **server: Any) -> Raw:
    """The same on a Standard cluster."""
    cluster = {"gkeVersion": version} if version else {}
    return standard_stack(pools or {}, {"chat": {**SERVER, "capacity": capacity, **server}}, **cluster)


def only(raw: Raw) -> ServerPlan:
    """The plan of the one server, which has nothing to warn of."""
    plan = planned(raw)
    assert plan.warnings == ()
    (server,) = plan.servers
    return server


def rules(server: ServerPlan) -> tuple[ClassRule, ...]:
    """The rules of a server's compute class."""
    assert server.capacity is not None
    assert server.capacity.compute_class is not None
    return server.capacity.compute_class.rules


@pytest.mark.parametrize("raw", [autopilot(FOUR), standard(FOUR)], ids=["autopilot", "standard"])
def test_several_tiers_become_a_class_with_a_rule_for_each(raw: Raw) -> None:
    server = only(raw)
    l4 = ClassRule(
        machine_type="g2-standard-8",
        gpu_type="nvidia-l4",
        gpu_count=1,
        driver_version="latest",
        boot_disk_type="pd-balanced",
        boot_disk_gb=100,
    )
    flex_start = FlexStartRule(max_run_seconds=604800, recycle_lead_seconds=3600, wait_seconds=1800)
    assert rules(server) == (
        replace(l4, reservation=ReservationRule(name="l4-res", zones=("us-central1-a",))),
        l4,
        replace(l4, flex_start=flex_start),
        replace(
            l4,
            machine_type="a2-highgpu-1g",
            gpu_type="nvidia-tesla-a100",
            spot=True,
            shutdown=NodeShutdown(seconds=120, critical_seconds=15),
        ),
    )
    assert server.compute_class == "llm-inference-chat"
    assert server.node_selector == {CLASS: "llm-inference-chat"}
    assert server.tolerations == (
        Toleration(key="cloud.google.com/gke-flex-start"),
        Toleration(key="cloud.google.com/gke-spot", value="true"),
        Toleration(key="nvidia.com/gpu"),
    )


def test_each_tier_says_whether_it_fits_what_it_costs_and_when_it_is_tried() -> None:
    server = only(autopilot(FOUR))
    assert server.capacity is not None
    told = [
        (tier.title, tier.memory.verdict if tier.memory else None, tier.usd_per_hour, tier.wait_seconds)
        for tier in server.capacity.tiers
    ]
    assert told == [
        ("reservation g2-standard-8", "fits", 0.8536, 0),
        ("onDemand g2-standard-8", "fits", 0.8536, 300),
        ("flexStart g2-standard-8", "fits", 0.8536, 600),
        ("spot a2-highgpu-1g", "fits", 2.1208, 2400),
    ]
    on_l4, on_a100 = (server.capacity.tiers[place].memory for place in (0, 3))
    assert on_l4 is not None
    assert on_a100 is not None
    assert on_a100.state.kv_cache_tokens > on_l4.state.kv_cache_tokens


@pytest.mark.parametrize(
    ("tier", "labels"),
    [
        ("onDemand", {}),
        ("spot", {"cloud.google.com/gke-spot": "true"}),
        ("flexStart", {"cloud.google.com/gke-flex-start": "true"}),
        (
            {**RESERVED, "project": "shared-gpus"},
            {
                "cloud.google.com/reservation-name": "l4-res",
                "cloud.google.com/reservation-affinity": "specific",
                "cloud.google.com/reservation-project": "shared-gpus",
                "topology.kubernetes.io/zone": "us-central1-a",
            },
        ),
    ],
)
def test_on_autopilot_a_pod_asks_for_one_tier_by_itself(tier: Any, labels: dict[str, str]) -> None:
    server = only(autopilot([tier], replicas=2))
    own = {
        "cloud.google.com/gke-accelerator": "nvidia-l4",
        "cloud.google.com/gke-accelerator-count": "1",
        "cloud.google.com/gke-gpu-driver-version": "latest",
    }
    assert server.node_selector == {**own, **labels}
    assert server.compute_class is None


@pytest.mark.parametrize(
    "tier",
    [
        FLEX,
        {"model": "flexStart", "maxRunSeconds": 86400},
        A100,
        {**RESERVED, "zones": ["us-central1-a", "us-central1-b"]},
    ],
)
def test_one_tier_that_labels_cannot_say_becomes_a_class(tier: Raw) -> None:
    server = only(autopilot([tier], replicas=2))
    assert server.compute_class == "llm-inference-chat"
    assert len(rules(server)) == 1


def test_the_last_tier_waits_for_its_machines() -> None:
    (rule,) = rules(only(autopilot([FLEX])))
    assert rule.flex_start == FlexStartRule(max_run_seconds=604800, recycle_lead_seconds=3600)


def test_on_standard_one_tier_is_a_class_that_makes_node_pools() -> None:
    server = only(standard(["spot"]))
    assert server.capacity is not None
    assert server.capacity.compute_class is not None
    assert server.capacity.compute_class.creates_pools
    assert server.node_pool is None


@pytest.mark.parametrize(("version", "grace"), [(NEW, 105), ("1.34.1-gke.1000000", 15), (None, 15)])
def test_a_pod_that_may_land_on_spot_ends_in_time_there(version: str | None, grace: int) -> None:
    (server,) = planned(autopilot(["onDemand", "spot"], version)).servers
    assert server.shutdown.grace_seconds == grace
    shutdown = NodeShutdown(seconds=120, critical_seconds=15) if grace > 15 else None
    assert [rule.shutdown for rule in rules(server)] == [None, shutdown]


def test_a_grace_that_spot_does_not_give_is_refused_for_every_list_with_a_spot_tier() -> None:
    problem = only_problem(autopilot(["onDemand", "spot"], shutdown={"graceSeconds": 200}))
    assert problem.path == "servers.chat.shutdown.graceSeconds"
    assert problem.what == "a grace period of 200 s is more than pods get on Spot"


def test_answers_may_take_as_long_as_on_the_slowest_tier() -> None:
    a100 = {"model": "onDemand", "machineType": "a2-highgpu-1g"}
    one, two = (only(autopilot(tiers)).shutdown.longest for tiers in ([a100], [a100, "onDemand"]))
    assert two == only(autopilot(["onDemand"])).shutdown.longest
    assert two.seconds > one.seconds


def test_the_deadline_of_an_update_holds_every_tier_that_is_passed_over() -> None:
    one, four = only(autopilot(["onDemand"])), only(autopilot(FOUR))
    waits = 300 + 300 + 1800
    drains = one.shutdown.grace_seconds - four.shutdown.grace_seconds
    assert four.rollout.progress_deadline_seconds == one.rollout.progress_deadline_seconds + waits - drains


@pytest.mark.parametrize(
    ("capacity", "path", "what"),
    [
        (["spot", "onDemand", "spot"], "capacity[2]", "is the same as capacity[0]"),
        (
            ["onDemand", {"model": "spot", "machineType": "a2-highgpu-1gg"}],
            "capacity[1].machineType",
            "a2-highgpu-1gg is not a GPU machine of the catalog",
        ),
        (
            ["onDemand", {"model": "spot", "machineType": "a2-highgpu-2g"}],
            "capacity[1].machineType",
            "a2-highgpu-2g has 2 GPUs, and a replica gets 1",
        ),
        (
            ["onDemand", {"model": "onDemand", "machineType": "a3-highgpu-1g"}],
            "capacity[1]",
            "a3-highgpu-1g is not available with onDemand",
        ),
        (
            ["onDemand", {"model": "flexStart", "accelerator": "nvidia-tesla-t4"}],
            "capacity[1]",
            "a machine with 1 × nvidia-tesla-t4 is not available with flexStart",
        ),
        (
            ["onDemand", {"model": "spot", "accelerator": "nvidia-l44"}],
            "capacity[1].accelerator",
            "nvidia-l44 is not a GPU of the catalog",
        ),
        (
            ["onDemand", {"model": "spot", "machineType": "a2-highgpu-1g", "accelerator": "nvidia-l4"}],
            "capacity[1].accelerator",
            "a2-highgpu-1g has nvidia-tesla-a100, not nvidia-l4",
        ),
        (
            ["onDemand", {"model": "spot", "machineType": "g2-standard-4"}],
            "capacity[1]",
            "4 vCPU and 14 GiB are more than g2-standard-4 has",
        ),
        (
            ["onDemand", {**RESERVED, "zones": ["europe-west4-a"]}],
            "capacity[1].zones[0]",
            "europe-west4-a is not in us-central1",
        ),
        (["onDemand", {**RESERVED, "project": "123456"}], "capacity[1].project", "is not a project id"),
    ],
)
def test_what_a_tier_cannot_be_is_refused_by_its_place(capacity: list[Any], path: str, what: str) -> None:
    problem = only_problem(standard(capacity))
    assert (problem.path, problem.what) == (f"servers.chat.{path}", what)


def test_node_pools_are_refused_on_autopilot() -> None:
    problem = only_problem(autopilot([{"nodePool": "l4"}]))
    assert (problem.path, problem.what) == ("servers.chat.capacity[0]", "node pools are not possible on Autopilot")


def test_a_tier_whose_gpu_does_not_hold_the_model_is_refused() -> None:
    a100 = {"model": "onDemand", "machineType": "a2-highgpu-1g"}
    raw = autopilot([a100, {**a100, "model": "spot"}, "spot"], model="google/gemma-2-9b-it", revision="main")
    raw["huggingFace"] = {"tokenSource": "config"}
    problem = only_problem(raw)
    assert problem.path == "servers.chat.capacity[2]"
    assert problem.what == "the server does not fit 1 × nvidia-l4"
    assert problem.why.startswith("one request of 8192 tokens needs 2.63 GiB of KV cache; 1.24 GiB")
    assert problem.fix == "remove the tier, or name a GPU with more memory"


def test_a_first_tier_that_does_not_fit_or_is_too_slow_is_named_too() -> None:
    raw = autopilot(["spot", {"model": "spot", "machineType": "a2-highgpu-1g"}], model="google/gemma-2-9b-it")
    raw["huggingFace"] = {"tokenSource": "config"}
    problem = only_problem(raw)
    assert (problem.path, problem.what) == ("servers.chat.capacity[0]", "does not fit 1 × nvidia-l4")
    slow: Raw = {"workload": {"profile": "chat", "requestRate": 0.1}, "objectives": {"tpot": {"milliseconds": 45}}}
    found = problems_of(autopilot(["spot", A100], **slow))
    assert [one.path for one in found] == ["servers.chat.capacity[0]"]
    assert found[0].what.startswith("objectives.tpot is missed: ")


def test_pods_that_follow_the_load_count_the_tiers_that_are_passed_over() -> None:
    scaled: Raw = {"autoscaling": {"minReplicas": 1, "maxReplicas": 4}}
    one, two = (only(autopilot(tiers, **scaled)).autoscaling for tiers in (["onDemand"], ["onDemand", "spot"]))
    assert one is not None
    assert two is not None
    assert two.cold_start_seconds == one.cold_start_seconds + 300
    assert two.bounds_why == "its compute class makes nodes as far as the project's quota goes"


def test_a_tier_whose_gpu_lacks_what_the_settings_need_is_refused_with_the_setting() -> None:
    tiers = ["onDemand", {"model": "spot", "accelerator": "nvidia-tesla-t4"}]
    problem = only_problem(standard(tiers, model="google/gemma-3-1b-it"))
    assert problem.path == "servers.chat.capacity[1]"
    assert problem.what == "accelerator.type nvidia-tesla-t4 has no bfloat16, and gemma3 overflows in float16"


def test_a_tier_that_misses_an_objective_is_refused() -> None:
    objectives: Raw = {
        "workload": {"profile": "chat", "requestRate": 0.5},
        "objectives": {"tpot": {"milliseconds": 45}},
    }
    first = {"model": "onDemand", "machineType": "a2-highgpu-1g"}
    problem = only_problem(autopilot([first, {"model": "spot", "accelerator": "nvidia-l4"}], **objectives))
    assert problem.path == "servers.chat.capacity[1]"
    assert problem.what.startswith("objectives.tpot is missed: ")
    assert problem.fix == "remove the tier, name a faster GPU, or relax the objective"


def test_standard_needs_a_version_that_is_known_to_make_nodes_for_a_class() -> None:
    unknown = only_problem(standard(["onDemand", "spot"], version=None))
    assert unknown.path == "servers.chat.capacity"
    assert unknown.what == (
        "needs GKE 1.33.3-gke.1136000 or later on a Standard cluster, and cluster.gkeVersion is not stated"
    )
    assert "list node pools as {nodePool: NAME}" in unknown.fix
    old = only_problem(standard(["onDemand", "spot"], version="1.33.2-gke.1240000"))
    assert old.what.endswith("and cluster.gkeVersion is 1.33.2-gke.1240000")


def test_a_lone_replica_on_flex_start_without_recycling_is_warned_of() -> None:
    (warning,) = planned(autopilot(["onDemand", "flexStart"])).warnings
    assert warning.path == "servers.chat.capacity[1]"
    assert warning.what == "the only replica stops when its machine goes, after 7 days"
    assert planned(autopilot(["onDemand", "flexStart"], replicas=2)).warnings == ()


def test_provisioning_and_capacity_are_refused_together() -> None:
    problem = only_problem(autopilot(["spot"], provisioning={"model": "spot"}))
    assert (problem.path, problem.what) == ("servers.chat", "has provisioning and capacity")


L4_POOL: Raw = {"accelerator": {"type": "nvidia-l4"}}
POOLS: Raw = {"held": L4_POOL, "spare": {**L4_POOL, "provisioning": {"model": "spot"}}}


def test_ordered_pools_are_a_class_that_their_nodes_belong_to() -> None:
    plan = planned(standard([{"nodePool": "held"}, {"nodePool": "spare"}], POOLS, version=None))
    (server,) = plan.servers
    name = "llm-inference-held-then-spare"
    assert rules(server) == (ClassRule(node_pool="held"), ClassRule(node_pool="spare"))
    assert server.node_selector == {CLASS: name}
    assert Toleration(key=CLASS, value=name) in server.tolerations
    assert [pool.compute_class for pool in plan.node_pools] == [name, name]
    assert [pool.node_labels[CLASS] for pool in plan.node_pools] == [name, name]


def test_one_pool_of_a_list_needs_no_class() -> None:
    plan = planned(standard([{"nodePool": "held"}], {"held": L4_POOL}))
    (server,) = plan.servers
    assert server.compute_class is None
    assert server.node_pool == "held"


def test_servers_with_the_same_pools_share_their_class() -> None:
    raw = standard([{"nodePool": "held"}, {"nodePool": "spare"}], POOLS)
    raw["servers"]["other"] = raw["servers"]["chat"]
    (one,) = planned(raw).compute_classes
    assert one.name == "llm-inference-held-then-spare"


@pytest.mark.parametrize(
    ("change", "path", "what"),
    [
        (
            {"capacity": [{"nodePool": "spare"}, {"nodePool": "held"}]},
            "servers.other.capacity[0]",
            "nodePools.spare is in the list of servers.chat too, which is another one",
        ),
        ({"nodePool": "held"}, "servers.other.nodePool", "held belongs to the list of servers.chat"),
    ],
)
def test_a_pool_belongs_to_one_list(change: Raw, path: str, what: str) -> None:
    raw = standard([{"nodePool": "held"}, {"nodePool": "spare"}], POOLS)
    raw["servers"]["other"] = {**SERVER, **change}
    assert (path, what) in [(problem.path, problem.what) for problem in problems_of(raw)]


@pytest.mark.parametrize(
    ("capacity", "server", "path", "what"),
    [
        ([{"nodePool": "held"}, "spot"], {}, "capacity[0]", "a node pool stands beside other tiers"),
        ([{"nodePool": "held"}, {"nodePool": "spar"}], {}, "capacity[1].nodePool", "spar is not one of nodePools"),
        (
            [{"nodePool": "held"}, {"nodePool": "spare"}],
            {"replicas": 3},
            "capacity",
            "its node pools hold 2 pods, and 3 are asked for",
        ),
    ],
)
def test_lists_of_pools_that_cannot_be_are_refused(capacity: list[Any], server: Raw, path: str, what: str) -> None:
    found = [(problem.path, problem.what) for problem in problems_of(standard(capacity, POOLS, **server))]
    assert (f"servers.chat.{path}", what) in found


def test_cost_is_at_least_that_of_the_cheapest_tier_and_says_how_far_it_goes() -> None:
    plan = planned(standard(FOUR, replicas=3))
    cost = stack_cost(plan, CATALOG)
    (pods,) = [one for one in cost.parts if one.title.startswith("pods of chat")]
    # g2-standard-8: a GPU of 0.56004 and 8 vCPU of 0.036698 each.
    assert pods.cost.hourly_usd == pytest.approx(3 * round(0.56004 + 8 * 0.036698, 4))
    assert pods.cost.note == ("at least, on reservation g2-standard-8; up to 6.36 USD an hour on spot a2-highgpu-1g")
    assert pods.is_least
    assert cost.is_least
    (disks,) = [one for one in cost.parts if one.title.startswith("boot disks of chat")]
    assert disks.cost.hourly_usd == pytest.approx(3 * 100 * 0.1 / 730)


def test_a_tier_without_a_price_of_its_kind_says_so() -> None:
    tier = {"model": "flexStart", "machineType": "a2-highgpu-1g", "recycleLeadSeconds": 3600}
    server = only(standard(["onDemand", tier]))
    assert server.capacity is not None
    found = server.capacity.tiers[1]
    assert found.usd_per_hour is None
    assert found.note == "no price known of flex-start; less than 3.67 USD an hour on demand"
    assert server_cost(server, None, planned(standard(["onDemand", tier])).cluster, CATALOG).note == (
        "no price known of 1 of 2 tiers"
    )


def test_quota_is_needed_for_every_tier_and_once_for_the_whole_project() -> None:
    assert {need.name: need.running for need in stack_quota_needs(planned(autopilot(FOUR, replicas=3)), CATALOG)} == {
        "GPUS_ALL_REGIONS": 3,
        "NVIDIA_L4_GPUS": 3,
        "PREEMPTIBLE_NVIDIA_A100_GPUS": 3,
        "PREEMPTIBLE_NVIDIA_L4_GPUS": 3,
    }


def test_a_stated_quota_of_one_tier_refuses_nothing_that_others_can_hold() -> None:
    raw = autopilot(["onDemand", "spot"], replicas=3)
    assert planned({**raw, "gpuQuota": {"NVIDIA_L4_GPUS": 1}}).warnings == ()
    problem = only_problem({**raw, "gpuQuota": {"GPUS_ALL_REGIONS": 2}})
    assert problem.what == "2 is less than the 3 GPUs that the stack comes to run"


def test_the_report_has_a_line_for_each_tier() -> None:
    plan = planned(standard(["onDemand", A100]))
    text = " ".join(stack_text(plan, CATALOG).split())
    assert (
        "capacity 1. onDemand g2-standard-8: fits; 0.85 USD an hour; starts in 990 s "
        "2. spot a2-highgpu-1g: fits; 2.12 USD an hour; starts in 990 s after up to 300 s for the tiers before "
        "in this order, by the compute class llm-inference-chat; with none of them, pods wait"
    ) in text


def test_the_document_has_what_programs_need_of_each_tier() -> None:
    plan = planned(standard(["onDemand", A100], workload={"profile": "chat", "requestRate": 0.1}))
    found = stack_document(plan, CATALOG)["servers"]["chat"]["capacity"]
    assert found["computeClass"] == "llm-inference-chat"
    assert [tier["machineType"] for tier in found["tiers"]] == ["g2-standard-8", "a2-highgpu-1g"]
    assert found["tiers"][1] == {
        "model": "spot",
        "machineType": "a2-highgpu-1g",
        "gpuType": "nvidia-tesla-a100",
        "gpus": 1,
        "nodePool": None,
        "verdict": "fits",
        "kvCacheTokens": found["tiers"][1]["kvCacheTokens"],
        "speed": None,
        "usdPerHour": 2.1208,
        "priceNote": "",
        "newNodeSeconds": 990,
        "waitSeconds": 300,
    }
    assert found["tiers"][1]["kvCacheTokens"] > found["tiers"][0]["kvCacheTokens"]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["onDemand", "spot", "flexStart", RESERVED, FLEX, A100]), min_size=1, max_size=6))
def test_every_list_is_refused_or_has_a_rule_for_each_tier_in_its_order(capacity: list[Any]) -> None:
    for raw in (autopilot(capacity, replicas=2), standard(capacity, replicas=2)):
        outcome = outcome_of(raw)
        if isinstance(outcome, Refusal):
            assert any("is the same as" in problem.what for problem in outcome.problems)
            continue
        (server,) = outcome.servers
        assert server.capacity is not None
        models = [tier if isinstance(tier, str) else tier["model"] for tier in capacity]
        assert [tier.model for tier in server.capacity.tiers] == models
        if server.capacity.compute_class is not None:
            assert [rule.spot for rule in rules(server)] == [model == "spot" for model in models]
            assert server.node_selector.keys() == {CLASS}
        assert ("spot" in models) == any(one.key.endswith("gke-spot") for one in server.tolerations)
        assert server.shutdown.grace_seconds <= (105 if "spot" in models else 600)


def test_a_machine_with_too_few_gpus_is_not_called_too_small_as_well() -> None:
    few = {"model": "onDemand", "machineType": "g2-standard-16"}
    problem = only_problem(autopilot(["onDemand", few], accelerator={"count": 2}))
    assert (problem.path, problem.what) == (
        "servers.chat.capacity[1].machineType",
        "g2-standard-16 has 1 GPUs, and a replica gets 2",
    )
