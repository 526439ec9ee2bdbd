"""A stack is planned or refused as a whole: pure, in a fixed order, with every problem at once."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_llm_inference.planning.capacity import Capacity
from gke_llm_inference.planning.machines import holds
from gke_llm_inference.planning.memory.sharding import heads_divide, kv_heads_divide
from gke_llm_inference.settings import Refusal, parse_settings
from tests.planning.support import (
    CATALOG,
    GEMMA,
    QWEN,
    TGI,
    existing_stack,
    on_autopilot,
    only_problem,
    outcome_of,
    planned,
    problems_of,
    standard_stack,
)
from tests.settings.strategies import RAW_STACKS
from tests.settings.support import PROPERTY, TOKEN, Raw, autopilot_stack, full_stack
from tests.support import effective_of

if TYPE_CHECKING:
    from gke_llm_inference.planning import StackPlan

REPOSITORY = Path(__file__).parents[2]
PAIR = {**QWEN, "accelerator": {"count": 2}}
STACKS = {
    "autopilot": autopilot_stack(),
    "standard": standard_stack(
        {"l4": {"maxNodes": 4, "labels": {"b": "1", "a": "2"}}, "pair": {"accelerator": {"count": 2}, "maxNodes": 2}},
        {
            "tgi": {**TGI, "maxModelLen": 2048},
            "gemma": {**GEMMA, "replicas": 2, "labels": {"y": "1", "x": "2"}},
            "qwen": {**QWEN, "accelerator": {"count": 2}},
        },
        labels={"team": "ml", "cost": "7"},
    ),
    "existing": existing_stack({"qwen": QWEN, "gemma": GEMMA}),
}


def backwards(raw: Any) -> Any:
    """`raw` with the keys of every mapping in the opposite order."""
    if isinstance(raw, dict):
        return {key: backwards(value) for key, value in reversed(raw.items())}
    if isinstance(raw, list):
        return [backwards(value) for value in raw]
    return raw


def without_settings(plan: Any) -> Any:
    """A plan as plain data, without the settings that it carries along."""
    if dataclasses.is_dataclass(plan) and not isinstance(plan, type):
        return {
            field.name: without_settings(getattr(plan, field.name))
            for field in dataclasses.fields(plan)
            if field.name != "settings"
        }
    if isinstance(plan, tuple):
        return [without_settings(entry) for entry in plan]
    return plan


@pytest.mark.parametrize("raw", STACKS.values(), ids=STACKS)
def test_a_plan_does_not_depend_on_the_order_of_keys(raw: Raw) -> None:
    assert planned(backwards(raw)) == planned(raw)


@pytest.mark.parametrize("raw", STACKS.values(), ids=STACKS)
def test_a_plan_written_down_is_the_same_text_whatever_the_order_of_keys(raw: Raw) -> None:
    assert repr(without_settings(planned(backwards(raw)))) == repr(without_settings(planned(raw)))


def test_servers_and_pools_of_a_plan_stand_in_the_order_of_their_names() -> None:
    plan = planned(STACKS["standard"])
    assert [server.key for server in plan.servers] == ["gemma", "qwen", "tgi"]
    assert [pool.key for pool in plan.node_pools] == ["l4", "pair"]


@pytest.mark.parametrize("raw", STACKS.values(), ids=STACKS)
def test_a_plan_cannot_be_changed(raw: Raw) -> None:
    plan = planned(raw)
    pods = [(server.resources, server.probes, server.shutdown, server.rollout) for server in plan.servers]
    parts: list[Any] = [plan, plan.cluster, plan.token, *plan.servers, *plan.node_pools, *itertools.chain(*pods)]
    for part in parts:
        for field in dataclasses.fields(part):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(part, field.name, None)


def test_planning_is_the_same_in_every_process_and_needs_neither_pulumi_nor_a_network() -> None:
    program = """
