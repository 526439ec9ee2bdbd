"""The stack of a project on this machine, its commands as a user runs them, and ways to hurt it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from local.gke import LocalGke
from local.gke.processes import recorded
from tests.support import PROJECT, REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable

STATUS_SECONDS = 5.0
READY = "gemma 1/1 google/gemma-7b-it g2-standard-8"
_COMMAND_SECONDS = 180.0


@dataclass(frozen=True)
class Stack:
    """A project, of which the stack `local` is used."""

    directory: Path

    @classmethod
    def made_in(cls, directory: Path) -> Stack:
        directory.mkdir()
        for name in ("Pulumi.yaml", "Pulumi.local.yaml", "__main__.py"):
            shutil.copy(REPOSITORY / name, directory)
        return cls(directory)

    @property
    def gke(self) -> LocalGke:
        return LocalGke(self.directory / ".local-gke")

    @property
    def kept(self) -> Path:
        return self.directory.with_name("kept")

    @property
    def state(self) -> Path:
        return self.directory / ".local-pulumi"

    @property
    def checkpoint(self) -> Path:
        return self.state / "backend" / ".pulumi" / "stacks" / PROJECT / "local.json"

    @property
    def locks(self) -> Path:
        return self.state / "backend" / ".pulumi" / "locks" / "organization" / PROJECT / "local"

    def start(self, command: str, **options: object) -> Running:
        """Starts a command, as `make` does."""
        return Running(self.directory, command, options)

    def run(self, command: str, **options: object) -> tuple[int, str]:
        """Runs a command to its end: exit code, and all that it said."""
        return self.start(command, **options).wait()

    def up(self) -> str:
        """`up`, which must come to its end with everything ready."""
        code, said = self.run("up")
        assert code == 0, said
        assert READY in [" ".join(line.split()) for line in said.splitlines()]
        return said

    def down(self) -> str:
        """`down`, which must leave neither process nor file."""
        code, said = self.run("down")
        assert (code, said.splitlines()[-1]) == (0, "down: no process and no file is left"), said
        assert "Traceback" not in said
        assert self.processes() == []
        assert sorted(path.name for path in self.directory.iterdir()) == [
            "Pulumi.local.yaml",
            "Pulumi.yaml",
            "__main__.py",
        ]
        return said

    def status(self) -> str:
        """`status` of a control plane that does not work, which must say so in time."""
        started = time.monotonic()
        code, said = self.run("status")
        seconds = time.monotonic() - started
        assert code == 1, said
        assert seconds < STATUS_SECONDS, f"{seconds:.1f} s"
        return said

    def component(self, name: str) -> int:
        """The process id of a component."""
        (process,) = [one for one in recorded(self.gke.directory / "processes") if one.name == name]
        return process.pid

    def processes(self) -> list[int]:
        """Whatever runs from this project."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            pid = int(path.parent.name)
            if pid != os.getpid() and str(self.directory).encode() in _read(path):
                found.append(pid)
        return found

    def restore(self) -> None:
        """Puts back the files of the stack as they were when it was up."""
        shutil.rmtree(self.directory)
        shutil.copytree(self.kept, self.directory, symlinks=True)

    def end(self) -> None:
        """Ends whatever a test that failed has left; nothing is left of one that passed."""
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)


class Running:
    """A command that runs."""

    def __init__(self, directory: Path, command: str, options: dict[str, object]) -> None:
        self.process = subprocess.Popen(  # type: ignore[call-overload]
            [sys.executable, "-m", "local.engine", command],
            cwd=directory,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            **{"preexec_fn": _interruptible, **options},
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Waits until something holds; the command must not have ended before."""
        end = time.monotonic() + _COMMAND_SECONDS
        while not condition():
            assert self.process.poll() is None, "".join(self.lines)
            assert time.monotonic() < end, "".join(self.lines)
            time.sleep(0.01)

    def said(self, text: str) -> bool:
        return any(text in line for line in self.lines)

    def send(self, number: int) -> None:
        """A signal to the command and what is in its group, as a terminal sends it."""
        os.killpg(self.process.pid, number)

    def wait(self) -> tuple[int, str]:
        try:
            code = self.process.wait(_COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            self.send(signal.SIGKILL)
            self.process.wait()
            raise AssertionError(f"it did not end: {''.join(self.lines)}") from None
        self._reader.join(5)
        said = "".join(self.lines)
        assert "Traceback" not in said, said
        return code, said

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            for line in stream:
                self.lines.append(line)


def _interruptible() -> None:
    # Whoever runs these tests in the background ignores it, and its children would.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
