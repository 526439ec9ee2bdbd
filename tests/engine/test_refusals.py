"""What is refused before anything is touched, and what is shown; none of it needs the engine."""

import json
from pathlib import Path

import pytest

from engine import cli
from engine.errors import EngineError
from engine.kubernetes_provider.changes import Change, changes
from engine.kubernetes_provider.kinds import replaces
from engine.local import admission, assert_local
from engine.table import Node, Report, Server, render
from local_gke import Running
from settings import parse_settings

SERVERS = {"gemma": {"server": "vllm", "model": "google/gemma-7b-it", "maxModelLen": 4096}}
OWN = "https://127.0.0.1:41911"
FOREIGN = "https://203.0.113.9"


def kubeconfig(server: str) -> str:
    return json.dumps(
        {
            "current-context": "one",
            "contexts": [{"name": "one", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": server}}],
        }
    )


@pytest.mark.parametrize(
    ("cluster", "named"),
    [
        ({"mode": "autopilot", "location": "us-central1"}, "mode: autopilot"),
        ({"mode": "standard", "location": "us-central1"}, "mode: standard"),
        ({"mode": "existing", "name": "shared", "location": "us-central1"}, "mode: existing"),
        ({"mode": "existing", "kubeconfigContext": "gke_production"}, "kubeconfigContext: gke_production"),
    ],
)
def test_a_local_stack_for_another_cluster_is_refused(cluster: dict[str, str], named: str) -> None:
    settings = parse_settings({"cluster": cluster, "servers": SERVERS})
    with pytest.raises(EngineError) as refused:
        assert_local(settings)
    assert f"cluster: '{named}' is not for this machine" in str(refused.value)
    assert "fix: in Pulumi.local.yaml" in str(refused.value)


def test_the_provider_serves_its_own_control_plane_only() -> None:
    admit = admission(Running(Path("kubeconfig"), "local", OWN, "standard", 60.0, ()))
    assert admit({}) is None
    assert admit({"context": "local", "clusterIdentifier": "local"}) is None
    assert admit({"kubeconfig": kubeconfig(OWN)}) is None
    for arguments in (
        {"kubeconfig": kubeconfig(FOREIGN)},
        {"kubeconfig": kubeconfig(FOREIGN), "context": "one"},
        {"context": "gke_production"},
        {"kubeconfig": "/home/someone/.kube/config"},
    ):
        refusal = admit(arguments)
        assert refusal is not None
        assert OWN in refusal
        assert "nothing was touched" in refusal


def test_other_stacks_need_the_pulumi_cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert cli.main(["up", "--stack", "dev"]) == 1
    assert "stack 'dev' is deployed by the Pulumi CLI, which is not on PATH" in capsys.readouterr().err


def test_a_stack_that_does_not_exist_is_told_with_the_nearest_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["up", "--stack", "locl"]) == 1
    assert "did you mean 'local'?" in capsys.readouterr().err


def test_changes_are_found_by_path() -> None:
    old = {"spec": {"replicas": 1, "args": ["a", "b"], "gone": True}}
    new = {"spec": {"replicas": 2, "args": ["a", "c"], "new": 1}}
    assert list(changes(old, new)) == [
        ("spec.args[1]", Change.UPDATE),
        ("spec.gone", Change.DELETE),
        ("spec.new", Change.ADD),
        ("spec.replicas", Change.UPDATE),
    ]


@pytest.mark.parametrize(
    ("kind", "path", "expected"),
    [
        (("apps/v1", "Deployment"), "spec.replicas", False),
        (("apps/v1", "Deployment"), "spec.selector.matchLabels.app", True),
        (("apps/v1", "Deployment"), "metadata.name", True),
        (("apps/v1", "Deployment"), "metadata.labels.app", False),
        (("v1", "Secret"), "stringData.token", True),
        (("v1", "Service"), "spec.ports[0].port", False),
        (("v1", "Service"), "spec", True),
        (("v1", "PersistentVolumeClaim"), "spec.resources.requests.storage", False),
        (("policy/v1", "PodDisruptionBudget"), "spec.maxUnavailable", False),
    ],
)
def test_which_changes_replace_an_object(kind: tuple[str, str], path: str, expected: bool) -> None:
    assert replaces(*kind, path) is expected


def test_the_table_fits_80_columns_and_tells_what_waits() -> None:
    waiting = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu. " * 3
    long_name = "a-server-with-a-very-long-name-indeed"
    report = Report(
        (
            Server("gemma", "google/gemma-7b-it", 2, 1, ("node-1",), "http://gemma.llm-inference.svc:8000", waiting),
            Server(long_name, f"organisation/{long_name}", None, 0, (), f"http://{long_name}.llm-inference.svc:8000"),
        ),
        (Node("node-1", "g2-standard-8", 1, 1), Node("n" * 60, "g2-standard-24", 2, 0)),
    )
    lines = render(report).splitlines()
    assert max(map(len, lines)) <= 80
    assert not report.ready
    text = "\n".join(lines)
    assert "gemma               1/2     google/gemma-7b-it" in text
    assert "GPUs      1 used, 2 free" in text
    assert "waiting   gemma: 0/3 nodes are available" in text
