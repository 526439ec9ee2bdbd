"""Local SSDs of machines that GKE makes for a server."""

from typing import Any

import pytest

from gke_llm_inference.planning import StackPlan
from gke_llm_inference.planning.local_ssds import count_of
from gke_llm_inference.planning.stack_cost import stack_cost
from tests.planning.support import CATALOG, QWEN, only_problem, planned, problems_of, standard_stack
from tests.settings.support import Raw

LLAMA_70B = {"server": "vllm", "model": "meta-llama/Llama-3.1-70B-Instruct", "maxModelLen": 4096}
TOKEN = {"tokenSource": "existingSecret"}
H100 = "a3-highgpu-1g"
NEW = "1.35.1-gke.1000000"


def autopilot(location: str = "us-central1", **server: Any) -> Raw:
    cluster = {"mode": "autopilot", "location": location, "gkeVersion": NEW}
    return {"cluster": cluster, "huggingFace": TOKEN, "servers": {"chat": {**LLAMA_70B, **server}}}


def ssds(plan: StackPlan) -> list[int]:
    """Of each rule of the one server's class."""
    (server,) = plan.servers
    assert server.capacity is not None
    assert server.capacity.compute_class is not None
    return [rule.local_ssds for rule in server.capacity.compute_class.rules]


@pytest.mark.parametrize(
    ("machine", "fewest", "count"),
    [
        ("g2-standard-8", 1, 1),
        ("g2-standard-24", 1, 2),
        ("g2-standard-8", 2, None),
        ("a2-highgpu-1g", 3, 4),
        ("a2-highgpu-4g", 1, 4),
        ("a3-highgpu-8g", 16, 16),
        ("a3-highgpu-8g", 17, None),
        ("g4-standard-48", 1, None),
    ],
)
def test_a_machine_gets_the_fewest_that_gke_attaches(machine: str, fewest: int, count: int | None) -> None:
    assert count_of(CATALOG.machine_types[machine], fewest) == count


def test_a_model_too_large_for_a_boot_disk_is_on_the_local_ssds_of_a_class() -> None:
    gpus: Raw = {"quantization": "fp8", "accelerator": {"type": "nvidia-l4", "count": 8}}
    (without,) = planned(autopilot(**gpus)).servers
    assert (without.resources.cache_on_disk, without.capacity) == (True, None)
    plan = planned(autopilot(**gpus, localSsds=1))
    (server,) = plan.servers
    assert (server.resources.cache_on_disk, server.resources.ephemeral_storage_gib) == (False, 155)
    assert ssds(plan) == [8]
    assert server.capacity is not None
    assert server.capacity.compute_class is not None
    assert server.capacity.compute_class.rules[0].boot_disk_gb == 100
    assert server.node_selector == {"cloud.google.com/compute-class": "llm-inference-chat"}


def test_each_tier_has_as_many_as_its_machine_takes_and_none_are_asked_for_that_it_always_has() -> None:
    tiers = ["onDemand", {"model": "spot", "machineType": "a2-highgpu-1g"}, {"model": "spot", "machineType": H100}]
    plan = planned(standard_stack({}, {"chat": {**QWEN, "capacity": tiers, "localSsds": 1}}, gkeVersion=NEW))
    assert ssds(plan) == [1, 1, 0]
    assert not plan.servers[0].resources.cache_on_disk


def test_a_tier_whose_machine_has_too_few_is_refused_with_what_it_takes() -> None:
    two = {**QWEN, "capacity": ["onDemand", {"model": "spot", "machineType": H100}], "localSsds": 2}
    problem = only_problem(standard_stack({}, {"chat": two}, gkeVersion=NEW))
    assert (problem.path, problem.fix) == ("servers.chat.localSsds", "use 1 or fewer")
    assert problem.what.endswith("of capacity[0] has at most 1 local SSDs")
    unknown = {**two, "capacity": [{"model": "spot", "machineType": "g4-standard-48"}], "localSsds": 1}
    problem = only_problem(standard_stack({}, {"chat": unknown}, gkeVersion=NEW))
    assert problem.what == "how many local SSDs g4-standard-48 of capacity[0] takes is not known"


@pytest.mark.parametrize("server", [{}, {"capacity": [{"nodePool": "l4"}]}])
def test_those_of_a_node_pool_are_not_the_server_s_to_ask_for(server: Raw) -> None:
    pools = {"l4": {"accelerator": {"type": "nvidia-l4", "count": 1}}}
    (problem,) = problems_of(standard_stack(pools, {"chat": {**QWEN, "localSsds": 1, **server}}, gkeVersion=NEW))
    assert (problem.path, problem.what) == (
        "servers.chat.localSsds",
        "belongs to the node pool on a Standard cluster",
    )


def test_what_pods_request_beyond_them_is_refused() -> None:
    asked: Raw = {"accelerator": {"type": "nvidia-l4", "count": 1}, "resources": {"ephemeralStorageGib": 331}}
    problem = only_problem(autopilot(model="Qwen/Qwen2.5-7B-Instruct", localSsds=1, **asked))
    assert problem.path == "servers.chat.resources.ephemeralStorageGib"
    assert problem.fix == "use 330 or less"


def test_they_are_part_of_the_cost_by_the_tier_that_is_cheapest() -> None:
    plan = planned(
        autopilot(
            "asia-northeast1",
            model="Qwen/Qwen2.5-7B-Instruct",
            accelerator={"type": "nvidia-tesla-a100", "count": 1},
            capacity=["onDemand", "spot"],
            localSsds=2,
        )
    )
    (part,) = [one for one in stack_cost(plan, CATALOG).parts if one.title.startswith("local SSDs")]
    assert part.title == "local SSDs of chat: 1 × 750 GB"
    assert part.cost.hourly_usd == pytest.approx(750 * 0.0624 / 730)
    assert part.is_least
