"""Every list of tiers, mode, family of machines and way to the model: taken under strict validation, and placed.

Two stacks with a sample of them unless CAPACITY_MATRIX is `all`, as `make test-capacity` sets.
"""

import os
from collections.abc import Sequence
from typing import Any

import pytest

from local.gke.nodes import MACHINE
from tests.cluster.support import NAMESPACE, Cluster, config_text, documents_of
from tests.planning.capacities import CELLS, MODELS, MODES, Cell, sample, stack_of
from tests.planning.support import planned
from tests.support import Recordings

IN_CI = 16
AT_ONCE = 40


def batches() -> list[tuple[str, frozenset[str], list[Cell]]]:
    """Modes with the ways in which Google has machines just now, and the servers that ask for some."""
    found = []
    for mode in MODES:
        cells = [cell for cell in CELLS if cell.mode == mode and not cell.refused]
        if os.environ.get("CAPACITY_MATRIX") != "all":
            # Half of the tiers are out: there is something to fall back to, and nothing for some.
            found.append((mode, frozenset({"onDemand", "spot"}), sample(cells, IN_CI, seed=16)))
            continue
        for start in range(0, len(cells), AT_ONCE):
            there = frozenset(sample_of_models(start))
            found.append((mode, there, cells[start : start + AT_ONCE]))
    return found


def sample_of_models(number: int) -> tuple[str, ...]:
    """One of the sets of ways in which Google gives machines, each in turn."""
    chosen = number // AT_ONCE % (2 ** len(MODELS) - 1) + 1
    return tuple(model for place, model in enumerate(MODELS) if chosen >> place & 1)


@pytest.mark.parametrize(
    ("mode", "there", "cells"), [pytest.param(*one, id=f"{one[0]} from {one[2][0].number}") for one in batches()]
)
def test_pods_are_placed_on_the_first_tier_that_has_a_machine(
    mode: str, there: frozenset[str], cells: Sequence[Cell], request: pytest.FixtureRequest, recordings: Recordings
) -> None:
    cluster: Cluster = request.getfixturevalue(mode)
    raw = stack_of(cells)
    cluster.gke.set_stock(cluster.gke.stock.changed(f"{model}=0" for model in MODELS if model not in there))
    cluster.gke.simulate(planned(raw))
    for document in documents_of(recordings.config(config_text(raw))):
        cluster.create(document)
    expected = {cell.server: first_of(cell, there) for cell in cells}
    placed = {name for name, tier in expected.items() if tier is not None}
    cluster.wait(lambda: placed <= set(homes(cluster)), "every pod that finds a machine has one", 90)
    # Those that wait do so because nothing is left for them, or because flex-start machines may still come.
    waiting = {cell for cell in cells if cell.server not in placed}
    asking = {cell.server for cell in waiting if "flexStart" in cell.models}
    left = {cell.server for cell in waiting} - asking
    cluster.wait(lambda: told(cluster, "NotTriggerScaleUp") >= left, "the others are told", 60)
    cluster.wait(lambda: told(cluster, "NotTriggerScaleUp", "TriggeredScaleUp") >= asking, "the others have asked", 60)
    found = homes(cluster)
    assert {name: home[:2] for name, home in found.items()} == {
        name: (tier, cell_of(cells, name).tiers[tier][1]) for name, tier in expected.items() if tier is not None
    }
    models = {name: home[2] for name, home in found.items() if has_class(cell_of(cells, name))}
    assert models == {name: cell_of(cells, name).tiers[home[0]][0] for name, home in found.items() if name in models}


def first_of(cell: Cell, there: frozenset[str]) -> int | None:
    """The place of the tier on which a pod lands."""
    return next((index for index, (model, _) in enumerate(cell.tiers) if model in there), None)


def cell_of(cells: Sequence[Cell], server: str) -> Cell:
    return next(cell for cell in cells if cell.server == server)


def has_class(cell: Cell) -> bool:
    """Whether a list becomes a compute class: pods of one tier on Autopilot ask for it by themselves."""
    return cell.mode == "standard" or len(cell.tiers) > 1


def homes(cluster: Cluster) -> dict[str, tuple[int, str, str]]:
    """Where pods are, by server: the place of the tier in the list, the machine type, and how Google gave it."""
    nodes: dict[str, Any] = {one.metadata.name: one.metadata for one in cluster.gpu_nodes()}
    found = {}
    for pod in cluster.pods():
        node = nodes.get(pod.spec.node_name)
        if node is not None and (pod.spec.node_selector.get("cloud.google.com/compute-class") is None or _index(node)):
            model, machine_type, *_ = node.annotations[MACHINE].split()
            server = pod.metadata.labels["app.kubernetes.io/instance"]
            found[server] = (int(_index(node) or 0), machine_type, model)
    return found


def _index(node: Any) -> str | None:
    index: str | None = node.annotations.get("ccc_priority_index")
    return index


def told(cluster: Cluster, *reasons: str) -> set[str]:
    """The servers whose pods had an event with one of the reasons."""
    events = cluster.core.list_namespaced_event(NAMESPACE).items
    pods = {one.involved_object.name for one in events if one.reason in reasons}
    return {name.rsplit("-", 2)[0] for name in pods}
