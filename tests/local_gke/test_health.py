"""What does not work is named, soon, whatever it is; and everything of an instance is ended, whatever is on record."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from local.gke import LocalGke
from local.gke.control_plane import START_ORDER, Layout, Ports
from local.gke.processes import Process, started_before, stop
from tests.local_gke.instances import PORTS, record, sleep_as, sleeping, write_instance

pytestmark = pytest.mark.processes

SERVERS = ("etcd", "kube-apiserver")


def troubles(layout: Layout) -> list[str]:
    """What the instance says that is wrong with it; it has little time to say so."""
    started = time.monotonic()
    condition = LocalGke(layout.directory).condition()
    assert time.monotonic() - started < 4
    assert condition.running is None
    return [str(trouble) for trouble in condition.troubles]


@contextmanager
def silent_server() -> Iterator[int]:
    """A port that takes connections and answers none."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(50)
        yield server.getsockname()[1]


@pytest.mark.parametrize("name", START_ORDER)
def test_a_component_that_is_stopped_is_named(tmp_path: Path, name: str) -> None:
    layout = write_instance(tmp_path / "gke")
    with sleeping(layout) as processes:
        os.kill(processes[name].pid, signal.SIGSTOP)
        assert f"{name} is stopped (process {processes[name].pid})" in troubles(layout)
        if name in SERVERS:
            assert len(troubles(layout)) == 1


@pytest.mark.parametrize("name", START_ORDER)
def test_a_component_that_is_dead_is_named_though_nobody_reaps_it(tmp_path: Path, name: str) -> None:
    layout = write_instance(tmp_path / "gke")
    with sleeping(layout) as processes:
        processes[name].send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, processes[name].pid, os.WEXITED | os.WNOWAIT)
        assert f"{name} is not running" in troubles(layout)


def test_servers_that_do_not_answer_are_named_and_not_waited_for(tmp_path: Path) -> None:
    with silent_server() as api, silent_server() as store:
        ports = Ports(api, store, 11)
        layout = write_instance(tmp_path / "gke", ports)
        with sleeping(layout, ports):
            assert troubles(layout) == [f"{name} does not answer within 1 s" for name in SERVERS]


def test_servers_that_nobody_can_reach_are_named(tmp_path: Path) -> None:
    layout = write_instance(tmp_path / "gke")
    with sleeping(layout):
        assert [one.partition(":")[0] for one in troubles(layout)] == [f"{name} cannot be reached" for name in SERVERS]


@pytest.mark.parametrize("damage", ["", "{}", "[]", '{"name": "etcd", "pid": -1, "started": "then"}', "\0\1", None])
@pytest.mark.parametrize("name", START_ORDER)
def test_a_reset_ends_every_process_whatever_its_record_says(tmp_path: Path, name: str, damage: str | None) -> None:
    layout = write_instance(tmp_path / "gke")
    with sleeping(layout) as processes:
        path = layout.records / f"{name}.json"
        path.unlink()
        if damage is not None:
            path.write_text(damage)
        LocalGke(layout.directory).reset()
        assert [one for one, process in processes.items() if process.poll() is None] == []
    assert not layout.directory.exists()


def test_a_reset_ends_what_is_stopped(tmp_path: Path) -> None:
    layout = write_instance(tmp_path / "gke")
    with sleeping(layout) as processes:
        for process in processes.values():
            process.send_signal(signal.SIGSTOP)
        started = time.monotonic()
        LocalGke(layout.directory).reset()
        assert time.monotonic() - started < 5
        assert None not in {process.poll() for process in processes.values()}


def test_a_reset_after_somebody_removed_the_directory_ends_the_processes(tmp_path: Path) -> None:
    layout = write_instance(tmp_path / "gke")
    with sleeping(layout) as processes:
        subprocess.run(["rm", "-r", layout.directory], check=True)
        LocalGke(layout.directory).reset()
        assert [one for one, process in processes.items() if process.poll() is None] == []


def test_a_reset_leaves_the_processes_of_others_alone(tmp_path: Path) -> None:
    """Another instance's, and programs of a person who looks at this one."""
    layout, other = write_instance(tmp_path / "gke"), write_instance(tmp_path / "gke2")
    commands = {
        "vim": [str(layout.state)],
        "kubectl": [f"--kubeconfig={layout.own_kubeconfig('kube-controller-manager')}", "get", "pods"],
        "etcdctl": [f"--data-dir={layout.store}", "snapshot"],
        "du": [str(layout.directory)],
    }
    looking = [sleep_as(program, arguments, tmp_path / program) for program, arguments in commands.items()]
    try:
        with sleeping(other) as processes:
            # A record that names a process of somebody else's by now.
            record(layout, "etcd", looking[0].pid)
            (layout.records / "etcd.json").write_text(
                (layout.records / "etcd.json").read_text().replace('"started": "', '"started": "x')
            )
            LocalGke(layout.directory).reset()
            assert [process.poll() for process in (*looking, *processes.values())] == [None] * (4 + len(START_ORDER))
            assert other.directory.exists()
    finally:
        for process in looking:
            process.kill()
            process.wait()


def test_what_ends_nobody_waits_for_and_what_cannot_be_ended_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process("etcd", os.getpid(), "now")
    monkeypatch.setattr(Process, "alive", True)
    monkeypatch.setattr("local.gke.processes._KILLED_SECONDS", 0.1)
    monkeypatch.setattr("local.gke.processes._send", lambda *_: None)
    assert stop([process], 0.1) == [process]


def test_a_process_is_older_than_now_and_younger_than_the_machine(tmp_path: Path) -> None:
    process = sleep_as("any", [], tmp_path / "any")
    try:
        now = datetime.now(UTC)
        assert started_before(process.pid, now)
        assert not started_before(process.pid, now - timedelta(minutes=1))
    finally:
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not started_before(process.pid, datetime.now(UTC))
        process.wait()
    assert not started_before(process.pid, datetime.now(UTC))


def test_nothing_that_runs_is_no_trouble(tmp_path: Path) -> None:
    layout = write_instance(tmp_path / "gke", PORTS)
    condition = LocalGke(layout.directory).condition()
    assert (condition.running, condition.alive, condition.troubles) == (None, (), ())
