"""Dashboards as a stack asks for them: what is planned, printed and refused."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from gke_llm_inference.cli.main import main
from gke_llm_inference.planning import StackIdentity, StackPlan, plan_stack
from gke_llm_inference.settings import Refusal, parse_settings

MADE: dict[str, Any] = {"mode": "autopilot", "location": "us-central1"}
EVERYTHING: dict[str, Any] = {
    "metrics": {"enabled": True},
    "dashboards": {"enabled": True},
    "gpuMetrics": {"enabled": True},
}


CHAT = {"server": "vllm", "model": "Qwen/Qwen2.5-7B-Instruct", "maxModelLen": 4096}


def planned(observability: dict[str, Any], count: int = 1, project: str | None = "acme-ml", **stack: Any) -> StackPlan:
    settings = {
        "cluster": MADE,
        "observability": observability,
        "servers": {f"s{number:02}": CHAT for number in range(count)},
        **stack,
    }
    return plan_stack(parse_settings(settings), StackIdentity("llm", "prod", project))


def test_a_stack_has_none_unless_it_asks() -> None:
    assert planned({}).observability.rows == ()
    plan = planned({"metrics": {"enabled": True}})
    assert (len(plan.observability.rows), plan.observability.dashboards) == (1, ())
    assert plan.cluster.monitored_components == ("SYSTEM_COMPONENTS",)


def test_a_row_is_of_a_server_in_its_cluster() -> None:
    plan = planned(EVERYTHING)
    [row] = plan.observability.rows
    assert (row.server, row.title) == ("s00", "s00: vLLM 0.26.0, Qwen/Qwen2.5-7B-Instruct")
    queries = {line.query for panel in row.panels for line in panel.lines}
    assert 'sum(vllm:num_requests_waiting{cluster="llm-prod",namespace="llm-inference",job="s00"})' in queries
    assert 'avg(DCGM_FI_DEV_GPU_UTIL{cluster="llm-prod",pod=~"s00-[a-z0-9]{1,10}-[a-z0-9]{5}"})' in queries
    assert plan.cluster.monitored_components == ("DCGM", "SYSTEM_COMPONENTS")


def test_everything_that_is_drawn_is_collected() -> None:
    for kind, version in (("vllm", "0.33.0"), ("vllm", "0.10.0"), ("tgi", "3.3.7")):
        servers = {"chat": {"server": kind, "version": version, "model": "Qwen/Qwen2.5-7B-Instruct"}}
        plan = planned({"metrics": {"enabled": True}}, servers=servers)
        [row], [metrics] = plan.observability.rows, plan.observability.metrics
        queries = [line.query for panel in row.panels for line in panel.lines]
        asked = {name for query in queries for name in re.findall(r"[a-z_:0-9]+(?=\{)", query)}
        assert asked <= set(metrics.collected)


def test_many_servers_are_on_several_dashboards_and_on_one_for_grafana() -> None:
    plan = planned(EVERYTHING, 13)
    dashboards = plan.observability.dashboards
    assert [(one.name, one.title, len(one.rows)) for one in dashboards] == [
        ("dashboard", "llm-prod (1 of 3)", 6),
        ("dashboard-2", "llm-prod (2 of 3)", 6),
        ("dashboard-3", "llm-prod (3 of 3)", 1),
    ]
    document = plan.observability.grafana()
    assert document["title"] == "llm-prod"
    assert sum(panel["type"] == "row" for panel in document["panels"]) == 13
    of_one = plan.observability.grafana("s07")
    assert (of_one["title"], sum(panel["type"] == "row" for panel in of_one["panels"])) == ("llm-prod s07", 1)


def test_a_cluster_whose_name_is_not_known_is_not_asked_for() -> None:
    cluster = {"mode": "existing", "stackReference": "acme/platform/prod", "location": "us-central1"}
    [row] = planned(EVERYTHING, cluster=cluster).observability.rows
    assert not [line.query for panel in row.panels for line in panel.lines if "cluster=" in line.query]


@pytest.mark.parametrize(
    ("observability", "project", "what"),
    [
        ({"dashboards": {"enabled": True}}, "acme-ml", "needs observability.metrics.enabled"),
        (EVERYTHING, None, "needs a project in Google Cloud"),
    ],
)
def test_dashboards_without_what_they_need_are_refused(
    observability: dict[str, Any], project: str | None, what: str
) -> None:
    with pytest.raises(Refusal) as refused:
        planned(observability, project=project, cluster={"mode": "existing", "kubeconfigContext": "kind"})
    problems = {(one.path, one.what) for one in refused.value.problems}
    assert ("observability.dashboards.enabled", what) in problems


STACK = """\
config:
  gcp:project: acme-ml
  gke-llm-inference:cluster: {mode: autopilot, location: us-central1}
  gke-llm-inference:observability:
    metrics: {enabled: METRICS}
  gke-llm-inference:servers:
    chat: {server: vllm, model: Qwen/Qwen2.5-7B-Instruct, maxModelLen: 4096}
    code: {server: tgi, model: Qwen/Qwen2.5-7B-Instruct, maxModelLen: 4096}
"""


def test_the_command_prints_what_grafana_imports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "Pulumi.prod.yaml"
    file.write_text(STACK.replace("METRICS", "true"))
    assert main(["dashboard", "--config-file", str(file)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [one["title"] for one in printed["panels"] if one["type"] == "row"] == [
        "chat: vLLM 0.26.0, Qwen/Qwen2.5-7B-Instruct",
        "code: Text Generation Inference 3.3.7, Qwen/Qwen2.5-7B-Instruct",
    ]
    assert main(["dashboard", "--config-file", str(file), "--server", "code"]) == 0
    assert "chat: vLLM" not in capsys.readouterr().out


def test_the_command_says_what_stands_against_a_dashboard(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "Pulumi.prod.yaml"
    file.write_text(STACK.replace("METRICS", "false"))
    assert main(["dashboard", "--config-file", str(file)]) == 1
    assert "the stack collects no metrics; set observability.metrics.enabled" in capsys.readouterr().err
    assert main(["dashboard", "--config-file", str(file), "--server", "chad"]) == 1
    assert "did you mean chat?" in capsys.readouterr().err
