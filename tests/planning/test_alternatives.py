"""What is proposed in place of a server that does not fit is planned as it stands: placement, machine and price."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from gke_llm_inference.planning import ServerPlan, StackPlan
from gke_llm_inference.settings import Refusal
from tests.planning.support import CATALOG, existing_stack, outcome_of, planned, standard_stack
from tests.settings.support import Raw, autopilot_stack

H100 = {"type": "nvidia-h100-80gb", "count": 1}
SERVERS: dict[str, Raw] = {
    "gemma 7b": {"server": "vllm", "model": "google/gemma-7b-it"},
    "gemma 7b of 0.10": {"server": "vllm", "model": "google/gemma-7b-it", "version": "0.10.0"},
    "gemma 7b with tgi": {"server": "tgi", "model": "google/gemma-7b-it"},
    "gemma 27b": {"server": "vllm", "model": "google/gemma-3-27b-it"},
    "llama 13b": {"server": "vllm", "model": "meta-llama/Llama-2-13b-hf"},
    "llama 70b": {"server": "vllm", "model": "meta-llama/Llama-3.1-70B-Instruct"},
    "llama 70b awq": {"server": "vllm", "model": "hugging-quants/Meta-Llama-3.1-70B-Instruct-AWQ-INT4"},
    "mixtral": {"server": "vllm", "model": "mistralai/Mixtral-8x7B-Instruct-v0.1"},
    "falcon": {"server": "tgi", "model": "tiiuae/falcon-40b-instruct"},
    "several replicas": {"server": "vllm", "model": "google/gemma-7b-it", "replicas": 3},
    "a preset": {"server": "vllm", "model": "google/gemma-3-27b-it", "presets": ["latency"]},
    "extra arguments": {
        "server": "vllm",
        "model": "google/gemma-7b-it",
        "extraArgs": ["--max-model-len=8192", "--no-enable-prefix-caching"],
    },
    "much memory": {"server": "vllm", "model": "google/gemma-7b-it", "resources": {"memoryGib": 100, "cpu": 6}},
    "on spot": {"server": "vllm", "model": "google/gemma-3-27b-it", "provisioning": {"model": "spot"}},
}
POOLS: dict[str, Raw] = {
    "l4": {"l4": {"maxNodes": 3}},
    "spot": {"l4": {"maxNodes": 3, "provisioning": {"model": "spot"}}},
    "four": {"l4": {"accelerator": {"type": "nvidia-l4", "count": 4}, "maxNodes": 1}},
    "small disk": {"l4": {"maxNodes": 3, "diskSizeGb": 100}},
    "smallest machine": {"l4": {"maxNodes": 3, "machineType": "g2-standard-8"}},
}


def stacks() -> dict[str, Raw]:
    found: dict[str, Raw] = {}
    for name, server in SERVERS.items():
        found[f"autopilot, {name}"] = {**autopilot_stack(), "servers": {"gemma": server}}
        found[f"existing, {name}"] = existing_stack({"gemma": server})
        if "provisioning" in server:
            continue
        for pool, pools in POOLS.items():
            found[f"{pool}, {name}"] = standard_stack(pools, {"gemma": server})
    return found


def with_change(raw: Raw, changes: dict[str, Any], node_pool: tuple[str, Any] | None) -> Raw:
    """The stack with what was proposed."""
    changed = copy.deepcopy(raw)
    server = changed["servers"]["gemma"]
    for name, value in changes.items():
        owner, _, key = name.rpartition(".")
        (server.setdefault(owner, {}) if owner else server)[key] = value
    if node_pool is not None:
        key, pool = node_pool
        changed["nodePools"][key] = pool.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return changed


def unfit_plan(raw: Raw) -> ServerPlan | None:
    """The plan of the server though it does not fit; None where another problem refuses it."""
    changed = copy.deepcopy(raw)
    changed["servers"]["gemma"]["allowUnfit"] = True
    outcome = outcome_of(changed)
    return None if isinstance(outcome, Refusal) else outcome.servers[0]


@pytest.mark.parametrize("name", stacks())
def test_every_proposal_is_planned_as_it_was_proposed(name: str) -> None:
    raw = stacks()[name]
    server = unfit_plan(raw)
    for one in server.alternatives if server is not None else ():
        outcome = outcome_of(with_change(raw, dict(one.changes), one.node_pool))
        assert isinstance(outcome, StackPlan), f"{one.what}: {outcome}"
        (found,) = outcome.servers
        assert found.memory is not None
        assert found.memory.starts, one.what
        assert one.machine_type == found.machine_type, one.what
        machine = CATALOG.machine_types[str(one.machine_type)]
        assert one.usd_per_hour == (machine.usd_per_hour.on_demand if machine.usd_per_hour else None)


def test_most_of_these_stacks_have_proposals() -> None:
    found = [name for name, raw in stacks().items() if (plan := unfit_plan(raw)) is not None and plan.alternatives]
    assert len(found) > 50


def test_a_machine_that_is_sold_as_spot_only_is_proposed_on_spot_only() -> None:
    server = {"server": "vllm", "model": "google/gemma-3-27b-it"}

    def kinds(provisioning: str) -> set[str | None]:
        raw = standard_stack({"l4": {"provisioning": {"model": provisioning}}}, {"gemma": server})
        plan = unfit_plan(raw)
        assert plan is not None
        return {one.machine_type for one in plan.alternatives}

    assert "a3-highgpu-1g" not in kinds("onDemand")
    assert "a3-highgpu-1g" in kinds("spot")


def test_a_refusal_names_the_node_pool_that_a_proposal_needs() -> None:
    raw = standard_stack(
        {"l4": {}}, {"gemma": {"server": "vllm", "model": "meta-llama/Llama-2-13b-hf", "maxModelLen": 4096}}
    )
    outcome = outcome_of(raw)
    assert isinstance(outcome, Refusal)
    (problem,) = outcome.problems
    assert "2 GPUs, on a node pool of 2 × nvidia-l4 such as nodePools.l4-x2" in problem.fix
    pools = {"l4-x2": {"accelerator": {"type": "nvidia-l4", "count": 2}}}
    planned(standard_stack(pools, {"gemma": {**raw["servers"]["gemma"], "accelerator": {"count": 2}}}))