import json, socket, sys
socket.socket = None
from gke_llm_inference.planning import StackIdentity, plan_stack
from gke_llm_inference.settings import parse_settings
for raw in json.load(sys.stdin):
    print(repr(plan_stack(parse_settings(raw), StackIdentity("gke-llm-inference", "test", "my-project"))))
"""
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONHASHSEED": seed},
            input=json.dumps(list(STACKS.values())),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    (text,) = outputs
    assert text.splitlines() == [repr(planned(raw)) for raw in STACKS.values()]


@pytest.mark.parametrize("package", ["", ".planning", ".settings", ".catalog"])
def test_neither_pulumi_nor_other_heavy_packages_are_imported_for_a_plan(package: str) -> None:
    program = f"import sys, gke_llm_inference{package}; print(*sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert f"gke_llm_inference{package}" in loaded
    heavy = {"pulumi", "pulumi_gcp", "pulumi_kubernetes", "grpc", "google", "numpy", "components"}
    assert not {name.partition(".")[0] for name in loaded} & heavy
    assert not loaded & {"gke_llm_inference.preview", "gke_llm_inference.components", "gke_llm_inference.cli"}


@pytest.mark.parametrize("path", sorted(REPOSITORY.glob("Pulumi.*.yaml")), ids=lambda path: path.name)
def test_a_stack_of_the_repository_is_planned(path: Path) -> None:
    raw = effective_of(path)
    plan = planned(raw)
    assert {server.key for server in plan.servers} == set(raw["servers"])
    assert [warning.path for warning in plan.warnings if not warning.path.endswith(".server")] == []


def test_all_problems_of_a_stack_are_reported_together() -> None:
    raw = standard_stack(
        {
            "a": {"accelerator": {"type": "nvidia-14"}},
            "b": {"machineType": "g2-standard-24"},
            "c": {"zones": ["us-east4-a"], "taints": [{"key": "gke.io/x", "value": ""}]},
        },
        {
            "d": {**GEMMA, "version": "0.1.0"},
            "e": {**TGI, "model": "nobody/knows-this"},
            "f": {**QWEN, "accelerator": {"count": 8}, "provisioning": {"model": "spot"}},
            "g": {**QWEN, "maxModelLen": 40000, "resources": {"ephemeralStorageGib": 1}, "extraArgs": ["--nothing"]},
        },
        zones=["us-east4-a"],
    )
    raw["huggingFace"] = {"tokenSource": "none"}
    assert [problem.path for problem in problems_of(raw)] == [
        "cluster.zones[0]",
        "nodePools.a.accelerator.type",
        "nodePools.b.machineType",
        "nodePools.c.taints[0].key",
        "nodePools.c.zones[0]",
        "servers.d.model",
        "servers.d.version",
        "servers.e.model",
        "servers.f.accelerator.count",
        "servers.f.provisioning",
        "servers.g.extraArgs[0]",
        "servers.g.maxModelLen",
        "servers.g.resources.ephemeralStorageGib",
    ]


@pytest.mark.parametrize(
    ("raw", "paths"),
    [
        pytest.param(
            standard_stack({"l4": {}}, {"a": {**GEMMA, "version": "0.1.0"}, "b": PAIR}),
            ["servers.a.version", "servers.b.accelerator"],
            id="a server's own problem and another's placement",
        ),
        pytest.param(
            autopilot_stack(version="0.1.0", nodePool="l4"),
            ["servers.gemma.nodePool", "servers.gemma.version"],
            id="a server's own problem and Autopilot's",
        ),
        pytest.param(
            standard_stack({"l4": {}}, {"a": {**GEMMA, "replicas": 2}, "b": PAIR}),
            ["nodePools.l4.maxNodes", "servers.b.accelerator"],
            id="a pool's capacity and a server without pool",
        ),
        pytest.param(
            autopilot_stack(version="0.1.0", maxModelLen=9000),
            ["servers.gemma.maxModelLen", "servers.gemma.version"],
            id="a version and the model's own limit",
        ),
    ],
)
def test_problems_of_different_steps_are_reported_together(raw: Raw, paths: list[str]) -> None:
    assert [problem.path for problem in problems_of(raw)] == paths


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(autopilot_stack(accelerator={"type": TOKEN}), id="GPU"),
        pytest.param(standard_stack({"l4": {}}, {"gemma": {**GEMMA, "nodePool": TOKEN}}), id="name of a pool"),
        pytest.param(autopilot_stack(model=f"{TOKEN}/{TOKEN}"), id="model"),
        pytest.param(
            {**autopilot_stack(), "servers": {TOKEN: {**GEMMA, "maxModelLen": 9000}}},
            id="name of a server",
        ),
    ],
)
def test_a_token_in_the_wrong_place_is_not_in_the_refusal_of_a_plan(raw: Raw) -> None:
    outcome = outcome_of(raw)
    assert isinstance(outcome, Refusal)
    assert TOKEN not in str(outcome)


def fits(plan: StackPlan) -> None:
    """Every pod of the plan fits the machine that it is planned for."""
    for server in plan.servers:
        if server.machine_type is None or server.replicas == 0:
            continue
        machine = CATALOG.machine_types[server.machine_type]
        need = Capacity(cpu_millicores=server.resources.cpu_millicores, memory_mib=server.resources.memory_gib * 1024)
        assert holds(machine, need, CATALOG), server.name
        assert machine.accelerator == server.gpu_type
        assert machine.gpus >= server.gpu_count


def holds_together(plan: StackPlan) -> None:
    """What must be true of any plan."""
    pools = {pool.key: pool for pool in plan.node_pools}
    assert len({server.name for server in plan.servers}) == len(plan.servers)
    assert len({pool.name for pool in plan.node_pools}) == len(pools)
    for pool in plan.node_pools:
        machine = CATALOG.machine_types[pool.machine_type]
        assert (machine.accelerator, machine.gpus) == (pool.settings.accelerator.type, pool.settings.accelerator.count)
        assert pool.zones
        assert all(zone.startswith(f"{plan.cluster.region}-") for zone in pool.zones)
    for server in plan.servers:
        if server.node_pool is not None:
            assert server.node_selector.items() > {"llm-inference/node-pool": pools[server.node_pool].name}.items()
        elif plan.cluster.profile == "standard":
            assert plan.cluster.settings.mode == "existing"
        assert server.rollout.max_surge + server.rollout.max_unavailable >= 1
        ends = server.shutdown
        assert 0 < ends.sleep_seconds + ends.timeout_seconds < ends.grace_seconds
        assert server.resources.cpu_millicores > 0
        assert server.probes.startup_seconds >= max(600, 1.19 * server.start.expected_seconds)
        assert server.rollout.progress_deadline_seconds > server.start.new_node_seconds + server.shutdown.grace_seconds
        if "spot" in {toleration.key.rpartition("-")[2] for toleration in server.tolerations}:
            assert server.shutdown.grace_seconds < 30
    for pool in plan.node_pools:
        gpus = sum(server.replicas * server.gpu_count for server in plan.servers if server.node_pool == pool.key)
        clients = pool.settings.sharing.max_clients if pool.settings.sharing else 1
        assert gpus <= pool.settings.max_nodes * pool.settings.accelerator.count * clients


def test_a_preset_that_does_not_exist_is_refused_with_a_reason_too() -> None:
    problem = only_problem(autopilot_stack(presets=["fp9"]))
    assert (problem.path, problem.what) == ("servers.gemma.presets[0]", "fp9 is not a preset")
    assert problem.fix.startswith("did you mean fp8?")
    assert problem.why


@given(raw=RAW_STACKS)
@PROPERTY
def test_any_configuration_is_planned_or_refused_with_reasons(raw: Raw) -> None:
    outcome = outcome_of(raw)
    if isinstance(outcome, Refusal):
        assert outcome.problems
        for problem in outcome.problems:
            assert all((problem.path, problem.what, problem.why, problem.fix)), problem
        return
    fits(outcome)
    holds_together(outcome)


def stores_its_model(server: Raw) -> bool:
    """Whether the storage that the server asks for, if any, holds its model."""
    asked = server.get("resources", {}).get("ephemeralStorageGib")
    return asked is None or CATALOG.models[server["model"]].weights_gib + 2 <= asked


MEASURED = sorted(
    name
    for name, facts in CATALOG.models.items()
    if facts.family in ("falcon", "gemma", "gemma2", "llama", "mistral", "qwen2")
    and facts.task == "generate"
    and heads_divide(facts, 4)
    and kv_heads_divide(facts, 4)
)
"""Models of families that both servers load, on up to four GPUs."""

POSSIBLE_SERVERS: st.SearchStrategy[Raw] = st.fixed_dictionaries(
    {
        "server": st.sampled_from(["vllm", "tgi"]),
        "model": st.sampled_from(MEASURED),
        "accelerator": st.fixed_dictionaries({"count": st.sampled_from([1, 2, 4])}),
        "allowUnfit": st.just(True),
    },
    optional={
        "replicas": st.integers(0, 3),
        "maxModelLen": st.integers(2, 2048),
        "image": st.just("registry.example/server:1-cu129"),
        "labels": st.just({"team": "ml"}),
        "resources": st.fixed_dictionaries(
            {},
            optional={
                "cpu": st.integers(1, 20),
                "memoryGib": st.integers(17, 80),
                "ephemeralStorageGib": st.integers(100, 120),
            },
        ),
    },
).filter(stores_its_model)
POSSIBLE_POOLS = st.fixed_dictionaries(
    {"maxNodes": st.integers(20, 30), "diskSizeGb": st.integers(1000, 2000)},
    optional={
        "driverVersion": st.sampled_from(["default", "latest"]),
        "zones": st.just(["us-central1-a"]),
        "minNodes": st.integers(0, 3),
        "localSsds": st.integers(0, 1),
        "labels": st.just({"team": "ml"}),
        "taints": st.just([{"key": "team", "value": "ml"}]),
    },
)


@given(
    servers=st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), POSSIBLE_SERVERS, min_size=1),
    mode=st.sampled_from(["autopilot", "standard", "existing"]),
    pool=POSSIBLE_POOLS,
    spot=st.booleans(),
)
@PROPERTY
def test_a_stack_within_the_bounds_of_its_machines_is_planned(
    servers: Raw, mode: str, pool: Raw, *, spot: bool
) -> None:
    provisioning = {"model": "spot" if spot else "onDemand"}
    pools = {
        f"l4-{count}": {"accelerator": {"count": count}, "provisioning": provisioning, **pool} for count in (1, 2, 4)
    }
    raw = standard_stack(pools, servers)
    if mode == "existing":
        raw = existing_stack(servers)
    elif mode == "autopilot":
        raw = autopilot_stack()
        raw["servers"] = {key: {**server, "provisioning": provisioning} for key, server in servers.items()}
    plan = planned(raw)
    assert [server.key for server in plan.servers] == sorted(servers)
    fits(plan)
    holds_together(plan)


def test_a_plan_holds_no_token() -> None:
    plan = planned(full_stack())
    assert "hf_" not in repr(plan).replace("hf_api_token", "")


def test_the_namespace_keeps_its_pods_to_the_baseline_standard() -> None:
    plan = planned({**autopilot_stack(), "namespace": "models", "createNamespace": False})
    assert (plan.namespace, plan.create_namespace) == ("models", False)
    assert plan.namespace_labels["pod-security.kubernetes.io/enforce"] == "baseline"
    assert {plan.token.namespace, *(server.namespace for server in plan.servers)} == {"models"}


def test_settings_that_come_from_python_are_planned_like_those_of_a_file() -> None:
    assert planned(STACKS["autopilot"]).servers[0] == on_autopilot()
    assert parse_settings(STACKS["autopilot"]).cluster == planned(STACKS["autopilot"]).cluster.settings
