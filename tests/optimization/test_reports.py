"""What plan and diff say of a goal's choice, and that what `optimize` answers is deployed as it says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.cli.plan_report import stack_document, stack_text
from gke_llm_inference.diff.plan_changes import lines_of, plan_changes
from gke_llm_inference.diff.plans import StackFacts, facts_of
from gke_llm_inference.planning import StackIdentity, StackPlan, plan_stack
from gke_llm_inference.planning.optimize import Asked, fragment, optimize
from gke_llm_inference.settings import parse_settings

pytestmark = pytest.mark.searches

CATALOG = load_catalog()
IDENTITY = StackIdentity("p", "s", "my-project")


def plan_of(rate: float) -> StackPlan:
    server = {
        "server": "vllm",
        "model": "Qwen/Qwen2.5-7B-Instruct",
        "presets": ["cost"],
        "accelerator": ["nvidia-l4"],
        "workload": {"profile": "chat", "requestRate": rate},
    }
    raw = {"cluster": {"mode": "autopilot", "location": "us-central1"}, "servers": {"qwen": server}}
    return plan_stack(parse_settings(raw), IDENTITY)


PLAN = plan_of(2)


def test_the_document_has_the_choice_and_what_lost() -> None:
    choice = PLAN.servers[0].choice
    assert choice is not None
    document = stack_document(PLAN, CATALOG)["servers"]["qwen"]["choice"]
    assert document["what"] == choice.what
    assert document["settings"]["replicas"] == PLAN.servers[0].replicas
    assert document["settings"]["accelerator.type"] == "nvidia-l4"
    assert [one["what"] for one in document["runnersUp"]] == [one.what for one in choice.runners_up]
    assert len(document["runnersUp"]) == 3
    assert all(one["why"] for one in document["runnersUp"])


def test_the_text_has_the_choice_and_what_lost() -> None:
    choice = PLAN.servers[0].choice
    assert choice is not None
    said = " ".join(stack_text(PLAN, CATALOG).split())
    assert f"cost: takes {choice.what} (least USD a month for 2 requests a second of chat: " in said
    for one in choice.runners_up:
        assert f"{one.what}: " in said
        assert one.why in said


def test_a_choice_that_changes_is_told_with_its_reason_and_nothing_else_of_it() -> None:
    before, after = facts(PLAN), facts(plan_of(20))
    (changed,) = plan_changes(before, after).servers
    assert any(line.startswith("choice of the goals: ") and " → " in line for line in lines_of(changed))
    assert before.servers["qwen"].choice != after.servers["qwen"].choice
    (row,) = [row for row in changed.rows if row.label == "choice of the goals"]
    assert "least USD a month for 20 requests a second of chat" in row.note
    assert not [one for one in (*changed.new_decisions, *changed.gone_decisions) if one.startswith("cost: ")]


def test_figures_alone_are_no_change_of_a_choice() -> None:
    before = facts(PLAN)
    server = before.servers["qwen"]
    after = replace(before, servers={"qwen": replace(server, choice_reason="other figures")})
    assert plan_changes(before, after).same


def test_the_answer_is_deployed_as_it_says() -> None:
    asked = Asked(
        model="google/gemma-7b-it",
        workload=(("profile", "chat"), ("requestRate", 4)),
        objectives=(("ttft", {"milliseconds": 500}), ("tpot", {"milliseconds": 60})),
    )
    found = optimize(asked, CATALOG)
    assert found.best is not None
    assert [name for name, _ in found.too_slow if "nvidia-l4" in name]
    raw: dict[str, Any] = {
        "cluster": {"mode": "standard", "location": "us-central1"},
        "huggingFace": {"tokenSource": "existingSecret"},
        **fragment(asked, found.best),
    }
    (server,) = plan_stack(parse_settings(raw), IDENTITY).servers
    point = found.best.point
    assert (server.gpu_type, server.gpu_count, server.replicas) == (
        found.best.candidate.gpu,
        found.best.candidate.gpus,
        found.best.replicas,
    )
    assert server.performance is not None
    assert server.performance.verdict in ("meets", "may meet")
    assert point.ttft_ms.p95 <= 500
    assert point.tpot_ms.p95 <= 60


def facts(plan: StackPlan) -> StackFacts:
    return facts_of(stack_document(plan, CATALOG))
