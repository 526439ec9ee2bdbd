"""What earlier runs left, whole or damaged; none of it needs the engine."""

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gke_llm_inference.pulumi_project.project import load_project
from local.engine import cli
from local.engine import local as local_stack
from local.engine.checkpoint import Checkpoint, DamagedStateError
from local.engine.errors import EngineError
from local.engine.exclusive import exclusively
from local.engine.local import LocalFiles, LocalStack, down, status, up
from local.engine.recovery import assert_unlocked
from local.engine.tie import tie
from local.engine.watch import watched
from local.gke import LocalGke
from local.gke.cluster import Condition
from local.gke.health import Trouble
from tests.local_gke.instances import sleep_as, sleeping, write_instance
from tests.support import PROJECT, REPOSITORY

pytestmark = pytest.mark.processes

LONG_AGO, NOW, LATER = (
    "2001-01-01T00:00:00Z",
    time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    "2101-01-01T00:00:00Z",
)
STATE = {"version": 3, "checkpoint": {"latest": {"resources": [{"urn": "urn:pulumi:a", "type": "a:b:C"}]}}}


def lock_in(directory: Path, text: str) -> Path:
    path = directory / "backend" / ".pulumi" / "locks" / "organization" / "llm-inference" / "local" / "one.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def lock_of(directory: Path, pid: object, timestamp: str) -> Path:
    return lock_in(directory, json.dumps({"pid": pid, "username": "me", "timestamp": timestamp}))


@pytest.fixture
def pulumi(tmp_path: Path) -> Any:
    """A process that looks like an engine."""
    program = tmp_path / "pulumi"
    program.symlink_to("/bin/sleep")
    process = subprocess.Popen([program, "60"])
    while "pulumi" not in Path(f"/proc/{process.pid}/comm").read_text():
        time.sleep(0.005)
    yield process
    process.kill()
    process.wait()


def test_an_engine_that_is_dead_holds_no_lock_though_nobody_reaps_it(
    tmp_path: Path, pulumi: subprocess.Popen[bytes]
) -> None:
    """As under the first process of many containers: its id stays, and its name."""
    path = lock_of(tmp_path, pulumi.pid, LATER)
    pulumi.kill()
    os.waitid(os.P_PID, pulumi.pid, os.WEXITED | os.WNOWAIT)
    assert "pulumi" in Path(f"/proc/{pulumi.pid}/comm").read_text()
    assert_unlocked(tmp_path, "local")
    assert not path.exists()


def test_a_lock_is_not_of_an_engine_that_was_started_after_it(tmp_path: Path, pulumi: subprocess.Popen[bytes]) -> None:
    path = lock_of(tmp_path, pulumi.pid, LONG_AGO)
    assert_unlocked(tmp_path, "local")
    assert not path.exists()


@pytest.mark.parametrize("timestamp", [LATER, "2101-01-01T01:02:03.123456789+02:00", "no time", ""])
def test_a_lock_of_an_engine_that_runs_stays(tmp_path: Path, pulumi: subprocess.Popen[bytes], timestamp: str) -> None:
    path = lock_of(tmp_path, pulumi.pid, timestamp)
    with pytest.raises(EngineError, match=f"process {pulumi.pid} of me"):
        assert_unlocked(tmp_path, "local")
    assert path.exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        "3",
        '"text"',
        '{"pid": true}',
        '{"pid": "1"}',
        '{"pid": -1}',
        '{"pid": 1e99}',
        "[" * 100_000,
        "{",
    ],
)
def test_a_lock_that_names_nobody_is_removed(tmp_path: Path, text: str) -> None:
    path = lock_in(tmp_path, text)
    assert_unlocked(tmp_path, "local")
    assert not path.exists()


def test_a_lock_that_is_no_file_is_removed(tmp_path: Path) -> None:
    path = lock_in(tmp_path, "")
    path.unlink()
    path.mkdir()
    assert_unlocked(tmp_path, "local")
    assert not path.exists()


