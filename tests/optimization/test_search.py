"""The search behind goals: what it must never do, over random questions, and what it says of known ones."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.catalog.workload_facts import read_workload_profiles
from gke_llm_inference.planning import StackIdentity, plan_stack
from gke_llm_inference.planning.optimization import SIMULATIONS, Optimum, Option, pareto
from gke_llm_inference.planning.optimization.criteria import CLOSE, best_of, criteria
from gke_llm_inference.planning.optimize import Asked, fragment, optimize
from gke_llm_inference.planning.performance.load import Lengths
from gke_llm_inference.planning.performance.replica import HEADROOM
from gke_llm_inference.planning.performance.workload import Workload
from gke_llm_inference.settings import Refusal, parse_settings
from tests.support import REPOSITORY

pytestmark = pytest.mark.searches

CATALOG = load_catalog()
GPUS = ("nvidia-l4", "nvidia-tesla-a100")
QWEN = "Qwen/Qwen2.5-7B-Instruct"


def question(
    model: str = QWEN,
    *,
    inputs: int = 500,
    outputs: int = 100,
    rate: float | None = 2.0,
    ttft: float | None = None,
    tpot: float | None = None,
    gpus: tuple[str, ...] = GPUS,
    **more: Any,
) -> Asked:
    workload: tuple[tuple[str, Any], ...] = (("inputTokens", inputs), ("outputTokens", outputs))
    stated = {"ttft": ttft, "tpot": tpot}
    return Asked(
        model=model,
        workload=workload if rate is None else (*workload, ("requestRate", rate)),
        objectives=tuple((key, {"milliseconds": value}) for key, value in stated.items() if value is not None),
        gpus=gpus,
        **more,
    )


def answer(asked: Asked) -> Optimum:
    return optimize(asked, CATALOG)


def best(asked: Asked) -> Option:
    found = answer(asked).best
    assert found is not None
    return found


QUESTIONS = st.builds(
    question,
    st.sampled_from([QWEN, "google/gemma-3-4b-it", "google/gemma-7b-it"]),
    inputs=st.integers(32, 3000),
    outputs=st.integers(8, 400),
    rate=st.one_of(st.none(), st.floats(0.1, 20)),
    ttft=st.one_of(st.none(), st.floats(5, 5000)),
    tpot=st.one_of(st.none(), st.floats(1, 200)),
    gpus=st.sampled_from([("nvidia-l4",), GPUS]),
)


@settings(max_examples=5, deadline=None, derandomize=True)
@given(QUESTIONS)
def test_what_is_proposed_meets_the_objectives_and_is_planned_as_it_says(asked: Asked) -> None:
    found = answer(asked)
    objectives, rate = found.question.objectives, found.question.workload.rate
    assert found.simulations <= SIMULATIONS
    for option in found.options:
        assert objectives.ttft is None or option.most.ttft_ms.p95 <= objectives.ttft.milliseconds
        assert objectives.tpot is None or option.most.tpot_ms.p95 <= objectives.tpot.milliseconds
        if rate is not None:
            assert option.point.rate * option.replicas == pytest.approx(rate)
            assert option.point.rate <= HEADROOM * option.most.rate * (1 + 1e-6)
    assert len(found.options) <= found.considered
    if found.best is None:
        assert found.options == ()
        return
    candidate = found.best.candidate
    stack = parse_settings(
        {
            "cluster": {"mode": "standard", "location": asked.region},
            "huggingFace": {"tokenSource": "existingSecret"},
            **fragment(asked, found.best),
        }
    )
    plan = plan_stack(stack, StackIdentity("p", "s", "my-project"))
    (server,) = plan.servers
    assert (server.gpu_type, server.gpu_count, server.replicas) == (
        candidate.gpu,
        candidate.gpus,
        found.best.replicas,
    )
    assert server.memory is not None
    assert server.memory.limits == candidate.plan.limits
    assert plan.node_pools[0].machine_type == candidate.offer.machine_type


@settings(max_examples=2, deadline=None, derandomize=True)
@given(QUESTIONS)
def test_the_same_question_has_the_same_answer(asked: Asked) -> None:
    assert answer(asked) == answer(asked)


@pytest.mark.parametrize("goal", ["cost", "latency", "throughput"])
@pytest.mark.parametrize("more", [{"rate": 3.0}, {"rate": 3.06}, {"rate": 2.95}, {"inputs": 508}, {"outputs": 99}])
def test_a_slightly_other_load_changes_the_choice_only_for_a_gain_beyond_the_band(
    goal: Any, more: dict[str, Any]
) -> None:
    usual = best(question(rate=3.0, goal=goal))
    other = answer(question(**{"rate": 3.0, **more}, goal=goal))
    assert other.best is not None
    if other.best.candidate.name == usual.candidate.name:
        return
    (first, *_) = criteria(other.question)
    kept = next((one for one in other.options if one.candidate.name == usual.candidate.name), None)
    if kept is not None:
        gain = first.value(kept) / first.value(other.best) - 1
        assert gain > first.tolerance(kept, other.best)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0.98, 1.02), min_size=4, max_size=4))
def test_prices_that_change_a_little_change_the_choice_only_for_a_gain_beyond_the_band(factors: list[float]) -> None:
    found = ANSWER
    assert found.best is not None
    compared_by = criteria(found.question)
    changed = [
        replace(
            option,
            candidate=replace(
                option.candidate,
                offer=replace(option.candidate.offer, usd_per_hour=option.candidate.usd_per_hour * factor),
            ),
        )
        for option, factor in zip(found.options, factors * math.ceil(len(found.options) / 4), strict=False)
    ]
    chosen = best_of(changed, compared_by)
    assert chosen is not None
    kept = changed[0]
    if chosen.candidate.name != kept.candidate.name:
        assert compared_by[0].value(kept) > compared_by[0].value(chosen) * (1 + CLOSE)


ANSWER = answer(question(rate=3.0, goal="cost"))


def test_fewer_gpus_to_choose_from_are_never_cheaper() -> None:
    both, one = best(question(tpot=60.0)), best(question(tpot=60.0, gpus=("nvidia-l4",)))
    assert both.usd_per_hour <= one.usd_per_hour * (1 + CLOSE)


def test_a_faster_objective_never_costs_less() -> None:
    costs = [best(question(tpot=tpot)).usd_per_hour for tpot in (200.0, 60.0, 30.0)]
    assert costs == sorted(costs)


def test_an_objective_below_one_step_is_told_with_the_steps_own_time_and_the_nearest() -> None:
    found = answer(question(tpot=1.0, gpus=("nvidia-l4",)))
    assert found.best is None
    assert found.options == ()
    assert found.nearest is not None
    assert found.nearest.candidate.gpu == "nvidia-l4"
    assert [name for name, _ in found.too_slow] == sorted(name for name, _ in found.too_slow)
    assert all("a lone request takes" in why for _, why in found.too_slow)


def test_a_gpu_that_is_not_sold_on_demand_is_advised_as_spot_with_its_price() -> None:
    found = answer(question(gpus=("nvidia-h100-80gb",)))
    assert all(option.candidate.gpus == 8 for option in found.options)
    assert found.advised is not None
    offer = found.advised.candidate.offer
    price = CATALOG.price("a3-highgpu-1g", "us-central1")[0]
    assert price is not None
    assert (offer.gpus, offer.provisioning, offer.usd_per_hour) == (1, "spot", price.spot)
    assert offer.advised == "Google sells a3-highgpu-1g only as spot and flexStart"


def test_with_spot_machines_the_fragment_asks_for_them() -> None:
    asked = question(gpus=("nvidia-h100-80gb",), spot=True)
    stated = fragment(asked, best(asked))
    assert stated["nodePools"]["gpu"] == {
        "accelerator": {"type": "nvidia-h100-80gb", "count": 1},
        "maxNodes": 1,
        "provisioning": {"model": "spot"},
    }


def test_what_does_not_fit_any_gpu_is_refused() -> None:
    single = {name: machine for name, machine in CATALOG.machine_types.items() if machine.gpus == 1}
    catalog = CATALOG.model_copy(update={"machine_types": single})
    asked = question("meta-llama/Llama-3.1-70B-Instruct", gpus=("nvidia-l4",))
    with pytest.raises(Refusal, match="does not fit any of nvidia-l4"):
        optimize(asked, catalog)


def test_without_objectives_what_nobody_would_wait_for_is_not_called_served() -> None:
    asked = Asked(model=QWEN, workload=(("profile", "agents"),))
    found = answer(asked)
    assert found.question.is_assumed
    assert found.best is not None
    assert found.best.most.ttft_ms.p95 <= 10_000
    assert found.best.most.tpot_ms.p95 <= 200


def test_any_latency_counts_where_throughput_is_asked_for_by_name() -> None:
    found = answer(question(rate=None, goal="throughput", gpus=("nvidia-l4",)))
    assert not found.question.is_assumed
    assert found.best is not None


def test_a_closed_loop_is_a_load_too() -> None:
    asked = Asked(model=QWEN, gpus=("nvidia-l4",), workload=(("profile", "chat"), ("concurrency", 40)))
    found = best(asked)
    assert found.usd_per_month is not None
    assert found.point.load == math.ceil(40 / found.replicas)


def test_nothing_on_the_front_is_both_dearer_and_slower() -> None:
    front = list(pareto(ANSWER.options))
    assert [option.cost for option in front] == sorted(option.cost for option in front)
    speeds = [option.point.tpot_ms.p50 for option in front]
    assert speeds == sorted(speeds, reverse=True)


@pytest.mark.parametrize("name", sorted(read_workload_profiles()))
def test_requests_of_a_profile_fit_the_context_and_keep_their_median(name: str) -> None:
    profile = read_workload_profiles()[name]
    given, outputs = profile.input_tokens, profile.output_tokens
    workload = Workload(
        name=name, inputs=Lengths(p50=given.p50, p90=given.p90), outputs=Lengths(p50=outputs.p50, p90=outputs.p90)
    )
    assert workload.within(8192).longest <= 8192
    assert sorted(workload.prompts)[len(workload.prompts) // 2] == pytest.approx(given.p50, rel=0.02)
    longer = replace(workload, rate=3.0).load(3.0)
    assert longer.prompts == workload.load(1.0).prompts


def test_the_page_has_every_profile_with_its_numbers() -> None:
    page = (REPOSITORY / "docs" / "optimize.md").read_text("utf-8")
    for name, profile in read_workload_profiles().items():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
        for counts in (profile.input_tokens, profile.output_tokens):
            assert f"{counts.p50:,}" + (f", {counts.p90:,}" if counts.p90 else "") in row
