"""What the plans of two revisions say of each other, in words, whatever form their documents have."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.cli.plan_report import stack_document
from gke_llm_inference.diff.plan_changes import PlanChanges, lines_of, plan_changes
from gke_llm_inference.diff.plans import StackFacts, facts_of
from gke_llm_inference.diff.report import StackReport
from gke_llm_inference.diff.summary import summary_of
from gke_llm_inference.diff.wording import render_quotes
from gke_llm_inference.planning import StackIdentity, plan_stack
from gke_llm_inference.settings import parse_settings
from tests.diff.corpus import AUTOPILOT, BASES, STANDARD, Case

CATALOG = load_catalog()


def document_of(config: dict[str, Any]) -> dict[str, Any]:
    plan = plan_stack(parse_settings(config), StackIdentity("p", "s", "my-project"), CATALOG)
    return stack_document(plan, CATALOG)


def facts(config: dict[str, Any]) -> StackFacts:
    return facts_of(document_of(config))


DOCUMENT = document_of(AUTOPILOT)


def changed(base: str, change: dict[str, Any]) -> PlanChanges:
    return plan_changes(facts(BASES[base]), facts(Case(base, change).config))


def sentences(changes: PlanChanges) -> dict[str, list[str]]:
    return {server.name: [render_quotes(line) for line in lines_of(server)] for server in changes.servers}


@pytest.mark.parametrize("config", [AUTOPILOT, STANDARD])
def test_the_same_plan_changes_nothing(config: dict[str, Any]) -> None:
    changes = plan_changes(facts(config), facts(copy.deepcopy(config)))
    assert changes.servers == ()
    assert changes.quota == ()
    assert changes.cost is not None
    assert not changes.cost.changes


def test_a_longer_context() -> None:
    changes = changed("autopilot", {"servers.gemma.maxModelLen": 6144})
    assert sentences(changes) == {
        "gemma": ["context: 4,096 tokens → 6,144 tokens", "requests of the context at once: 1.5 → 1.0"]
    }


def test_another_list_of_tiers_is_told_with_the_machines_of_each() -> None:
    tiers = ["onDemand", {"model": "spot", "machineType": "a2-highgpu-1g"}]
    before = Case("autopilot", {"servers.gemma.capacity": tiers, "servers.gemma.maxModelLen": 2048}).config
    after = Case("autopilot", {"servers.gemma.capacity": tiers[::-1], "servers.gemma.maxModelLen": 2048}).config
    said = sentences(plan_changes(facts(before), facts(after)))["gemma"]
    first, second = "onDemand g2-standard-8", "spot a2-highgpu-1g"
    assert f"capacity, in this order: {first}, then {second} → {second}, then {first}" in said


def test_more_gpus_and_what_they_cost_where_the_price_is_not_known() -> None:
    changes = changed("autopilot", {"servers.gemma.accelerator": {"count": 2}})
    (lines,) = sentences(changes).values()
    assert lines[:2] == ["GPUs per replica: 1 × nvidia-l4 → 2 × nvidia-l4", "machine: g2-standard-8 → g2-standard-24"]
    assert "cost a month: at least 623 USD → at least 1,461 USD (+837 USD)" in lines
    assert [(row.label, row.before, row.after) for row in changes.quota] == [
        ("GPUS_ALL_REGIONS", "1 GPU", "2 GPUs"),
        ("NVIDIA_L4_GPUS", "1 GPU", "2 GPUs"),
    ]


def test_pods_that_come_to_follow_the_load() -> None:
    scaled = {"servers.gemma.autoscaling": {"minReplicas": 2, "maxReplicas": 3}, "servers.gemma.replicas": None}
    lines = sentences(changed("standard", scaled))["gemma"]
    assert lines[:4] == [
        "replicas: 2 → 2 to 3",
        "scales by: none → adapter",
        "requests for each replica: none → 1 running, 3 waiting",
        "replicas come and go: none → +1 in 60 s, -1 in 1008 s after 1008 s",
    ]


def test_cost_of_nodes_before_and_after() -> None:
    changes = changed("standard", {"servers.gemma.replicas": 3})
    assert changes.cost is not None
    assert (changes.cost.before, changes.cost.after, changes.cost.note) == ("2,707 USD", "3,330 USD", "+623 USD")
    assert sentences(changes) == {"gemma": ["replicas: 2 → 3", "cost a month: 1,246 USD → 1,869 USD (+623 USD)"]}


def test_more_load_and_what_it_does_to_latency_and_objectives() -> None:
    chat = {
        "model": "Qwen/Qwen2.5-7B-Instruct",
        "maxModelLen": 16384,
        "workload": {"profile": "chat", "requestRate": 0.4},
        "objectives": {"ttft": {"milliseconds": 60_000}},
    }
    base = {
        **AUTOPILOT,
        "servers": {"gemma": {**AUTOPILOT["servers"]["gemma"], **chat}},
    }
    more = copy.deepcopy(base)
    more["servers"]["gemma"]["workload"]["requestRate"] = 0.7
    first, second = facts(base), facts(more)
    before, after = first.servers["gemma"], second.servers["gemma"]
    assert before.ttft_ms is not None
    assert after.ttft_ms is not None
    rows = {row.label: row for row in plan_changes(first, second).servers[0].rows}
    assert rows["TTFT p95"].before == f"{before.ttft_ms:,.0f} ms"
    assert rows["TTFT p95"].after == f"{after.ttft_ms:,.0f} ms"
    assert rows["TPOT p95"].changes
    assert (rows["replicas that the load needs"].before, rows["replicas that the load needs"].after) == ("1", "2")
    assert rows["predicted cost of a million output tokens"].after.endswith(" USD")
    overloaded = copy.deepcopy(base)
    overloaded["servers"]["gemma"].update(workload={"profile": "chat", "requestRate": 9}, allowSlow=True)
    assert (
        "speed: meets the objectives → misses the objectives, the queue grows"
        in sentences(plan_changes(first, facts(overloaded)))["gemma"]
    )
    gone = copy.deepcopy(base)
    del gone["servers"]["gemma"]["workload"], gone["servers"]["gemma"]["objectives"]
    assert f"TTFT p95: {before.ttft_ms:,.0f} ms → none" in sentences(plan_changes(first, facts(gone)))["gemma"]


def test_presets_and_their_reasons() -> None:
    (lines,) = sentences(changed("autopilot", {"servers.gemma.presets": ["fp8"]})).values()
    assert "KV cache: 6,528 tokens → 23,408 tokens (3.6 times)" in lines
    assert lines[-2].startswith("new: fp8: quantization: fp8 (")


def test_a_server_comes_and_goes() -> None:
    more = {"servers.qwen": {"server": "vllm", "model": "Qwen/Qwen2.5-7B-Instruct", "maxModelLen": 8192}}
    (lines,) = sentences(changed("autopilot", more)).values()
    assert lines[:2] == ["model: Qwen/Qwen2.5-7B-Instruct", "server: vllm 0.26.0"]
    back = plan_changes(facts(Case("autopilot", more).config), facts(AUTOPILOT))
    assert [(server.name, server.action) for server in back.servers] == [("qwen", "removed")]


def test_no_plan_on_either_side_is_no_change() -> None:
    assert plan_changes(StackFacts(), StackFacts()) == PlanChanges((), None)


def test_a_plan_on_one_side_alone_makes_no_server_new() -> None:
    known = facts(AUTOPILOT)
    for base, head, said_of in ((StackFacts(), known, "the base"), (known, StackFacts(), "this revision")):
        plan = summary_of(StackReport("s", "compared", base_plan=base, head_plan=head)).plan
        assert plan.servers == ()
        assert plan.notes[-1] == f"the plan of {said_of} is unavailable"
        assert plan.cost is not None
        assert plan.cost.text == ("at least 623 USD" if head.known else "at least 623 USD before")
    assert len(summary_of(StackReport("s", "no base", head_plan=known)).plan.servers) == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_a_document_of_any_form_is_read(data: st.DataObject) -> None:
    """The code that prints it may be anybody's."""
    document: Any = copy.deepcopy(DOCUMENT)
    for _ in range(data.draw(st.integers(1, 3))):
        target = document
        while True:
            key = data.draw(st.sampled_from(sorted(target, key=str)) if isinstance(target, dict) else st.just(0))
            inner = target[key]
            if isinstance(inner, dict) and inner and data.draw(st.booleans()):
                target = inner
                continue
            target[key] = data.draw(JSON)
            break
    changes = plan_changes(facts_of(document), facts_of(DOCUMENT))
    assert all(isinstance(line, str) for server in changes.servers for line in lines_of(server))