def test_one_command_at_a_time_and_the_other_is_told_of_it(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    with exclusively(directory, "make up"):
        assert directory.stat().st_mode & 0o777 == 0o700
        with (
            pytest.raises(EngineError, match=f"changes the stack on this machine: make up, process {os.getpid()}"),
            exclusively(directory, "make down"),
        ):
            pass
    with exclusively(directory, "make down"):
        (directory / "lock").unlink()
        with exclusively(directory, "make up"):
            pass


def test_the_state_directory_is_for_its_user_whoever_made_it(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o755)
    with exclusively(tmp_path / "state", "make up"):
        assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


DAMAGED_STATES = {
    "empty": "",
    "{}": "{}",
    "[]": "[]",
    "null": "null",
    "truncated": json.dumps(STATE)[:60],
    "no checkpoint": '{"checkpoint": 3}',
    "no resources": '{"checkpoint": {"latest": {"resources": {}}}}',
    "an empty resource": '{"checkpoint": {"latest": {"resources": [{}]}}}',
    "an operation": '{"checkpoint": {"latest": {"pending_operations": [{"type": "creating"}]}}}',
    "deep": "[" * 100_000,
    "bytes": "\0\1\2",
}


def checkpoint_in(state_directory: Path, text: str) -> Checkpoint:
    checkpoint = Checkpoint(state_directory / "backend", PROJECT, "local")
    checkpoint.path.parent.mkdir(parents=True)
    checkpoint.path.write_text(text)
    return checkpoint


@pytest.mark.parametrize("text", DAMAGED_STATES.values(), ids=DAMAGED_STATES)
def test_a_damaged_state_is_named_with_the_newest_backup_that_is_whole(tmp_path: Path, text: str) -> None:
    checkpoint = checkpoint_in(tmp_path, text)
    with pytest.raises(DamagedStateError, match=r"local\.json is damaged: .*\n  why: .*\n  fix: put a backup back$"):
        checkpoint.latest()
    backups = tmp_path / "backend" / ".pulumi" / "backups" / PROJECT / "local"
    backups.mkdir(parents=True)
    for number, content in enumerate((json.dumps(STATE), json.dumps(STATE), text), 1):
        (backups / f"local.179555217963645979{number}.json").write_text(content)
    with pytest.raises(DamagedStateError, match=r"fix: copy .*/local\.1795552179636459792\.json, the engine's newest"):
        checkpoint.latest()
    checkpoint.path.with_name("local.json.bak").write_text(json.dumps(STATE))
    with pytest.raises(DamagedStateError, match=r"fix: copy .*/local\.json\.bak, "):
        checkpoint.latest()


def test_the_newest_backups_are_kept(tmp_path: Path) -> None:
    checkpoint = checkpoint_in(tmp_path, json.dumps(STATE))
    backups = tmp_path / "backend" / ".pulumi" / "backups" / PROJECT / "local"
    backups.mkdir(parents=True)
    for number in range(30):
        for end in ("", ".attrs"):
            (backups / f"local.17955521796364597{number:02d}.json{end}").touch()
    checkpoint.prune()
    kept = [f"local.17955521796364597{number}.json" for number in range(20, 30)]
    assert sorted(path.name for path in backups.iterdir()) == sorted([*kept, *(f"{name}.attrs" for name in kept)])


class StandIn:
    """What of an engine's stack counts for its tie to a cluster."""

    def __init__(self, directory: Path, *, exists: bool) -> None:
        self.directory = directory
        self.exists = exists
        self.done: list[str] = []

    def forget(self) -> None:
        self.done.append("forget")

    def refresh(self) -> None:
        self.done.append("refresh")


@pytest.mark.parametrize(
    ("known", "exists", "done"),
    [
        ("one", True, []),
        ("another", True, ["forget"]),
        ("another", False, []),
        (None, True, ["refresh"]),
        (b"\xff", True, ["refresh"]),
        ("", True, ["refresh"]),
        (None, False, []),
    ],
)
def test_the_state_of_another_cluster_is_forgotten(
    tmp_path: Path, known: str | bytes | None, exists: bool, done: list[str]
) -> None:
    engine: Any = StandIn(tmp_path, exists=exists)
    if known is not None:
        (tmp_path / "cluster").write_bytes(known if isinstance(known, bytes) else known.encode())
    assert (tie(engine, "one") is not None) == bool(done)
    assert engine.done == done
    assert tie(engine, "one") is None
    assert engine.done == done


@pytest.fixture
def files(tmp_path: Path) -> LocalFiles:
    """A project whose stack was brought up, as far as its files tell."""
    project = tmp_path / "project"
    project.mkdir()
    for name in ("Pulumi.yaml", "Pulumi.local.yaml", "__main__.py"):
        shutil.copy(REPOSITORY / name, project)
    return LocalFiles(load_project(project))


def test_up_names_a_damaged_state_and_the_last_resort_before_anything_is_started(files: LocalFiles) -> None:
    checkpoint_in(files.state_directory, "{}")
    with pytest.raises(EngineError) as refused:
        up(LocalStack.read(files.project))
    lines = str(refused.value).splitlines()
    assert "local.json is damaged: checkpoint is not an object" in lines[0]
    assert lines[-1].startswith("  or: `make down` removes all that the stack has on this machine")
    assert not files.cluster.directory.exists()


@pytest.mark.parametrize("name", ["instance.json", "kubeconfig", "pki/authority.crt", "processes/etcd.json"])
def test_up_names_a_damaged_control_plane_and_the_last_resort(
    files: LocalFiles, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = write_instance(files.cluster.directory)
    (layout.directory / name).write_text("{}")
    monkeypatch.setattr("local.gke.cluster.ensure", lambda *_: {})
    for find in ("find_command", "find_provider"):
        monkeypatch.setattr(local_stack, find, lambda _progress: None)
    with pytest.raises(EngineError) as refused:
        up(LocalStack.read(files.project))
    lines = str(refused.value).splitlines()
    assert f"{layout.directory / name} is damaged: " in lines[0]
    assert lines[1].startswith("  fix: `make down` removes all that the stack has on this machine")


BROKEN: dict[str, Callable[[LocalFiles], object]] = {
    "instance.json": lambda files: (files.cluster.directory / "instance.json").write_text("{"),
    "kubeconfig": lambda files: (files.cluster.directory / "kubeconfig").write_text("{"),
    "certificate": lambda files: (files.cluster.directory / "pki" / "administrator.crt").write_text(""),
    "a record": lambda files: (files.cluster.directory / "processes" / "etcd.json").write_text("[]"),
    "every record": lambda files: shutil.rmtree(files.cluster.directory / "processes"),
    "state": lambda files: checkpoint_in(files.state_directory, "{}"),
    "state directory": lambda files: files.state_directory.write_text(""),
    "passphrase": lambda files: checkpoint_in(files.state_directory, json.dumps(STATE)),
    "lock": lambda files: lock_in(files.state_directory, "[]"),
    "stack file": lambda files: (files.project.directory / "Pulumi.local.yaml").write_text("config: [1]\n"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_down_leaves_no_process_and_no_file_whatever_is_broken(
    files: LocalFiles, broken: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(path.name for path in files.project.directory.iterdir())
    # What works takes the engine's way, which is not what is asked here.
    monkeypatch.setattr(local_stack, "installed_command", lambda _progress: None)
    layout = write_instance(files.cluster.directory)
    with sleeping(layout) as processes:
        BROKEN[broken](files)
        assert down(files) == 0
        assert [name for name, process in processes.items() if process.poll() is None] == []
    assert sorted(path.name for path in files.project.directory.iterdir()) == before
    assert capsys.readouterr().out.endswith("down: no process and no file is left\n")


def test_down_is_refused_while_another_command_works(files: LocalFiles, pulumi: subprocess.Popen[bytes]) -> None:
    layout = write_instance(files.cluster.directory)
    with exclusively(files.state_directory, "make up"), pytest.raises(EngineError, match="make up, process"):
        down(files)
    lock_of(files.state_directory, pulumi.pid, LATER)
    with pytest.raises(EngineError, match=f"process {pulumi.pid} of me"):
        down(files)
    assert layout.state.exists()


def test_down_ends_what_runs_though_nothing_may_be_removed(
    files: LocalFiles, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(path: Path, *_arguments: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.chdir(files.project.directory)
    layout = write_instance(files.cluster.directory)
    with sleeping(layout) as processes:
        monkeypatch.setattr(Path, "rename", refuse)
        assert cli.main(["down"]) == 1
        assert [name for name, process in processes.items() if process.poll() is None] == []
    error = capsys.readouterr().err
    assert error.startswith(f"error: {layout.directory}: Read-only file system\n  fix: run it where you may write")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("command", ["up", "status", "down"])
def test_what_the_system_refuses_is_a_message(
    files: LocalFiles, command: str, number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_stack: object) -> int:
        raise OSError(number, os.strerror(number), "/some/file")

    monkeypatch.chdir(files.project.directory)
    monkeypatch.setattr(local_stack, command, fail)
    assert cli.main([command]) == 1
    assert capsys.readouterr().err.startswith(f"error: /some/file: {os.strerror(number)}\n")


def test_status_names_what_is_dead_and_what_to_do(
    files: LocalFiles, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    troubles = (Trouble("etcd", "is stopped (process 7)"), Trouble("kwok", "is not running"))
    monkeypatch.setattr(LocalGke, "condition", lambda _self: Condition(alive=("etcd",), troubles=troubles))
    assert status(LocalStack.read(files.project)) == 1
    assert capsys.readouterr().out.splitlines() == [
        "the control plane does not work:",
        "  etcd is stopped (process 7)",
        "  kwok is not running",
        "fix: `make up` starts it again with what it holds, `make down` removes it",
    ]


def test_status_does_not_wait_for_a_report_that_takes_long(files: LocalFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalGke, "condition", lambda _self: Condition(running=True))  # type: ignore[arg-type]
    monkeypatch.setattr(local_stack, "_report", lambda *_: time.sleep(20))
    monkeypatch.setattr(local_stack, "_STATUS_SECONDS", 0.2)
    with pytest.raises(EngineError, match=r"kube-apiserver does not answer within 0\.2 s"):
        status(LocalStack.read(files.project))


class StoppedCommand:
    """A CLI that ends once it is asked to."""

    def __init__(self) -> None:
        self.asked = threading.Event()

    def stop(self, _patience: float, _ended: threading.Event) -> None:
        self.asked.set()


def test_an_engine_is_stopped_once_the_control_plane_is_dead(
    files: LocalFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local.engine.watch._POLL_SECONDS", 0.05)
    layout = write_instance(files.cluster.directory)
    command: Any = StoppedCommand()
    with sleeping(layout) as processes:
        with watched(files.cluster, command):
            assert not command.asked.wait(0.2)
        processes["etcd"].kill()
        with pytest.raises(EngineError, match="does not work: etcd is not running; the engine was stopped"):
            _wait_and_fail(files, command)


def _wait_and_fail(files: LocalFiles, command: Any) -> None:
    with watched(files.cluster, command):
        assert command.asked.wait(10)
        raise EngineError("page after page")


@pytest.mark.parametrize("delay", [0.06, 0.15, 0.3])
def test_an_early_interrupt_is_no_traceback(files: LocalFiles, delay: float) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "local.engine", "status"],
        cwd=files.project.directory,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(delay)
    process.send_signal(2)
    _, error = process.communicate(timeout=20)
    # What comes before the first line of ours is Python's own.
    assert not [line for line in error.splitlines() if f'File "{REPOSITORY}' in line]
    assert process.returncode in (130, 1)


def test_whoever_looks_at_the_files_of_an_instance_is_left_alone_by_down(files: LocalFiles, tmp_path: Path) -> None:
    layout = write_instance(files.cluster.directory)
    looking = sleep_as("tail", ["-f", str(layout.logs / "etcd.log")], tmp_path / "tail")
    try:
        assert down(files) == 0
        assert looking.poll() is None
    finally:
        looking.kill()
        looking.wait()
