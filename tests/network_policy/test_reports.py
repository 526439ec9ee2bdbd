"""The table of flows, as the command prints it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from gke_llm_inference.cli.flows_report import flows_document, flows_text
from gke_llm_inference.cli.main import main
from gke_llm_inference.cli.plan_report import stack_text
from tests.planning.support import CATALOG, QWEN, existing_stack, planned

if TYPE_CHECKING:
    from pathlib import Path

STACK = """\
config:
  gcp:project: my-project
  gke-llm-inference:cluster: {mode: autopilot, location: us-central1, fqdnNetworkPolicy: true}
  gke-llm-inference:networkPolicy:
    allowFrom: [{namespaceLabels: {team: search}, podLabels: {app: web}}, {namespaceLabels: {}}]
  gke-llm-inference:observability: {metrics: {enabled: true}}
  gke-llm-inference:servers:
    open: {server: tgi, model: Qwen/Qwen2.5-7B-Instruct, allowUnfit: true, networkPolicy: {enabled: false}}
    qwen: {server: vllm, model: Qwen/Qwen2.5-7B-Instruct}
"""
TEXT = """\
open: no policy: every pod of the cluster can call it, and it can call everybody

qwen: NetworkPolicy/qwen and FQDNNetworkPolicy/qwen; what is not listed is
denied
  in  calls: clients that networkPolicy.allowFrom names
      TCP 8000         every pod of every namespace
      TCP 8000         pods app=web of namespaces team=search
  in  metrics: collectors of Managed Service for Prometheus
      TCP 8000         pods app.kubernetes.io/name=collector of namespace
                       gke-gmp-system
      TCP 8000         pods app.kubernetes.io/name=collector of namespace
                       gmp-system
  in  probes: kubelet probes; a node reaches its own pods whatever a policy says
      TCP 8000         the pod's own node
  out dns: kube-dns, NodeLocal DNSCache or Cloud DNS
      TCP 53, UDP 53   169.254.169.254/32
      TCP 53, UDP 53   169.254.20.10/32
      TCP 53, UDP 53   pods k8s-app=kube-dns of namespace kube-system
      TCP 53, UDP 53   pods k8s-app=node-local-dns of namespace kube-system
  out model: downloads the model from Hugging Face
      TCP 443          *.aws.cdn.hf.co, *.gcp.cdn.hf.co, *.hf.co,
                       *.huggingface.co, *.xethub-eu.hf.co, *.xethub.hf.co,
                       huggingface.co
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "Pulumi.dev.yaml"
    path.write_text(STACK)
    return path


def test_the_table_fits_a_terminal(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--flows", "--config-file", str(file)]) == 0
    shown = capsys.readouterr().out
    assert shown == TEXT
    assert max(map(len, shown.splitlines())) <= 80


def test_one_server_alone(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--flows", "--server", "open", "--config-file", str(file)]) == 0
    assert capsys.readouterr().out == TEXT.split("\n", 1)[0] + "\n"


def test_json_has_every_flow_with_its_peer(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--flows", "--json", "--config-file", str(file)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["servers"]["open"] == {
        "policies": [],
        "enforced": False,
        "flows": None,
        "picker": None,
    }
    qwen = document["servers"]["qwen"]
    assert qwen["enforced"] is True
    assert qwen["policies"] == ["NetworkPolicy/qwen", "FQDNNetworkPolicy/qwen"]
    assert qwen["flows"][0] == {
        "direction": "in",
        "feature": "calls",
        "why": "clients that networkPolicy.allowFrom names",
        "peer": {"namespaceLabels": {}, "podLabels": {}},
        "ports": [{"protocol": "TCP", "port": 8000}],
    }
    peers = [flow["peer"] for flow in qwen["flows"]]
    assert {"node": "own"} in peers
    assert {"cidr": "169.254.20.10/32", "except": []} in peers
    assert [peer["hosts"][-1] for peer in peers if "hosts" in peer] == ["huggingface.co"]


def test_a_plan_says_in_one_line_what_is_allowed(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--config-file", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "  network    in: calls, metrics, probes; out: dns, model; all else is denied\n" in shown
    assert "  network    no policy: every pod of the cluster can call it, and it can call\n" in shown


def test_unknown_enforcement_is_said() -> None:
    plan = planned(existing_stack({"one": QWEN, "two": QWEN}))
    assert flows_text(plan).count("Whether the cluster enforces network policies is not known") == 1
    assert flows_document(plan)["servers"]["one"]["enforced"] is None
    assert "all else is denied, if policies are enforced" in " ".join(stack_text(plan, CATALOG).split())


def test_a_stack_without_servers_says_so() -> None:
    raw = {"cluster": {"mode": "autopilot", "location": "us-central1"}, "servers": {}}
    assert flows_text(planned(raw)) == "The stack has no servers.\n"
