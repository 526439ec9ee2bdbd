"""Every model of the catalog that generates text, on its cheapest machine: planned, taken as it is, and placed.

A seeded sample unless MODELS is `all`, as `make test-models` sets.
"""

import os
import random
from collections.abc import Sequence
from typing import Any

import pytest

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.planning.model_choices import ModelChoices, choices_of
from gke_llm_inference.planning.optimize import Asked, fragment, server_name
from tests.cluster.support import Cluster, config_text, documents_of
from tests.planning.support import planned, standard_stack
from tests.support import Recordings

CATALOG = load_catalog()
GENERATING = [name for name, model in CATALOG.models.items() if model.task == "generate"]
IN_CI = 8
# Where nothing with a price holds a model: the disks and the storage that this machine boots and loads from.
LARGEST = "a3-ultragpu-8g"
SOLD = {"diskType": "hyperdisk-balanced", "localSsds": 32, "provisioning": {"model": "spot"}}
ON_H200S = {
    "accelerator": {"type": "nvidia-h200-141gb", "count": 8},
    "maxModelLen": 16384,
}
AT_ONCE = 30


def batches() -> list[list[str]]:
    """Models, as many as a stack has servers of here."""
    if os.environ.get("MODELS") != "all":
        return [sorted(random.Random(240).sample(GENERATING, IN_CI))]
    return [GENERATING[start : start + AT_ONCE] for start in range(0, len(GENERATING), AT_ONCE)]


@pytest.mark.parametrize("models", [pytest.param(one, id=one[0]) for one in batches()])
def test_each_is_placed_on_its_cheapest_machine(
    models: Sequence[str], standard: Cluster, recordings: Recordings
) -> None:
    found = [choices_of(name, CATALOG, region="us-central1", spot=False) for name in models]
    machines = {server_name(choices.model): machine_of(choices) for choices in found}
    raw = stack_of(found)
    plan = planned(raw)
    verdicts = {server.key: server.memory.verdict for server in plan.servers if server.memory is not None}
    assert set(verdicts) == set(machines)
    assert set(verdicts.values()) <= {"fits", "estimated"}
    standard.gke.simulate(plan)
    for document in documents_of(recordings.config(config_text(raw))):
        standard.create(document)
    standard.wait(lambda: homes(standard) == machines, "every pod is on its machine", 120)


def stack_of(found: Sequence[ModelChoices]) -> dict[str, Any]:
    """A Standard stack with a pool for each kind of machine and a server for each model, as `optimize` writes them."""
    pools: dict[str, Any] = {}
    servers: dict[str, Any] = {}
    for choices in found:
        if choices.cheapest is not None:
            stated = fragment(Asked(model=choices.model, goal="cost"), choices.cheapest)
            (server,) = stated["servers"].values()
            machine, further = machine_of(choices), {}
        else:
            server = {"server": "vllm", "model": choices.model, **ON_H200S}
            machine, further = LARGEST, SOLD
        pool = pools.setdefault(
            machine, {"accelerator": server["accelerator"], "machineType": machine, "maxNodes": 0, **further}
        )
        pool["maxNodes"] += server.get("replicas", 1)
        servers[server_name(choices.model)] = server
    return standard_stack(pools, servers)


def machine_of(choices: ModelChoices) -> str:
    """The machine type that the model is to be on."""
    return choices.cheapest.candidate.offer.machine_type if choices.cheapest is not None else LARGEST


def homes(cluster: Cluster) -> dict[str, str]:
    """The machine type that each server's pod is on."""
    types = {
        node.metadata.name: node.metadata.labels["node.kubernetes.io/instance-type"] for node in cluster.gpu_nodes()
    }
    return {
        pod.metadata.labels["app.kubernetes.io/instance"]: types[pod.spec.node_name]
        for pod in cluster.pods()
        if pod.spec.node_name in types
    }
