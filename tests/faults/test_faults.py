"""Kills, stops, corruptions, lost data and full disks; in the order of the table."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from local.gke.control_plane import START_ORDER
from local.gke.processes import program_name, start_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.faults.stack import Stack
    from tests.faults.table import Table

NEW_ROOM = "Namespace v1 llm-inference created"
"""What `up` says once it is in the middle of its work."""
LAST_RESORT = "`make down` removes all that the stack has on this machine"


def engines(stack: Stack) -> list[int]:
    """The engines that run for a stack: its locks name them."""
    found = []
    for path in stack.locks.glob("*.json"):
        try:
            found.append(int(json.loads(path.read_text())["pid"]))
        except (OSError, ValueError):
            continue
    return [pid for pid in found if start_time(pid) is not None]


@pytest.mark.parametrize("delay", [0.05, 0.1, 0.2, 0.4])
def test_interrupted_at_once(stack: Stack, table: Table, delay: float) -> None:
    running = stack.start("up")
    time.sleep(delay)
    running.send(signal.SIGINT)
    code, said = running.wait()
    assert code == 130, said
    assert stack.processes() == []
    if delay == 0.4:
        table.survived("Ctrl-C 0.05, 0.1, 0.2 and 0.4 s after `make up`", "it ends with a message; nothing is left")


@pytest.mark.parametrize(
    ("moment", "name"),
    [("starting etcd", "while the control plane starts"), (NEW_ROOM, "while it deploys")],
)
def test_up_is_killed_and_goes_on(stack: Stack, table: Table, moment: str, name: str) -> None:
    running = stack.start("up")
    running.wait_for(lambda: running.said(moment))
    running.send(signal.SIGKILL)
    running.process.wait()
    # The engine ends by itself once it sees that the program is gone; until then a second one is refused.
    _wait_until(lambda: engines(stack) == [])
    said = stack.up()
    assert "already exists" not in said
    table.survived(f"`make up` killed (SIGKILL) {name}", "the next `make up` ends with everything ready, nothing twice")


def test_engine_killed_and_not_reaped(stack: Stack, table: Table) -> None:
    """As under a first process that does not reap: the engine stays a zombie, with its id and its name."""
    libc = ctypes.CDLL(None)
    libc.prctl(36, 1, 0, 0, 0)
    try:
        running = stack.start("up")
        running.wait_for(lambda: running.said(NEW_ROOM))
        (engine,) = engines(stack)
        running.send(signal.SIGKILL)
        running.process.wait()
        os.kill(engine, signal.SIGKILL)
        os.waitid(os.P_PID, engine, os.WEXITED | os.WNOWAIT)
        assert "pulumi" in (program_name(engine) or "")
        stack.up()
        os.waitpid(engine, 0)
    finally:
        libc.prctl(36, 0, 0, 0, 0)
    table.survived("the engine killed and never reaped, as in many containers", "the next `make up` goes on at once")


def test_two_cold_ups_at_once(two_at_once: tuple[Stack, list[tuple[int, str]]], table: Table) -> None:
    _, ended = two_at_once
    assert [code for code, _ in ended] == [0, 1], ended
    assert "error: another command changes the stack on this machine: make up, process " in ended[1][1]
    table.survived("two `make up` at once, cold", "one deploys; the other is refused and names the first")


@contextmanager
def small_disk(directory: Path, mebibytes: int) -> Iterator[None]:
    """A disk of its own at a directory."""
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(directory)],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("a disk may not be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def _fill(directory: Path) -> Path:
    """Leaves no room on the disk of a directory."""
    filler = directory.parent / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (2**20, 4096, 1):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                continue
    return filler


def test_the_disk_is_full_from_the_start(stack: Stack, table: Table) -> None:
    with small_disk(stack.directory.parent, 8):
        full = type(stack).made_in(stack.directory)
        code, said = full.run("up")
        assert code == 1, said
        assert "no space left on device" in said.lower()
        full.down()
    table.survived(
        "a disk that is too small for the control plane", "`make up` says so; `make down` removes what there is"
    )


@pytest.mark.parametrize("after", ["up", "down"])
def test_the_disk_fills_up_in_the_middle(stack: Stack, table: Table, after: str) -> None:
    with small_disk(stack.directory.parent, 400):
        full = type(stack).made_in(stack.directory)
        running = full.start("up")
        running.wait_for(lambda: running.said(NEW_ROOM))
        filler = _fill(full.directory)
        code, said = running.wait()
        assert code == 1, said
        assert "the control plane does not work: " in said or "no space left on device" in said.lower()
        if after == "down":
            full.down()
            table.survived(
                "a disk that fills up while `make up` deploys", "`make down` removes everything on the full disk"
            )
            return
        filler.unlink()
        code, said = full.run("up")
        if code:
            # The engine's state was cut off; that is told, and how to go on.
            assert LAST_RESORT in said
            full.down()
    table.survived(
        "the same, and then room is made",
        "`make up` goes on, or names what the full disk damaged, and `make down` before another `make up`",
    )


def test_the_disk_is_read_only(stack: Stack, table: Table) -> None:
    with small_disk(stack.directory.parent, 400):
        project = type(stack).made_in(stack.directory)
        subprocess.run(["mount", "-o", "remount,ro", str(project.directory.parent)], check=True)
        code, said = project.run("up")
        subprocess.run(["mount", "-o", "remount,rw", str(project.directory.parent)], check=True)
        assert code == 1, said
        assert "Read-only file system" in said
        assert project.processes() == []
    table.survived("a disk that is read-only", "`make up` says so and starts nothing")


def test_files_may_not_grow(stack: Stack, table: Table) -> None:
    def limit() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (16384, 16384))

    code, said = stack.run("up", preexec_fn=limit)
    assert code == 1, said
    stack.down()
    table.survived(
        "no file may be larger than 16 KiB (RLIMIT_FSIZE)", "`make up` fails with a message; `make down` works"
    )


def test_components_are_killed(deployed: Stack, table: Table) -> None:
    dead: list[str] = []
    for name in reversed(START_ORDER):
        os.kill(deployed.component(name), signal.SIGKILL)
        _wait_until(lambda name=name: start_time(deployed.component(name)) is None)  # type: ignore[misc]
        dead.append(name)
        said = deployed.status()
        if len(dead) < len(START_ORDER):
            assert [one for one in START_ORDER if f"  {one} is not running" in said] == sorted(
                dead, key=START_ORDER.index
            )
        else:
            assert "the control plane does not run" in said
    deployed.up()
    table.survived(
        f"every component killed, one after the other: {', '.join(reversed(START_ORDER))}",
        "`make status` names those that are dead; `make up` starts them with what the cluster held",
    )


def test_components_are_stopped(deployed: Stack, table: Table) -> None:
    for name in START_ORDER:
        pid = deployed.component(name)
        os.kill(pid, signal.SIGSTOP)
        assert f"  {name} is stopped (process {pid})" in deployed.status()
        os.kill(pid, signal.SIGCONT)
    for name in START_ORDER:
        os.kill(deployed.component(name), signal.SIGSTOP)
    deployed.up()
    for name in START_ORDER:
        os.kill(deployed.component(name), signal.SIGSTOP)
    deployed.down()
    table.survived(
        "every component stopped (SIGSTOP), each alone and then all",
        "`make status` names it; `make up` starts the control plane again; `make down` ends it",
    )


def _half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _braces(path: Path) -> None:
    path.write_text("{}")


DAMAGED: dict[str, tuple[Callable[[Stack], Path], tuple[Callable[[Path], None], ...]]] = {
    "the engine's state": (lambda stack: stack.checkpoint, (_half, _empty, _braces)),
    "`instance.json`": (lambda stack: stack.gke.directory / "instance.json", (_half, _empty, _braces)),
    "the kubeconfig": (lambda stack: stack.gke.directory / "kubeconfig", (_half, _empty, _braces)),
    "a certificate": (lambda stack: stack.gke.directory / "pki" / "kube-apiserver.crt", (_half, _empty)),
    "a process record": (lambda stack: stack.gke.directory / "processes" / "etcd.json", (_half, _braces)),
    "the passphrase": (lambda stack: stack.state / "passphrase", (_empty,)),
}
_WORDS: dict[Callable[[Path], None], str] = {_half: "truncated", _empty: "empty", _braces: "`{}`"}


@pytest.mark.parametrize("what", DAMAGED)
def test_files_are_damaged(deployed: Stack, table: Table, what: str) -> None:
    place, damages = DAMAGED[what]
    path = place(deployed)
    whole = path.read_bytes()
    for damage in damages:
        path.write_bytes(whole)
        damage(path)
        code, said = deployed.run("up")
        assert code == 1, said
        assert f"{path} is damaged: " in said
        assert LAST_RESORT in said
    deployed.down()
    table.survived(
        f"{what} damaged: {', '.join(_WORDS[damage] for damage in damages)}",
        "`make up` names the file and `make down`; `make down` removes everything",
    )


def test_a_lock_is_damaged(deployed: Stack, table: Table) -> None:
    for text in ("[]", "", '{"pid": 1}'):
        deployed.locks.mkdir(parents=True, exist_ok=True)
        (deployed.locks / "one.json").write_text(text)
        deployed.up()
    table.survived(
        "a lock of the engine that is `[]`, empty, or of another program", "`make up` removes it and goes on"
    )


def test_every_record_is_lost(deployed: Stack, table: Table) -> None:
    shutil.rmtree(deployed.gke.directory / "processes")
    (deployed.gke.directory / "instance.json").unlink()
    deployed.down()
    table.survived("every process record and `instance.json` removed", "`make down` finds and ends every process")


@pytest.mark.parametrize("lost", ["reset", "etcd"])
def test_the_cluster_is_lost(deployed: Stack, table: Table, lost: str) -> None:
    if lost == "reset":
        deployed.gke.reset()
    else:
        deployed.gke.stop()
        shutil.rmtree(deployed.gke.directory / "etcd")
    said = deployed.up()
    assert "the control plane is a new one" in said
    assert "Deployment apps/v1 gemma-deployment created" in said
    if lost == "reset":
        assert "10 unchanged" in deployed.up()
    done = "`python -m local.gke reset`" if lost == "reset" else "etcd's data removed"
    table.survived(f"{done} while the engine has state", "the next `make up` deploys everything anew")


def _wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
