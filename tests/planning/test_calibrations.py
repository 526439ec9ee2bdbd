"""Servers that name a calibration: what their plans say with it, and what is found wrong."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from gke_llm_inference import Refusal
from gke_llm_inference.planning import ServerPlan, StackIdentity, plan_stack
from gke_llm_inference.planning.performance.plan import PerformancePlan
from gke_llm_inference.settings import Finding
from gke_llm_inference.settings.parse import parse_settings
from gke_llm_inference.settings.server_files import with_files

FILES = Path(__file__).parents[1] / "corpus" / "speed" / "calibrations"
NAME = "l4-llama-fp8.json"
WORKLOAD = {"inputTokens": {"p50": 500}, "outputTokens": {"p50": 100}, "requestRate": 0.2}
SERVER: dict[str, Any] = {
    "server": "vllm",
    "model": "meta-llama/Llama-3.1-8B-Instruct",
    "accelerator": {"type": "nvidia-l4", "count": 1},
    "quantization": "fp8",
    "maxModelLen": 8192,
    "workload": WORKLOAD,
}
MISTRAL = "mistralai/Mistral-7B-Instruct-v0.3"
ANEW = "measure this server with examples/calibration, or leave calibration out"


def planned(directory: Path = FILES, **servers: dict[str, Any]) -> tuple[dict[str, ServerPlan], tuple[Finding, ...]]:
    raw = {
        "cluster": {"mode": "autopilot", "location": "us-central1"},
        "huggingFace": {"tokenSource": "config"},
        "servers": servers,
    }
    settings = with_files(parse_settings(raw), directory)
    plan = plan_stack(settings, StackIdentity(project="p", stack="s", gcp_project="acme-ml"))
    return {server.key: server for server in plan.servers}, plan.warnings


def speed(server: ServerPlan) -> PerformancePlan:
    assert server.performance is not None
    return server.performance


def refused(directory: Path = FILES, **servers: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    with pytest.raises(Refusal) as caught:
        planned(directory, **servers)
    return [(one.path, one.what, one.why, one.fix) for one in caught.value.problems]


def test_a_calibration_narrows_the_bands_and_moves_the_figures() -> None:
    servers, warnings = planned(plain=SERVER, own={**SERVER, "calibration": NAME})
    assert warnings == ()
    plain, own = speed(servers["plain"]), speed(servers["own"])
    for name in ("ttft", "tpot", "throughput"):
        assert getattr(plain, name).basis == "transferred"
        assert getattr(own, name).basis == "calibrated"
        assert getattr(own, name).percent < getattr(plain, name).percent
    # The file's GPU takes 1.1 times as long for its memory, which decides the time per token.
    assert own.point.tpot_ms.p50 == pytest.approx(1.1 * plain.point.tpot_ms.p50, rel=0.03)


def test_the_plan_says_what_was_measured() -> None:
    servers, _ = planned(own={**SERVER, "calibration": NAME}, other={**SERVER, "calibration": NAME, "model": MISTRAL})
    (own,) = (str(one) for one in servers["own"].decisions if one.origin == "calibration")
    (other,) = (str(one) for one in servers["other"].decisions if one.origin == "calibration")
    measured = json.loads((FILES / NAME).read_text())["measured"]
    said = (
        f"calibration: {NAME} (this server was measured on NVIDIA L4, {measured}; times as long as planned otherwise: "
    )
    assert own.startswith(said)
    assert re.fullmatch(r"memory 1\.[01]\d, compute 0\.9\d, host \d\.\d\d\)", own.removeprefix(said))
    assert other.startswith(f"calibration: {NAME} (meta-llama/Llama-3.1-8B-Instruct in fp8 was measured on NVIDIA L4, ")


def test_another_model_is_planned_with_the_hardware_and_a_wider_band() -> None:
    mistral = {**SERVER, "model": MISTRAL}
    servers, _ = planned(plain=mistral, other={**mistral, "calibration": NAME}, own={**SERVER, "calibration": NAME})
    plain, other, own = (speed(servers[key]) for key in ("plain", "other", "own"))
    assert other.point.tpot_ms.p50 > 1.05 * plain.point.tpot_ms.p50
    assert own.ttft.percent < other.ttft.percent <= plain.ttft.percent
    assert other.basis == "transferred"


def test_servers_that_are_alike_may_have_other_calibrations(tmp_path: Path) -> None:
    content = json.loads((FILES / NAME).read_text())
    slow = [{**step, "stepMs": 1.2 * step["stepMs"]} for step in content["decodes"]]
    (tmp_path / "slow.json").write_text(json.dumps({**content, "decodes": slow}))
    (tmp_path / NAME).write_text(json.dumps(content))
    servers, _ = planned(tmp_path, one={**SERVER, "calibration": NAME}, two={**SERVER, "calibration": "slow.json"})
    assert speed(servers["two"]).point.tpot_ms.p50 > 1.05 * speed(servers["one"]).point.tpot_ms.p50


def test_the_same_files_give_the_same_plan() -> None:
    assert planned(own={**SERVER, "calibration": NAME}) == planned(own={**SERVER, "calibration": NAME})


def test_objectives_are_judged_with_the_calibration() -> None:
    servers, _ = planned(plain=SERVER, own={**SERVER, "calibration": NAME})
    plain, own = (speed(servers[key]) for key in ("plain", "own"))
    highest = [one.point.tpot_ms.at(50) * (1 + one.tpot.percent / 100) for one in (plain, own)]
    # With its band the catalog's prediction is below the bound, that with what was measured is not.
    limit = {"objectives": {"tpot": {"milliseconds": sum(highest) / 2, "percentile": 50}}, "allowSlow": True}
    assert highest[0] < highest[1]
    servers, warnings = planned(plain={**SERVER, **limit}, own={**SERVER, **limit, "calibration": NAME})
    assert [speed(servers[key]).verdict for key in ("plain", "own")] == ["meets", "may meet"]
    assert "servers.own.objectives.tpot" in [warning.path for warning in warnings]


def test_a_proposal_with_more_replicas_keeps_the_calibration() -> None:
    busy = {**SERVER, "workload": {**WORKLOAD, "requestRate": 12}, "objectives": {"tpot": {"milliseconds": 120}}}
    servers, _ = planned(own={**busy, "calibration": NAME, "allowSlow": True})
    replicas = [one for one in servers["own"].faster if dict(one.changes).keys() == {"replicas"}]
    assert [one.performance.basis for one in replicas] == ["calibrated"]


def test_a_calibration_of_another_gpu_is_refused_alone() -> None:
    server = {**SERVER, "accelerator": {"type": "nvidia-tesla-a100", "count": 1}, "calibration": NAME}
    assert refused(own={**server, "objectives": {"ttft": {"milliseconds": 1}}}) == [
        (
            "servers.own.calibration",
            "was measured on nvidia-l4, and this server runs on nvidia-tesla-a100",
            "GPUs differ in everything",
            ANEW,
        )
    ]


def test_arguments_that_override_settings_count() -> None:
    found = refused(own={**SERVER, "calibration": NAME, "extraArgs": ["--enforce-eager"]})
    assert [what for _, what, _, _ in found] == ["was measured with CUDA graphs, and this server has no CUDA graphs"]


def test_files_of_all_servers_are_read_before_any_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    found = refused(
        tmp_path,
        a={**SERVER, "calibration": "broken.json"},
        b={**SERVER, "calibration": "missing.json"},
        c={**SERVER, "model": "acme/own", "configFile": "config.json"},
    )
    assert [(path, what) for path, what, _, _ in found] == [
        ("servers.a.calibration", "broken.json is not JSON"),
        ("servers.b.calibration", "missing.json cannot be read"),
        ("servers.c.configFile", "config.json cannot be read"),
    ]


def test_a_calibration_that_nothing_reads_is_told() -> None:
    asked = {key: value for key, value in SERVER.items() if key != "workload"}
    servers, warnings = planned(own={**asked, "calibration": NAME})
    assert servers["own"].performance is None
    assert [(one.path, one.what, one.fix) for one in warnings] == [
        ("servers.own.calibration", "is not read", "set servers.own.workload, or remove calibration")
    ]


def test_goals_choose_by_what_was_measured() -> None:
    left = {key: value for key, value in SERVER.items() if key not in ("maxModelLen", "accelerator")}
    goal = {**left, "presets": ["cost"], "accelerator": ["nvidia-l4"], "replicas": 1}
    servers, warnings = planned(plain=goal, own={**goal, "calibration": NAME})
    plain, own = servers["plain"], servers["own"]
    assert (warnings, own.gpu_count) == ((), 1)
    assert own.choice is not None
    point, band = speed(own).point, speed(own).tpot.percent
    assert band < speed(plain).tpot.percent
    # What the choice says is what the plan says.
    assert f"per token {point.tpot_ms.p95:,.1f} ms (± {speed(own).tpot.at(95).percent:.0f} %)" in own.choice.why


def test_a_goal_that_takes_what_was_not_measured_warns() -> None:
    left = {key: value for key, value in SERVER.items() if key not in ("maxModelLen", "accelerator", "quantization")}
    goal = {**left, "presets": ["cost"], "accelerator": ["nvidia-l4"], "replicas": 1, "calibration": NAME}
    servers, warnings = planned(own=goal)
    assert "quantization" not in dict(servers["own"].choice.settings if servers["own"].choice else ())
    assert [(one.path, one.what, one.severity) for one in warnings] == [
        ("servers.own.calibration", "was measured with fp8 weights, and this server has bf16 weights", "warning")
    ]
    assert speed(servers["own"]).basis == "transferred"


def test_a_proposal_that_was_not_measured_says_that_the_calibration_goes() -> None:
    asked = {**SERVER, "calibration": NAME, "workload": {**WORKLOAD, "requestRate": 4}}
    ((_, _, _, fix),) = refused(own={**asked, "objectives": {"tpot": {"milliseconds": 40}}})
    proposals = fix.split("; or ")
    assert any("replicas (" in one and "calibration" not in one for one in proposals)
    other = [one for one in proposals if "nvidia-tesla-a100" in one or "AWQ" in one or "FP8" in one]
    assert other
    assert all("and no calibration (" in one for one in other)
