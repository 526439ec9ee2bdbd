"""Commits that a stack records for its models: which servers get them, and what is said of the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gke_llm_inference.settings import Refusal
from tests.planning.support import QWEN, TGI, planned, standard_stack

if TYPE_CHECKING:
    from tests.settings.support import Raw

COMMIT, OTHER = "a" * 40, "b" * 40
MODEL = "Qwen/Qwen2.5-7B-Instruct"
SMALL = {**QWEN, "maxModelLen": 4096}


def stack(revisions: Raw, **servers: Any) -> Raw:
    raw = standard_stack({"l4": {"maxNodes": 4}}, servers or {"qwen": SMALL})
    return {**raw, "modelRevisions": revisions}


def arguments(raw: Raw) -> dict[str, list[str]]:
    return {
        one.key: [text for text in one.all_arguments if text.startswith("--revision")] for one in planned(raw).servers
    }


def warned(raw: Raw) -> list[str]:
    return [f"{one.path}: {one.what}" for one in planned(raw).warnings if "evision" in one.path]


def test_servers_that_state_no_revision_run_the_recorded_commit() -> None:
    raw = stack(
        {MODEL: COMMIT, "google/gemma-7b-it": OTHER},
        qwen=SMALL,
        own={**SMALL, "revision": COMMIT},
        old=TGI,
    )
    assert arguments(raw) == {
        "qwen": [f"--revision={COMMIT}"],
        "own": [f"--revision={COMMIT}"],
        "old": [f"--revision={OTHER}"],
    }
    assert {one.key: one.revision for one in planned(raw).servers} == {"qwen": COMMIT, "own": COMMIT, "old": OTHER}
    assert warned(raw) == []


def test_a_volume_of_ones_own_has_no_revision() -> None:
    volume = {"claim": "weights", "storage": "persistentDisk"}
    raw = stack({MODEL: COMMIT}, volume={**SMALL, "modelVolume": volume})
    assert arguments(raw) == {"volume": []}
    assert planned(raw).servers[0].revision is None


def test_without_records_nothing_changes() -> None:
    assert arguments(stack({})) == {"qwen": []}


def test_a_commit_of_a_model_that_nobody_serves_is_warned_of() -> None:
    (warning,) = [one for one in planned(stack({"Qwen/Qwen2.5-7B-Instuct": COMMIT})).warnings if "evision" in one.path]
    assert (warning.path, warning.what) == (
        "modelRevisions.Qwen/Qwen2.5-7B-Instuct",
        "is not the model of any server",
    )
    assert warning.fix == f"did you mean {MODEL}?"


def test_another_revision_beside_the_recorded_one_is_warned_of() -> None:
    raw = stack({MODEL: COMMIT}, qwen={**SMALL, "revision": "main"})
    assert arguments(raw) == {"qwen": ["--revision=main"]}
    assert warned(raw) == [f"servers.qwen.revision: is main, and modelRevisions has {COMMIT} for {MODEL}"]


@pytest.mark.searches
def test_a_goal_may_choose_another_checkpoint_though_the_model_is_recorded() -> None:
    gemma = "google/gemma-2-27b-it"
    goal = {"server": "vllm", "model": gemma, "presets": ["cost"], "maxModelLen": 4096, "workload": {"profile": "chat"}}
    raw = {**stack({}, chat=goal), "cluster": {"mode": "autopilot", "location": "us-central1"}, "nodePools": {}}
    chosen = planned(raw).servers[0].model
    assert chosen != gemma
    recorded = planned({**raw, "modelRevisions": {gemma: COMMIT, chosen: OTHER}})
    assert [(one.model, one.revision) for one in recorded.servers] == [(chosen, OTHER)]


def test_a_branch_cannot_be_recorded() -> None:
    with pytest.raises(Refusal, match="is not a commit"):
        planned(stack({MODEL: "main"}))


def test_a_store_takes_the_recorded_commit() -> None:
    raw = stack({MODEL: COMMIT}, qwen={**SMALL, "modelSource": {"source": "modelStore"}})
    store = planned({**raw, "modelStore": {"bucket": {"mode": "create"}, "projectNumber": "123456789012"}}).model_store
    assert store is not None
    assert [one.revision for one in store.models] == [COMMIT]
    assert [one.server for one in store.readers] == ["qwen"]
