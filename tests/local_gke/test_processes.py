"""A process is known by id and start time, and only that very one is ended."""

import fcntl
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from local.gke import LocalGke, LocalGkeError, Running
from local.gke.api import ApiError
from local.gke.processes import Process, launch, recorded, running_from, start_time, stop

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def process(tmp_path: Path) -> Process:
    start("sleep", SLEEP, tmp_path)
    while not (found := recorded(tmp_path)):
        time.sleep(0.01)
    return found[0]


def start(name: str, command: list[str], directory: Path) -> None:
    with (directory / "lock").open("a") as lock:
        launch(name, command, directory, directory, dict(os.environ), hold=lock.fileno())


def test_the_lock_is_kept_until_the_process_is_on_record(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        launch("sleep", SLEEP, tmp_path, tmp_path, dict(os.environ), hold=lock.fileno())
    with (tmp_path / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (process,) = recorded(tmp_path)
    stop([process], 5)


def test_a_process_is_on_record_with_the_start_time_that_the_system_says(process: Process) -> None:
    assert process.started == start_time(process.pid)
    assert process.alive
    stop([process], 5)
    assert not process.alive


def test_another_process_with_the_same_id_is_left_alone(process: Process) -> None:
    stop([replace(process, started="another time")], 0.2)
    assert process.alive
    stop([process], 5)


def test_one_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); open('ready', 'w'); time.sleep(60)"
    start("deaf", ["/usr/bin/env", "-C", str(tmp_path), sys.executable, "-c", code], tmp_path)
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)
    (process,) = recorded(tmp_path)
    started = time.monotonic()
    stop([process], 0.3)
    assert not process.alive
    assert time.monotonic() - started < 5


def test_what_runs_from_below_a_directory_is_found_and_nothing_else(tmp_path: Path) -> None:
    program = tmp_path / "below" / "program"
    program.parent.mkdir()
    program.symlink_to("/bin/sleep")
    children = [subprocess.Popen([path, "60"]) for path in (program, Path("/bin/sleep"))]
    try:
        # A process has its arguments a moment after it was started.
        while not (started := running_from(tmp_path / "below")):
            time.sleep(0.01)
        (found,) = started
        assert (found.name, found.pid) == ("program", children[0].pid)
        assert running_from(tmp_path / "bel") == []
        stop([found], 5)
        assert running_from(tmp_path / "below") == []
        assert children[1].poll() is None
    finally:
        for child in children:
            child.kill()
            child.wait()


def test_the_record_is_for_its_user_only(process: Process, tmp_path: Path) -> None:
    assert (tmp_path / "sleep.json").stat().st_mode & 0o777 == 0o600
    stop([process], 5)


def test_a_program_that_does_not_exist_leaves_a_dead_record(tmp_path: Path) -> None:
    start("missing", ["/nowhere/program"], tmp_path)
    while not recorded(tmp_path) or recorded(tmp_path)[0].alive:
        time.sleep(0.01)
    assert "No such file" in (tmp_path / "missing.log").read_text()


@pytest.mark.parametrize("speed", [0, -1])
def test_time_does_not_stand_still(tmp_path: Path, speed: float) -> None:
    with pytest.raises(LocalGkeError, match="above 0"):
        LocalGke(tmp_path / "gke").start(speed=speed)


def test_resetting_what_is_not_there_is_nothing(tmp_path: Path) -> None:
    LocalGke(tmp_path / "gke").reset()
    LocalGke(tmp_path / "gke").stop()
    assert LocalGke(tmp_path / "gke").running() is None
    assert not (tmp_path / "gke").exists()


def test_whoever_waits_while_the_directory_is_removed_makes_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gke = LocalGke(tmp_path / "gke")
    make_instance(tmp_path / "gke")
    removing, remove, made = threading.Event(), threading.Event(), threading.Event()

    def slowly(*_arguments: object) -> None:
        removing.set()
        assert remove.wait(10)

    def start(*_arguments: object) -> None:
        made.set()
        # Whatever stands on the lock that a second reset would take is what this start holds.
        with (tmp_path / "gke" / "lock").open("a") as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        raise LocalGkeError("enough")

    monkeypatch.setattr("local.gke.cluster.ensure", lambda *_: {})
    monkeypatch.setattr(LocalGke, "_start", start)
    with ThreadPoolExecutor(2) as pool:
        with monkeypatch.context() as patched:
            patched.setattr(LocalGke, "_stop", slowly)
            reset = pool.submit(gke.reset)
            assert removing.wait(10)
        started = pool.submit(LocalGke(tmp_path / "gke").start)
        assert not made.wait(0.3)
        remove.set()
        reset.result(timeout=10)
        with pytest.raises(LocalGkeError, match="enough"):
            started.result(timeout=10)
    assert made.is_set()


def test_what_a_killed_reset_has_left_goes_with_the_next(tmp_path: Path) -> None:
    left = tmp_path / ".gke.being-removed.a1b2c3"
    make_instance(left)
    LocalGke(tmp_path / "gke").reset()
    assert not left.exists()


def test_many_may_reset_at_once(tmp_path: Path) -> None:
    for _ in range(10):
        make_instance(tmp_path / "gke")
        for number in range(50):
            (tmp_path / "gke" / "pki" / str(number)).touch()
        with ThreadPoolExecutor(6) as pool:
            resets = [pool.submit(LocalGke(tmp_path / "gke").reset) for _ in range(6)]
        assert [reset.exception() for reset in resets] == [None] * 6
        assert list(tmp_path.iterdir()) == []


def test_a_control_plane_that_does_not_take_node_pools_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise ApiError(500, "no space left on device")

    running = Running(tmp_path / "kubeconfig", "local", "https://127.0.0.1:1", "standard", 60.0, ())
    monkeypatch.setattr(LocalGke, "_running", lambda _self: running)
    monkeypatch.setattr(LocalGke, "_api", lambda *_: None)
    monkeypatch.setattr("local.gke.bootstrap.apply_simulation", fail)
    with pytest.raises(LocalGkeError, match="node pools could not be set: 500: no space left on device"):
        LocalGke(tmp_path / "gke").simulate()


def make_instance(directory: Path) -> None:
    for name in ("processes", "pki"):
        (directory / name).mkdir(parents=True)
