"""Processes of an instance, known by id and start time: an id alone may belong to another process by now."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from local.gke.errors import DamagedError
from local.gke.files import read_document

_LAUNCHER = Path(__file__).resolve().parent / "launcher.py"
_POLL_SECONDS = 0.05
# Only one that waits for a disk that does not answer takes longer.
_KILLED_SECONDS = 10.0
_MOST_PID = 2**31
_CLOCKS = timedelta(seconds=2)
_DEAD, _STOPPED = "ZX", "Tt"
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
        """Whether this very process is there, stopped or not. One that only waits to be reaped is not."""
        _reap(self.pid)
        return start_time(self.pid) == self.started

    @property
    def stopped(self) -> bool:
        """Whether this very process is there and does nothing, as after SIGSTOP."""
        found = _look(self.pid)
        return found is not None and found.started == self.started and found.state in _STOPPED

    @property
    def memory_mib(self) -> float | None:
        """Resident memory in MiB; None where the system does not tell."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text("utf-8")
        except OSError:
            return None
        return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS:")), None)


@dataclass(frozen=True)
class _Look:
    """What the system says of a process: its state as one letter, and when it was started."""

    state: str
    started: str


def start_time(pid: int) -> str | None:
    """When the process with this id was started; None if there is none, or only what a dead one leaves."""
    found = _look(pid)
    return None if found is None or found.state in _DEAD else found.started


def started_before(pid: int, moment: datetime) -> bool:
    """Whether the process with this id is there, and was there at a moment already."""
    found = _look(pid)
    if found is None or found.state in _DEAD:
        return False
    # Either clock may be of another second.
    return _moment_of(found.started) <= moment + _CLOCKS


def _moment_of(started: str) -> datetime:
    """A start time as a moment."""
    ticks = started.rpartition(" ")[2]
    if not Path("/proc/stat").exists():
        return datetime.strptime(started, "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC)
    lines = Path("/proc/stat").read_text("utf-8").splitlines()
    boot = next(int(line.split()[1]) for line in lines if line.startswith("btime "))
    return datetime.fromtimestamp(boot + int(ticks) / os.sysconf("SC_CLK_TCK"), UTC)


def _look(pid: int) -> _Look | None:
    try:
        # The second field is the program's name in parentheses, which may contain anything.
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("utf-8").strip()
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
        state, _, started = _ps(pid, "stat=,lstart=").partition(" ")
        return _Look(state[:1], started.strip()) if started.strip() else None
    return _Look(fields[0], f"{boot} {fields[19]}")


def program_name(pid: int) -> str | None:
    """The name of the program that a process runs; None if there is no such process."""
    try:
        return Path(f"/proc/{pid}/comm").read_text("utf-8", "replace").strip()
    except OSError:
        return None if Path("/proc/self/comm").exists() else _ps(pid, "comm=").rpartition("/")[2] or None


def running_from(directory: Path) -> list[Process]:
    """The processes whose programs were started from below a directory, whoever started them."""
    return [
        Process(program.rpartition(os.sep)[2], pid, started)
        for pid, (program, *_), started in _running()
        if program.startswith(f"{directory}{os.sep}")
    ]


def running_as(name_of: Callable[[Sequence[str]], str | None]) -> list[Process]:
    """The processes that a name is given to by what they were started with, whoever started them."""
    return [Process(name, pid, started) for pid, command, started in _running() if (name := name_of(command))]


def _running() -> Iterator[tuple[int, list[str], str]]:
    """Every process that is there: its id, program and arguments, and start time."""
    for pid, command in _commands():
        if command and (started := start_time(pid)) is not None:
            yield pid, command, started


def _commands() -> Iterator[tuple[int, list[str]]]:
    """Every process, with the program and the arguments that it was started with."""
    if not Path("/proc/self/cmdline").exists():
        for line in _ps_of("pid=,command=", "-A").splitlines():
            pid, _, command = line.strip().partition(" ")
            yield int(pid), command.split()
        return
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            yield int(path.parent.name), path.read_text("utf-8", "replace").rstrip("\0").split("\0")


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
    """The processes on record, sorted by name, whether they run or not; records that cannot be read are left out."""
    found = []
    for path in sorted(records.glob("*.json")):
        with suppress(DamagedError):
            found.append(read_record(path))
    return found


def read_record(path: Path) -> Process:
    """The process of a record.

    Raises:
        DamagedError: the record names none.

    """
    document = read_document(path)
    if (
        not isinstance(document, dict)
        or {name: type(value) for name, value in document.items()} != {"name": str, "pid": int, "started": str}
        or not 0 < document["pid"] < _MOST_PID
    ):
        raise DamagedError(path, "it does not name a process")
    return Process(**document)


def stop(processes: Iterable[Process], patience: float) -> list[Process]:
    """End processes: ask first, and kill what still runs after `patience` seconds; those that even so did not end."""
    pending = [process for process in processes if process.alive]
    for process in pending:
        _send(process, signal.SIGTERM)
        # One that was stopped hears nothing before it goes on.
        _send(process, signal.SIGCONT)
    pending = _still_alive(pending, patience)
    for process in pending:
        _send(process, signal.SIGKILL)
    return _still_alive(pending, _KILLED_SECONDS)


def _still_alive(processes: list[Process], seconds: float) -> list[Process]:
    """Those of the processes that are alive after so long; returns as soon as none is."""
    end = time.monotonic() + seconds
    while (processes := [process for process in processes if process.alive]) and time.monotonic() < end:
        time.sleep(_POLL_SECONDS)
    return processes


def _send(process: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(process.pid, number)


def _reap(pid: int) -> None:
    """Take notice of the end of a child, which stays a zombie otherwise."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
