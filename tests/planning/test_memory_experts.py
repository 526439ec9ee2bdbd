"""Bounds of models with experts and latent attention, held against real starts."""

from gke_llm_inference.catalog.memory_facts import experts_path
from tests.planning.support import CATALOG
from tools.memory_accuracy import case_request, plan_request, read_cases

CASES = list(read_cases(experts_path().read_text("utf-8")).values())
# What estimates of models without such parts are off by, in MiB.
_ELSE = 64


def test_every_start_is_between_the_bounds_of_its_plan() -> None:
    assert len(CASES) == 13
    for case in CASES:
        plan = plan_request(case_request(case), CATALOG.memory)
        assert plan.verdict == "estimated", case["id"]
        low, high = plan.band_mib
        pool = plan.state.kv_cache_mib
        assert pool - high <= case["available_kv_mib"] <= pool - low + _ELSE, case["id"]


def test_weights_of_experts_are_within_a_third_of_a_percent() -> None:
    for case in CASES:
        plan = plan_request(case_request(case), CATALOG.memory)
        assert abs(plan.weights_mib / case["weights_mib"] - 1) < 1 / 300, case["id"]
