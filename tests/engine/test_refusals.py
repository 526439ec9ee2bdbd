"""What is refused before anything is touched, and what is shown; none of it needs the engine."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.pulumi_project.project import load_project
from gke_llm_inference.settings import parse_settings
from local.engine import cli
from local.engine.cluster import ClusterError
from local.engine.errors import EngineError
from local.engine.local import LocalFiles, assert_local, down
from local.engine.recovery import assert_unlocked
from local.engine.table import Node, Report, Server, render
from local.gke import LocalGke, Running
from local.gke.cluster import Condition
from local.gke.processes import running_from
from tests.engine.support import wait_until

SERVERS = {"gemma": {"server": "vllm", "model": "google/gemma-7b-it", "maxModelLen": 4096}}
OWN = "https://127.0.0.1:41911"


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


def test_other_stacks_need_the_pulumi_cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert cli.main(["up", "--stack", "dev"]) == 1
    assert "stack 'dev' is deployed by the Pulumi CLI, which is not on PATH" in capsys.readouterr().err


def test_a_stack_that_does_not_exist_is_told_with_the_nearest_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["up", "--stack", "locl"]) == 1
    assert "did you mean 'local'?" in capsys.readouterr().err


def test_the_table_fits_80_columns_and_tells_what_waits() -> None:
    waiting = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu. " * 3
    long_name = "a-server-with-a-very-long-name-indeed"
    report = Report(
        (
            Server("gemma", "google/gemma-7b-it", 2, 1, ("node-1",), "http://gemma.llm-inference.svc:8000", waiting),
            Server(long_name, f"organization/{long_name}", None, 0, (), f"http://{long_name}.llm-inference.svc:8000"),
        ),
        (Node("node-1", "g2-standard-8", 1, 1, tier="flexStart (2)"), Node("n" * 60, "g2-standard-24", 2, 0)),
        (
            "12345.67 node-hours of g2-standard-24 (reservation, northamerica-northeast2): no price known",
            "at least 0.00 USD in all",
        ),
    )
    lines = render(report).splitlines()
    assert max(map(len, lines)) <= 80
    assert not report.ready
    text = "\n".join(lines)
    assert "gemma 1/2 google/gemma-7b-it g2-standard-8" in [" ".join(line.split()) for line in lines]
    assert "GPUs      1 used, 2 free" in text
    assert "waiting   gemma: 0/3 nodes are available" in text
    assert "used      12345.67 node-hours of g2-standard-24 (reservation," in text
    assert "\n          at least 0.00 USD in all\n" in text
    assert "node-1 gemma 1 of 1 flexStart (2)" in [" ".join(line.split()) for line in lines]


def test_the_cost_is_that_of_spot_machines_where_they_are() -> None:
    price = load_catalog().machine_types["g2-standard-8"].usd_per_hour
    assert price is not None
    report = Report((), (Node("a", "g2-standard-8", 1, 0), Node("b", "g2-standard-8", 1, 0, spot=True)))
    assert f"on GKE {price.on_demand + price.spot:.2f} USD an hour" in render(report)


def local_project(directory: Path, stack_file: str) -> LocalFiles:
    (directory / "Pulumi.yaml").write_text("name: llm-inference\nruntime: python\n")
    (directory / "Pulumi.local.yaml").write_text(stack_file)
    (directory / "__main__.py").touch()
    return LocalFiles(load_project(directory))


def test_down_removes_all_though_the_stack_file_is_wrong_by_now(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = local_project(tmp_path, "config: [not, a, mapping]\n")
    for made in (".local-gke/processes", ".local-gke/pki", ".local-pulumi/backend"):
        (tmp_path / made).mkdir(parents=True)
    assert down(files) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Pulumi.local.yaml", "Pulumi.yaml", "__main__.py"]
    said = capsys.readouterr().out
    assert "the stack's file cannot be read, so the control plane goes with all that it holds" in said
    assert "down: no process and no file is left" in said


def test_down_of_what_was_never_up_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert down(local_project(tmp_path, "config: {}\n")) == 0
    assert capsys.readouterr().out == "nothing is up\n"


def test_a_control_plane_that_does_not_answer_is_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def silent(*_arguments: object) -> None:
        raise ClusterError("the API server cannot be reached: connection refused")

    running = Running(tmp_path / "kubeconfig", "local", OWN, "standard", 60.0, ())
    monkeypatch.setattr(LocalGke, "condition", lambda _self: Condition(running))
    monkeypatch.setattr("local.engine.local.connect", silent)
    assert cli.main(["status"]) == 1
    assert "error: what runs cannot be read: the API server cannot be reached" in capsys.readouterr().err


def lock_of(directory: Path, pid: int) -> Path:
    path = directory / "backend" / ".pulumi" / "locks" / "organization" / "llm-inference" / "local" / "one.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"pid": pid, "username": "me", "hostname": "another", "timestamp": "then"}))
    return path


def test_a_lock_whose_process_id_another_program_has_by_now_is_removed(tmp_path: Path) -> None:
    path = lock_of(tmp_path, os.getpid())
    assert_unlocked(tmp_path, "local")
    assert not path.exists()


def test_a_lock_of_a_running_engine_stays(tmp_path: Path) -> None:
    cli_stand_in = tmp_path / "pulumi"
    cli_stand_in.symlink_to("/bin/sleep")
    process = subprocess.Popen([cli_stand_in, "60"])
    try:
        # A process has its new name a moment after it was started.
        wait_until(lambda: "pulumi" in Path(f"/proc/{process.pid}/comm").read_text())
        path = lock_of(tmp_path, process.pid)
        with pytest.raises(EngineError, match=rf"process {process.pid} of me, since then"):
            assert_unlocked(tmp_path, "local")
        assert path.exists()
    finally:
        process.kill()
        process.wait()


def test_plugins_that_a_killed_engine_left_end_with_its_lock(tmp_path: Path) -> None:
    plugin = tmp_path / "home" / "plugins" / "resource-kubernetes-v4.34.0" / "pulumi-resource-kubernetes"
    plugin.parent.mkdir(parents=True)
    plugin.symlink_to("/bin/sleep")
    process = subprocess.Popen([plugin, "60"])
    # A process has its arguments a moment after it was started.
    wait_until(lambda: running_from(tmp_path) != [])
    assert_unlocked(tmp_path, "local")
    assert [one.pid for one in running_from(tmp_path)] == [process.pid]  # no engine was killed
    lock_of(tmp_path, os.getpid())
    assert_unlocked(tmp_path, "local")
    assert running_from(tmp_path) == []
