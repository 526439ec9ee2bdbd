"""`quota` says what a stack needs, what its project has and what is missing, and keeps credentials to itself."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from gke_llm_inference.cli import quota_reader
from gke_llm_inference.cli.main import main
from gke_llm_inference.planning.quota import QuotaNeed, QuotaState, QuotaUse

STACK = """\
config:
  gcp:project: acme-ml
  gke-llm-inference:cluster: {mode: standard, location: us-central1}
  gke-llm-inference:nodePools:
    l4: {maxNodes: 4}
    cheap: {maxNodes: 2, provisioning: {model: flexStart}}
  gke-llm-inference:servers:
    qwen: {server: vllm, model: Qwen/Qwen2.5-7B-Instruct, maxModelLen: 4096, replicas: 3, nodePool: l4}
"""


@dataclass(frozen=True)
class Quota:
    metric: str
    limit: float
    usage: float


class Project:
    """Quotas of a project, without Google."""

    def __init__(self, l4: float, used: float = 0, everywhere: float = 16) -> None:
        self._l4, self._used, self._everywhere = l4, used, everywhere

    def of_region(self, project: str, region: str) -> list[Quota]:
        assert (project, region) == ("acme-ml", "us-central1")
        return [Quota("NVIDIA_L4_GPUS", self._l4, self._used), Quota("CPUS", 72, 8)]

    def of_project(self, project: str) -> list[Quota]:
        assert project == "acme-ml"
        return [Quota("GPUS_ALL_REGIONS", self._everywhere, self._used)]


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    path = tmp_path / "Pulumi.prod.yaml"
    path.write_text(STACK, encoding="utf-8")
    return path


def use(monkeypatch: pytest.MonkeyPatch, project: Project) -> None:
    monkeypatch.setattr(quota_reader, "user_credentials", lambda: None)
    monkeypatch.setattr(quota_reader, "ComputeEngine", lambda _: project)


def test_offline_it_prints_what_to_ask_for(stack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quota", "--offline", "--config-file", str(stack)]) == 0
    where = "https://console.cloud.google.com/iam-admin/quotas?project=acme-ml"
    assert capsys.readouterr().out.splitlines() == [
        "GPUS_ALL_REGIONS (all regions): needs 3 at rest, 6 during an update",
        f"  ask for 6 beside what others use: {where}",
        "NVIDIA_L4_GPUS (us-central1): needs 3 at rest, 4 during an update",
        f"  ask for 4 beside what others use: {where}",
        "PREEMPTIBLE_NVIDIA_L4_GPUS (us-central1): needs 0 at rest, 2 during an update",
        f"  ask for 2 beside what others use: {where}",
    ]


def test_it_says_what_is_missing_at_rest_and_during_an_update(
    stack: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(monkeypatch, Project(l4=4, used=2))
    assert main(["quota", "--config-file", str(stack)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "  limit 16, used 2: enough" in lines
    assert "  limit 4, used 2: 1 missing at rest, 2 during an update" in lines
    assert "  ask for a limit of 6: https://console.cloud.google.com/iam-admin/quotas?project=acme-ml" in lines
    assert any(line.startswith("  Compute Engine does not list it; look for it") for line in lines)


def test_a_stack_that_runs_counts_its_own_gpus_once(
    stack: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(monkeypatch, Project(l4=4, used=3))
    assert main(["quota", "--deployed", "--config-file", str(stack), "--json"]) == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)["quotas"]}
    assert found["NVIDIA_L4_GPUS"] == {
        "name": "NVIDIA_L4_GPUS",
        "scope": "us-central1",
        "limit": 4,
        "used": 3,
        "atRest": 3,
        "duringUpdate": 4,
        "missingAtRest": 0,
        "missing": 0,
        "askFor": 4,
    }
    assert (found["PREEMPTIBLE_NVIDIA_L4_GPUS"]["limit"], found["PREEMPTIBLE_NVIDIA_L4_GPUS"]["missing"]) == (
        None,
        None,
    )


@pytest.mark.parametrize(
    ("limit", "used", "deployed", "at_rest", "at_most", "ask"),
    [
        (8, 0, False, 0, 0, 5),
        (4, 0, False, 0, 1, 5),
        (4, 2, False, 1, 3, 7),
        (4, 2, True, 0, 1, 5),
        (0, 0, False, 3, 5, 5),
        (4, 4, True, 0, 2, 6),
    ],
)
def test_what_others_use_is_not_there(
    limit: float, used: float, deployed: bool, at_rest: int, at_most: int, ask: int
) -> None:
    need = QuotaNeed("NVIDIA_L4_GPUS", 3, 5)
    state = QuotaState(need=need, use=QuotaUse(limit=limit, used=used), deployed=deployed)
    assert (state.missing_at_rest, state.missing, state.limit_to_ask_for) == (at_rest, at_most, ask)


def test_a_cluster_whose_project_is_not_known_is_asked_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "Pulumi.there.yaml"
    path.write_text(
        "config:\n  gke-llm-inference:cluster: {mode: existing, kubeconfigContext: gke}\n"
        "  gke-llm-inference:servers:\n"
        "    qwen: {server: vllm, model: Qwen/Qwen2.5-7B-Instruct, maxModelLen: 4096}\n",
        encoding="utf-8",
    )
    assert main(["quota", "--config-file", str(path)]) == 1
    assert "use --offline" in capsys.readouterr().err


def test_googles_library_is_asked_in_a_process_without_pulumis_sdk() -> None:
    """Both register `google.rpc.Status`, and a process holds one."""
    there = Path(__file__).with_name("googles_library.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", "--noconftest", str(there)]
    ended = subprocess.run(command, cwd=there.parents[2], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout
    assert ended.stdout.splitlines()[-1].strip().startswith(("4 passed", "...."))
