"""Processes of an instance, known by id and start time: an id alone may belong to another process by now."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from local.gke.files import read_json

_LAUNCHER = Path(__file__).resolve().parent / "launcher.py"
_POLL_SECONDS = 0.05
# What it prints of a time depends on both.
_PS_ENVIRONMENT = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True)
class Process:
    """A process that was started, and may have ended since.

    Attributes:
        started: when it was started, in the words of this system; with the id, it tells one process from all others.

    """

    name: str
    pid: int
    started: str

    @property
    def alive(self) -> bool:
        """Whether this very process runs."""
        _reap(self.pid)
        return start_time(self.pid) == self.started

    @property
    def memory_mib(self) -> float | None:
        """Resident memory in MiB; None where the system does not tell."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text("utf-8")
        except OSError:
            return None
        return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS:")), None)


def start_time(pid: int) -> str | None:
    """When the process with this id was started; None if there is none, or only what a dead one leaves."""
    try:
        # The second field is the program's name in parentheses, which may contain anything.
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("utf-8").strip()
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
        state, _, started = _ps(pid, "stat=,lstart=").partition(" ")
        return started.strip() or None if not state.startswith("Z") else None
    return None if fields[0] in "ZX" else f"{boot} {fields[19]}"


def program_name(pid: int) -> str | None:
    """The name of the program that a process runs; None if there is no such process."""
    try:
        return Path(f"/proc/{pid}/comm").read_text("utf-8").strip()
    except OSError:
        return None if Path("/proc/self/comm").exists() else _ps(pid, "comm=").rpartition("/")[2] or None


def running_from(directory: Path) -> list[Process]:
    """The processes whose programs were started from below a directory, whoever started them."""
    found = []
    for pid, command in _commands():
        program = command.partition("\0")[0]
        if program.startswith(f"{directory}{os.sep}") and (started := start_time(pid)) is not None:
            found.append(Process(program.rpartition(os.sep)[2], pid, started))
    return found


def _commands() -> Iterator[tuple[int, str]]:
    """Every process, with the program and the arguments that it was started with."""
    if not Path("/proc/self/cmdline").exists():
        for line in _ps_of("pid=,command=", "-A").splitlines():
            pid, _, command = line.strip().partition(" ")
            yield int(pid), command
        return
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            yield int(path.parent.name), path.read_text("utf-8", "replace")


def _ps(pid: int, columns: str) -> str:
    """What `ps` says of a process, where there is no /proc; empty if there is no such process."""
    return _ps_of(columns, "-p", str(pid))


def _ps_of(columns: str, *which: str) -> str:
    answer = subprocess.run(
        ["ps", *which, "-o", columns],  # noqa: S607 the system's own
        env=_PS_ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.stdout.strip()


def launch(
    name: str, command: Sequence[str], records: Path, logs: Path, environment: dict[str, str], *, hold: int
) -> None:
    """Start a program in a session of its own; it is on record before it runs.

    The launcher writes the record itself and becomes the program, so that no process is ever unknown, whoever is
    killed when. Until then it keeps the lock `hold`, a file descriptor, so that nobody looks at the records too early.
    """
    with (logs / f"{name}.log").open("ab") as log:
        subprocess.Popen(
            [sys.executable, "-I", "-S", str(_LAUNCHER), name, str(hold), str(records / f"{name}.json"), *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
            pass_fds=(hold,),
        )


def recorded(records: Path) -> list[Process]:
    """The processes on record, sorted by name, whether they run or not."""
    documents = [read_json(path) for path in sorted(records.glob("*.json"))]
    return [Process(**document) for document in documents if document]


def stop(processes: Iterable[Process], patience: float) -> None:
    """End processes: ask first, and kill what still runs after `patience` seconds."""
    pending = [process for process in processes if process.alive]
    for process in pending:
        _send(process, signal.SIGTERM)
    end = time.monotonic() + patience
    while (pending := [process for process in pending if process.alive]) and time.monotonic() < end:
        time.sleep(_POLL_SECONDS)
    for process in pending:
        _send(process, signal.SIGKILL)
    while any(process.alive for process in pending):
        time.sleep(_POLL_SECONDS)


def _send(process: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(process.pid, number)


def _reap(pid: int) -> None:
    """Take notice of the end of a child, which stays a zombie otherwise."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
