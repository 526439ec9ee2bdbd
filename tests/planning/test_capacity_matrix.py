"""Lists of tiers, modes, families of machines and ways to the model together: planned, or refused for what is wrong."""

from gke_llm_inference.settings import Refusal
from tests.planning.capacities import CELLS, LISTS, MACHINES, MODES, PATHS, sample, stack_of
from tests.planning.support import outcome_of


def test_there_is_every_combination() -> None:
    assert len(LISTS) == 4 + 12 + 24 + 24
    assert len(CELLS) == len(MODES) * len(LISTS) * len(MACHINES) * len(PATHS)


def test_a_combination_is_refused_for_what_its_machines_cannot_do_and_planned_otherwise() -> None:
    planned = 0
    for cell in sample(CELLS, 160, seed=16):
        outcome = outcome_of(stack_of([cell]))
        if isinstance(outcome, Refusal):
            assert {one.path for one in outcome.problems} == cell.refused, cell
            continue
        assert cell.refused == set(), cell
        (server,) = outcome.servers
        assert server.capacity is not None
        assert tuple((tier.model, tier.machine_type) for tier in server.capacity.tiers) == cell.tiers, cell
        planned += 1
    assert planned > 40
