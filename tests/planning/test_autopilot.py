"""What Autopilot admits, what it raises requests to, and what it cannot do."""

from __future__ import annotations

import pytest

from gke_llm_inference.planning.memory.sharding import heads_divide, kv_heads_divide
from tests.planning.support import CATALOG, GEMMA, QWEN, on_autopilot, only_problem, problems_of
from tests.settings.support import Raw, autopilot_stack

FALCON = {"model": "tiiuae/falcon-40b-instruct"}


@pytest.mark.parametrize(
    ("gpus", "asked", "cpu", "memory"),
    [
        (1, {}, 4, 14),
        (2, {}, 21, 78),
        (2, {"cpu": 22}, 22, 78),
        (2, {"cpu": 4, "memoryGib": 80}, 21, 80),
        (2, {"cpu": 23, "memoryGib": 83}, 23, 83),
        (4, {}, 10, 48),
        (8, {}, 18, 92),
    ],
)
def test_requests_are_those_of_the_rules_and_never_below_autopilots_floor(
    gpus: int, asked: Raw, cpu: int, memory: int
) -> None:
    resources = on_autopilot(accelerator={"count": gpus}, resources=asked).resources
    assert (resources.cpu_millicores, resources.memory_gib) == (cpu * 1000, memory)


BOUNDS = [
    (accelerator, gpus, key, limit)
    for accelerator, facts in CATALOG.accelerators.items()
    for gpus, bounds in facts.autopilot_maxima.items()
    for key, limit in (
        ("cpu", bounds.cpu),
        ("memoryGib", bounds.memory_gib),
        ("ephemeralStorageGib", bounds.ephemeral_storage_gib),
    )
]


@pytest.mark.parametrize(("accelerator", "gpus", "key", "limit"), BOUNDS)
def test_a_request_above_autopilots_maximum_is_refused(accelerator: str, gpus: int, key: str, limit: int) -> None:
    raw = autopilot_stack(**FALCON, accelerator={"type": accelerator, "count": gpus}, resources={key: limit + 1})
    (problem,) = [problem for problem in problems_of(raw) if problem.path == f"servers.gemma.resources.{key}"]
    unit = "vCPU" if key == "cpu" else "GiB"
    assert problem.what == f"{limit + 1} {unit} are more than Autopilot's {limit} for {gpus} × {accelerator}"
    assert problem.fix == f"use {limit} or less"


@pytest.mark.parametrize(("accelerator", "gpus", "key", "limit"), BOUNDS)
def test_a_request_at_autopilots_maximum_is_planned(accelerator: str, gpus: int, key: str, limit: int) -> None:
    plan = on_autopilot(**FALCON, accelerator={"type": accelerator, "count": gpus}, resources={key: limit})
    planned = {
        "cpu": plan.resources.cpu_millicores // 1000,
        "memoryGib": plan.resources.memory_gib,
        "ephemeralStorageGib": plan.resources.ephemeral_storage_gib,
    }
    assert planned[key] == limit


def test_requests_beyond_several_maxima_are_refused_together() -> None:
    asked = {"cpu": 32, "memoryGib": 116, "ephemeralStorageGib": 123}
    paths = [problem.path for problem in problems_of(autopilot_stack(resources=asked))]
    assert [path for path in paths if path != "servers.gemma.resources"] == [
        "servers.gemma.resources.cpu",
        "servers.gemma.resources.ephemeralStorageGib",
        "servers.gemma.resources.memoryGib",
    ]


def test_a_request_above_autopilots_maximum_is_told_once() -> None:
    assert only_problem(autopilot_stack(resources={"cpu": 32})).path == "servers.gemma.resources.cpu"


@pytest.mark.parametrize(
    ("model", "gpus"),
    [
        (name, gpus)
        for name, facts in CATALOG.models.items()
        for gpus in (1, 2, 4)
        if facts.task == "generate" and heads_divide(facts, gpus) and kv_heads_divide(facts, gpus)
    ],
)
def test_the_planned_storage_of_every_model_is_within_autopilots_maximum(model: str, gpus: int) -> None:
    plan = on_autopilot(model=model, accelerator={"count": gpus})
    assert plan.resources.ephemeral_storage_gib <= 122


@pytest.mark.parametrize("gpus", [1, 2, 4])
def test_autopilot_has_h100s_by_the_eight_only(gpus: int) -> None:
    accelerator = {"type": "nvidia-h100-80gb", "count": gpus}
    problem = only_problem(autopilot_stack(**FALCON, accelerator=accelerator))
    assert problem.path == "servers.gemma.accelerator.count"
    assert problem.what == f"Autopilot has no machine with {gpus} × nvidia-h100-80gb"
    assert problem.fix == "use 8, or a Standard cluster"


def test_node_pools_are_refused_on_autopilot() -> None:
    raw = {**autopilot_stack(), "nodePools": {"l4": {}}}
    problem = only_problem(raw)
    assert (problem.path, problem.what) == ("nodePools", "are not possible on Autopilot")
    assert "cluster.mode: standard" in problem.fix


@pytest.mark.parametrize("cluster", [{"kubeconfigContext": "c"}, {"name": "theirs", "location": "us-central1"}])
def test_node_pools_are_refused_on_an_existing_autopilot_cluster(cluster: Raw) -> None:
    raw = {
        **autopilot_stack(),
        "cluster": {"mode": "existing", "profile": "autopilot", **cluster},
        "nodePools": {"l4": {}},
    }
    assert only_problem(raw).what == "are not possible on Autopilot"


def test_a_server_cannot_choose_a_pool_on_autopilot() -> None:
    problem = only_problem(autopilot_stack(nodePool="l4"))
    assert (problem.path, problem.fix) == ("servers.gemma.nodePool", "remove it")


@pytest.mark.parametrize("server", [GEMMA, QWEN], ids=["gemma", "qwen"])
def test_the_region_must_have_the_gpu(server: Raw) -> None:
    raw = autopilot_stack(**server)
    raw["cluster"]["location"] = "europe-west8"
    problem = only_problem(raw)
    assert problem.path == "servers.gemma.accelerator.type"
    assert problem.what == "nvidia-l4 is not offered in europe-west8"
    assert problem.fix.startswith("use one of: asia-east1, asia-northeast1")


def test_the_machine_that_google_would_take_is_part_of_the_plan() -> None:
    assert on_autopilot().machine_type == "g2-standard-8"
    assert on_autopilot(accelerator={"count": 2}).machine_type == "g2-standard-24"
