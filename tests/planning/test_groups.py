"""Replicas that span machines: stages, memory of each GPU, the LeaderWorkerSet, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_llm_inference.planning import StackPlan
from gke_llm_inference.planning.cost import server_cost
from gke_llm_inference.planning.groups.plan import stage_layers
from gke_llm_inference.planning.groups.specs import group_spec, leader_template, worker_template
from gke_llm_inference.planning.memory import plan_memory
from gke_llm_inference.planning.node_pools import running_nodes
from gke_llm_inference.planning.quota import stack_quota_needs
from tests.planning.support import CATALOG, architecture, outcome_of, planned, problems_of, standard_stack
from tests.settings.support import PROPERTY, Raw, autopilot_stack

if TYPE_CHECKING:
    from gke_llm_inference.planning import ServerPlan

LARGE = {
    "server": "vllm",
    "model": "mistralai/Mistral-Large-Instruct-2407",
    "accelerator": {"type": "nvidia-l4", "count": 8},
    "nodes": 2,
    "maxModelLen": 32768,
}
L4 = {"accelerator": {"type": "nvidia-l4", "count": 8}, "maxNodes": 4, "zones": ["us-central1-a"]}
H100 = {"accelerator": {"type": "nvidia-h100-80gb", "count": 8}, "maxNodes": 2, "zones": ["us-central1-a"]}
ON_H100 = {"accelerator": {"type": "nvidia-h100-80gb", "count": 8}}
MIXTRAL = "mistralai/Mixtral-8x7B-Instruct-v0.1"


def stack(pool: Raw | None = None, **changes: Any) -> Raw:
    """A stack with one server over two machines with eight L4 each."""
    return standard_stack({"gpus": {**L4, **(pool or {})}}, {"large": {**LARGE, **changes}})


def large(**changes: Any) -> ServerPlan:
    (server,) = planned(stack(**changes)).servers
    return server


def refused(path: str, **changes: Any) -> tuple[str, str]:
    """What is wrong at a path of the server, and what to do."""
    found = [one for one in problems_of(stack(**changes)) if one.path == f"servers.large.{path}"]
    assert len(found) == 1, [one.path for one in problems_of(stack(**changes))]
    return found[0].what, found[0].fix


@pytest.mark.parametrize(
    ("layers", "stages", "expected"),
    [
        # vllm/distributed/utils.py: get_pp_indices
        (126, 2, (63, 63)),
        (88, 2, (44, 44)),
        (22, 4, (5, 6, 6, 5)),
        (5, 3, (2, 2, 1)),
        (4, 3, (1, 2, 1)),
        (3, 2, (2, 1)),
    ],
)
def test_layers_are_divided_as_vllm_divides_them(layers: int, stages: int, expected: tuple[int, ...]) -> None:
    assert stage_layers(layers, stages) == expected


@given(layers=st.integers(1, 200), stages=st.integers(1, 16))
@PROPERTY
def test_stages_have_all_layers_and_differ_by_one(layers: int, stages: int) -> None:
    if stages <= layers:
        found = stage_layers(layers, stages)
        assert (len(found), sum(found)) == (stages, layers)
        assert max(found) - min(found) <= 1
        assert max(found) == -(-layers // stages)


@given(stages=st.integers(1, 43), model=st.sampled_from(sorted(CATALOG.models)))
@PROPERTY
def test_more_stages_never_need_more_memory_for_weights(stages: int, model: str) -> None:
    server = large()
    assert server.memory is not None
    request = replace(
        server.memory.request,
        architecture=CATALOG.models[model],
        tensor_parallel=1,
        max_model_len=512,
        pipeline_parallel=min(stages, CATALOG.models[model].layers - 1),
    )
    one = plan_memory(request, CATALOG.memory)
    more = plan_memory(replace(request, pipeline_parallel=request.pipeline_parallel + 1), CATALOG.memory)
    assert more.weights_mib <= one.weights_mib
    assert more.kv_bytes_per_token <= one.kv_bytes_per_token


def test_a_model_of_123b_fits_two_machines_of_eight_l4() -> None:
    server = large()
    assert server.memory is not None
    assert (server.memory.verdict, server.memory.state.kv_cache_tokens) == ("fits", 176_368)
    assert server.group is not None
    assert (server.group.nodes, server.group.layers, server.group.tensor_parallel) == (2, (44, 44), 8)
    assert (server.machine_type, server.gpu_count, server.replicas, server.pods) == ("g2-standard-96", 8, 1, 2)


def test_405b_in_bf16_fits_two_machines_of_eight_h100() -> None:
    server = {**ON_H100, "server": "vllm", "model": "meta-llama/Llama-3.1-405B-Instruct", "nodes": 2}
    (plan,) = planned(standard_stack({"h100": {**H100, "provisioning": {"model": "spot"}}}, {"large": server})).servers
    assert plan.memory is not None
    assert (plan.memory.verdict, plan.memory.state.kv_cache_tokens) == ("fits", 745_200)


def test_cost_quota_and_nodes_count_every_machine_of_a_group() -> None:
    plan = planned(stack(replicas=2))
    (server,), (pool,) = plan.servers, plan.node_pools
    price = CATALOG.price("g2-standard-96", "us-central1")[0]
    assert price is not None
    assert server_cost(server, pool, plan.cluster, CATALOG).hourly_usd == pytest.approx(4 * price.on_demand)
    assert running_nodes(pool, plan.servers) == 4
    assert {need.name: need.running for need in stack_quota_needs(plan, CATALOG)}["NVIDIA_L4_GPUS"] == 32


def test_a_pool_has_room_for_all_machines_of_a_group() -> None:
    (problem,) = problems_of(stack({"maxNodes": 3}, replicas=2))
    assert (problem.path, problem.what) == (
        "nodePools.gpus.maxNodes",
        "3 is less than the 4 nodes that its servers need",
    )


def test_members_of_a_group_find_each_other_by_what_the_controller_tells_them() -> None:
    plan = large()
    common = [
        "--tensor-parallel-size=8",
        "--pipeline-parallel-size=2",
        "--distributed-executor-backend=mp",
        "--nnodes=2",
    ]
    leader, worker = (template["spec"]["containers"][0] for template in (leader_template(plan), worker_template(plan)))
    for container in (leader, worker):
        assert set(common) <= set(container["args"])
        variables = {one["name"]: one for one in container["env"]}
        assert variables["NCCL_SOCKET_IFNAME"]["value"] == variables["GLOO_SOCKET_IFNAME"]["value"] == "eth0"
        assert variables["VLLM_HOST_IP"]["valueFrom"] == {"fieldRef": {"fieldPath": "status.podIP"}}
    assert leader["args"][-2:] == ["--node-rank=0", "--master-addr=$(LWS_LEADER_ADDRESS)"]
    assert worker["args"][-3:] == [
        "--node-rank=$(LWS_WORKER_INDEX)",
        "--master-addr=$(LWS_LEADER_ADDRESS)",
        "--headless",
    ]


def test_a_worker_has_no_server_to_ask_and_stays_while_its_leader_drains() -> None:
    plan = large()
    leader, worker = (template["spec"]["containers"][0] for template in (leader_template(plan), worker_template(plan)))
    assert set(leader) - set(worker) == {"ports", "startupProbe", "readinessProbe", "livenessProbe"}
    stays = worker["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert stays == plan.shutdown.sleep_seconds + plan.shutdown.timeout_seconds < plan.shutdown.grace_seconds


def test_a_group_restarts_as_one_and_is_replaced_one_after_the_other() -> None:
    plan = large(replicas=2)
    spec = group_spec(plan, leader_template(plan), worker_template(plan))
    template = spec.pop("leaderWorkerTemplate")
    assert spec == {
        "replicas": 2,
        "startupPolicy": "LeaderCreated",
        "rolloutStrategy": {
            "type": "RollingUpdate",
            "rollingUpdateConfiguration": {"maxSurge": 0, "maxUnavailable": 1, "partition": 0},
        },
        "networkConfig": {"subdomainPolicy": "UniquePerReplica"},
    }
    assert (template["size"], template["restartPolicy"]) == (2, "RecreateGroupOnPodRestart")
    assert (plan.rollout.max_surge, plan.rollout.disruption_budget) == (0, True)


def test_a_group_is_kept_in_one_zone_where_its_pool_has_several() -> None:
    assert "affinity" not in leader_template(large())["spec"]
    plan = planned(stack({"zones": ["us-central1-a", "us-central1-b"]}))
    (server,) = plan.servers
    (term,) = leader_template(server)["spec"]["affinity"]["podAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]
    assert term["topologyKey"] == "topology.kubernetes.io/zone"
    assert term["matchLabelKeys"] == ["leaderworkerset.sigs.k8s.io/group-index"]
    assert "servers.large.nodes" in [warning.path for warning in plan.warnings]


def test_each_group_has_a_policy_and_only_leaders_are_served_to() -> None:
    policy = large(replicas=2).network_policy
    assert policy is not None
    assert policy.spec["podSelector"]["matchLabels"]["leaderworkerset.sigs.k8s.io/worker-index"] == "0"
    first, second = policy.group_specs
    for index, spec in enumerate((first, second)):
        own = spec["podSelector"]
        assert own["matchLabels"]["leaderworkerset.sigs.k8s.io/group-index"] == str(index)
        assert spec["ingress"] == [{"from": [{"podSelector": own}], "ports": [{"protocol": "TCP"}]}]
        assert spec["egress"][0] == {"to": [{"podSelector": own}], "ports": [{"protocol": "TCP"}]}
        assert spec["egress"][1:] == policy.spec["egress"]


def test_the_same_input_gives_the_same_plan() -> None:
    assert planned(stack()) == planned(stack())


def test_a_server_on_one_machine_has_no_group() -> None:
    (server,) = planned(
        standard_stack({"gpus": L4}, {"chat": {"server": "vllm", "model": "Qwen/Qwen2.5-7B-Instruct"}})
    ).servers
    assert server.group is None
    assert server.served_selector == server.selector
    assert not [one for one in server.arguments if "pipeline" in one or "nnodes" in one]


@pytest.mark.parametrize(
    ("path", "changes", "what", "fix"),
    [
        (
            "tensorParallelSize",
            {"tensorParallelSize": 16, "pipelineParallelSize": 1},
            "tensor parallelism over 16 GPUs spans machines of 8",
            "use pipelineParallelSize: 2 and tensorParallelSize: 8 or less",
        ),
        (
            "pipelineParallelSize",
            {"pipelineParallelSize": 1},
            "tensor parallelism over 16 GPUs spans machines of 8",
            "use pipelineParallelSize: 2 and tensorParallelSize: 8 or less",
        ),
        (
            "pipelineParallelSize",
            {"pipelineParallelSize": 3},
            "3 stages of 5 GPUs do not make up 2 × 8 GPUs",
            "use pipelineParallelSize: 2 and tensorParallelSize: 8, or leave both out",
        ),
        (
            "nodes",
            {"version": "0.11.0"},
            "vLLM 0.11.0 cannot start on several machines by itself",
            "use version 0.12.0 or later",
        ),
        ("expertParallel", {"expertParallel": True}, f"{LARGE['model']} has no experts", "remove it"),
        ("speculativeTokens", {"speculativeTokens": 4}, "does not go with 2 pipeline stages", "remove it"),
        (
            "autoscaling",
            {"autoscaling": {"minReplicas": 1, "maxReplicas": 2}},
            "does not go with nodes: 2",
            "state replicas",
        ),
        (
            "workload",
            {"workload": {"requestRate": 1.0}},
            "does not go with nodes",
            "remove it, and measure the server",
        ),
        ("presets[0]", {"presets": ["cost"]}, "cost does not go with nodes", "remove it"),
        (
            "podPatch",
            {"podPatch": {"patch": {"spec": {"hostname": "a"}}}},
            "does not go with nodes: 2",
            "remove it, and use settings of pod",
        ),
    ],
)
def test_what_does_not_go_with_several_machines_is_refused(path: str, changes: Raw, what: str, fix: str) -> None:
    assert refused(path, **changes) == (what, fix)


def test_tgi_spans_no_machines() -> None:
    server = {"server": "tgi", "model": LARGE["model"], "accelerator": LARGE["accelerator"], "nodes": 2}
    found = problems_of(standard_stack({"gpus": L4}, {"large": server}))
    (problem,) = [one for one in found if one.path == "servers.large.nodes"]
    assert (problem.what, problem.fix) == (
        "TGI has nothing like it",
        "use vllm, or remove it and set accelerator.count",
    )


def test_layers_that_stages_do_not_divide_are_a_warning_that_says_what_vllm_does() -> None:
    plan = planned(stack({"maxNodes": 3}, nodes=3))
    (warning,) = [one for one in plan.warnings if "do not divide" in one.what]
    assert (warning.path, warning.what) == ("servers.large.nodes", "3 stages do not divide 88 layers")
    assert "29 + 30 + 29" in warning.why


def test_experts_that_gpus_do_not_divide_are_refused() -> None:
    mixtral = {"server": "vllm", "model": MIXTRAL, "accelerator": {"type": "nvidia-l4", "count": 8}}
    (server,) = planned(standard_stack({"gpus": L4}, {"moe": {**mixtral, "expertParallel": True}})).servers
    assert "--enable-expert-parallel" in server.arguments


def test_stages_on_one_machine_need_no_group() -> None:
    (server,) = planned(
        standard_stack(
            {"gpus": L4},
            {"moe": {"server": "vllm", "model": MIXTRAL, "accelerator": L4["accelerator"], "pipelineParallelSize": 4}},
        )
    ).servers
    assert server.group is None
    assert {"--tensor-parallel-size=2", "--pipeline-parallel-size=4"} <= set(server.arguments)


def test_what_no_machine_holds_is_proposed_on_several() -> None:
    numbers = architecture(
        parameters=700_000_000_000,
        layers=126,
        hiddenSize=32768,
        intermediateSize=81920,
        attentionHeads=128,
        kvHeads=8,
        headDim=128,
    )
    server = {**ON_H100, "server": "vllm", "model": "acme/giant", "architecture": numbers}
    (problem,) = problems_of(standard_stack({"h100": {**H100, "provisioning": {"model": "spot"}}}, {"large": server}))
    assert problem.path == "servers.large"
    assert "(nodes: " in problem.fix


def test_405b_on_one_machine_is_refused_and_two_machines_are_proposed() -> None:
    server = {**ON_H100, "server": "vllm", "model": "meta-llama/Llama-3.1-405B-Instruct"}
    (problem,) = problems_of(standard_stack({"h100": {**H100, "provisioning": {"model": "spot"}}}, {"large": server}))
    assert (
        "2 machines with 8 × nvidia-h100-80gb (nodes: 2)" in problem.fix or "(nodes: 2), on a node pool" in problem.fix
    )


def test_autopilot_makes_the_machines_of_a_group_one_by_one() -> None:
    plan = planned(autopilot_stack(**LARGE))
    (server,) = plan.servers
    assert server.group is not None
    assert server.group.one_zone
    (warning,) = [one for one in plan.warnings if one.path == "servers.gemma.nodes"]
    assert warning.what == "Autopilot makes the 2 machines of a group one by one"


@given(
    nodes=st.integers(1, 16),
    stages=st.none() | st.integers(1, 100),
    shares=st.none() | st.integers(1, 20),
    experts=st.none() | st.booleans(),
    count=st.sampled_from([1, 2, 4, 8]),
    model=st.sampled_from([LARGE["model"], MIXTRAL]),
)
@PROPERTY
def test_whatever_is_asked_is_planned_or_refused(
    nodes: int, stages: int | None, shares: int | None, experts: bool | None, count: int, model: str
) -> None:
    asked = {"pipelineParallelSize": stages, "tensorParallelSize": shares, "expertParallel": experts}
    server = {
        "server": "vllm",
        "model": model,
        "accelerator": {"type": "nvidia-l4", "count": count},
        "nodes": nodes,
        "maxModelLen": 4096,
        **{key: value for key, value in asked.items() if value is not None},
    }
    outcome = outcome_of(standard_stack({"gpus": {**L4, "maxNodes": 16}}, {"large": server}))
    if isinstance(outcome, StackPlan):
        (plan,) = outcome.servers
        assert plan.pods == nodes
        assert (plan.group is None) == (nodes == 1)
