"""A process is known by id and start time, and only that very one is ended."""

import fcntl
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from local_gke import LocalGke, LocalGkeError
from local_gke.processes import Process, launch, recorded, start_time, stop

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
