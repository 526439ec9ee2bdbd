"""The cheapest way to serve a load: what it must never do, over random questions, and what it says of known ones."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.catalog.workload_facts import read_workload_profiles
from gke_llm_inference.planning import StackIdentity, plan_stack
from gke_llm_inference.planning.optimization import Optimum, Question, optimize, pareto, settings_of
from gke_llm_inference.planning.optimization.search import CLOSE
from gke_llm_inference.planning.performance import HEADROOM, LatencyBound, Lengths, Objectives, Workload
from gke_llm_inference.settings import Refusal, parse_settings
from tests.support import REPOSITORY

CATALOG = load_catalog()
FACTS = CATALOG.performance
GPUS = ("nvidia-l4", "nvidia-tesla-a100")


def question(
    model: str = "Qwen/Qwen2.5-7B-Instruct",
    *,
    inputs: int = 500,
    outputs: int = 100,
    rate: float | None = 2.0,
    ttft: float | None = None,
    tpot: float | None = None,
    gpus: tuple[str, ...] = GPUS,
) -> Question:
    return Question(
        model=model,
        workload=Workload(name="custom", inputs=Lengths(p50=inputs), outputs=Lengths(p50=outputs), rate=rate),
        objectives=Objectives(
            ttft=LatencyBound(milliseconds=ttft) if ttft else None,
            tpot=LatencyBound(milliseconds=tpot) if tpot else None,
        ),
        gpus=gpus,
        region="us-central1",
    )


def answer(asked: Question) -> Optimum:
    return optimize(asked, CATALOG, FACTS)


QUESTIONS = st.builds(
    question,
    st.sampled_from(["Qwen/Qwen2.5-7B-Instruct", "google/gemma-3-4b-it", "google/gemma-7b-it"]),
    inputs=st.integers(32, 3000),
    outputs=st.integers(8, 400),
    rate=st.one_of(st.none(), st.floats(0.1, 20)),
    ttft=st.one_of(st.none(), st.floats(5, 5000)),
    tpot=st.one_of(st.none(), st.floats(1, 200)),
    gpus=st.sampled_from([("nvidia-l4",), GPUS]),
)


@settings(max_examples=8, deadline=None)
@given(QUESTIONS)
def test_what_is_proposed_meets_the_objectives_and_is_planned_as_it_says(asked: Question) -> None:
    found = answer(asked)
    objectives, rate = asked.objectives, asked.workload.rate
    for option in found.options:
        assert objectives.ttft is None or option.most.ttft_ms.p95 <= objectives.ttft.milliseconds
        assert objectives.tpot is None or option.most.tpot_ms.p95 <= objectives.tpot.milliseconds
        if rate is not None:
            assert option.point.rate * option.replicas == pytest.approx(rate)
            assert option.point.rate <= HEADROOM * option.most.rate * (1 + 1e-6)
    assert len(found.options) + len(found.refused) <= found.considered
    if found.best is None:
        assert found.options == ()
        return
    assert found.best.cost <= found.options[0].cost * (1 + CLOSE)
    candidate = found.best.candidate
    raw = settings_of(candidate, found.best.replicas, found.context)
    stack = parse_settings(
        {
            "cluster": {"mode": "standard", "location": asked.region},
            "huggingFace": {"tokenSource": "existingSecret"},
            **raw,
        }
    )
    plan = plan_stack(stack, StackIdentity("p", "s", "my-project"))
    (server,) = plan.servers
    assert (server.gpu_type, server.gpu_count, server.replicas) == (
        candidate.gpu,
        candidate.gpus,
        found.best.replicas,
    )
    assert plan.node_pools[0].machine_type == candidate.machine_type


@settings(max_examples=4, deadline=None)
@given(QUESTIONS)
def test_the_same_question_has_the_same_answer(asked: Question) -> None:
    assert answer(asked) == answer(asked)


def test_fewer_gpus_to_choose_from_are_never_cheaper() -> None:
    both, one = answer(question(tpot=60.0)), answer(question(tpot=60.0, gpus=("nvidia-l4",)))
    assert both.best is not None
    assert one.best is not None
    assert both.options[0].cost <= one.options[0].cost


def test_a_faster_objective_never_costs_less() -> None:
    costs = []
    for tpot in (200.0, 60.0, 30.0):
        found = answer(question(tpot=tpot))
        assert found.best is not None
        costs.append(found.options[0].cost)
    assert costs == sorted(costs)


def test_an_objective_below_one_step_is_told_with_the_steps_own_time() -> None:
    found = answer(question(tpot=1.0, gpus=("nvidia-l4",)))
    assert found.best is None
    assert found.options == ()
    assert [name for name, _ in found.too_slow] == sorted(name for name, _ in found.too_slow)
    assert all("a lone request takes" in why for _, why in found.too_slow)


def test_a_gpu_that_is_not_sold_on_demand_is_refused_with_that_reason() -> None:
    found = answer(question(gpus=("nvidia-h100-80gb",)))
    assert any("Google offers it only as spot and flexStart" in why for _, why in found.refused)
    assert all(option.candidate.gpus == 8 for option in found.options)


def test_what_does_not_fit_any_gpu_is_refused() -> None:
    single = {name: machine for name, machine in CATALOG.machine_types.items() if machine.gpus == 1}
    catalog = CATALOG.model_copy(update={"machine_types": single})
    asked = question("meta-llama/Llama-3.1-70B-Instruct", gpus=("nvidia-l4",))
    with pytest.raises(Refusal, match="with 1,024 tokens of context does not fit any of nvidia-l4"):
        optimize(asked, catalog, FACTS)


def test_nothing_on_the_front_is_both_dearer_and_slower() -> None:
    front = list(pareto(answer(question()).options))
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
