"""The process that runs a program: started early, told later what to run, never left behind."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from gke_llm_inference.pulumi_protocol.environment import child_environment

_CHILD = Path(__file__).with_name("child.py")
_DRAIN_SECONDS = 2.0


@dataclass(frozen=True)
class Interpreter:
    """What runs a program: a Python with its dependencies, and the environment that the program sees."""

    python: Path = field(default_factory=lambda: Path(sys.executable))
    environment: dict[str, str] = field(default_factory=lambda: child_environment(dict(os.environ)))


@dataclass(frozen=True)
class ProcessResult:
    """How a process ended: `code` is negative for a signal, `timed_out` says that it was killed for it."""

    code: int
    stdout: str
    stderr: str
    timed_out: bool


class ChildProcess:
    """A Python process that imports the SDK at once and waits for its task. Use as a context manager.

    It leads a process group of its own; whatever is left of the group is killed at the end.
    """

    def __init__(self, on_secret: Callable[[str], None], interpreter: Interpreter | None = None) -> None:
        interpreter = interpreter or Interpreter()
        read_end, write_end = os.pipe()
        self._secrets_descriptor = write_end
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and file
                [str(interpreter.python), "-P", str(_CHILD)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=interpreter.environment,
                start_new_session=True,
                pass_fds=(write_end,),
            )
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        _running.add(self._process.pid)
        self._stdout: list[bytes] = []
        self._stderr: list[bytes] = []
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._secrets_reader = _start(lambda: _read_secrets(os.fdopen(read_end, encoding="utf-8"), on_secret))
        self._readers = [
            self._secrets_reader,
            _start(lambda: _read_all(self._process.stdout, self._stdout)),
            _start(lambda: _read_all(self._process.stderr, self._stderr)),
        ]

    def __enter__(self) -> "ChildProcess":
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill()

    def run(self, task: dict[str, Any], timeout: float) -> ProcessResult:
        """Hand over the task and waits for the end, at most `timeout` seconds."""
        process = self._process
        assert process.stdin is not None
        message = json.dumps({**task, "secretsDescriptor": self._secrets_descriptor}).encode()
        with contextlib.suppress(BrokenPipeError):  # it died already; its exit code and stderr tell why
            process.stdin.write(message)
            process.stdin.close()
        timed_out = False
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            timed_out = True
        self.kill()
        for reader in self._readers:
            reader.join(_DRAIN_SECONDS)
        return ProcessResult(process.returncode, _text(self._stdout), _text(self._stderr), timed_out)

    def kill(self) -> None:
        """Kill the process and everything it started, if anything is left."""
        _kill_group(self._process.pid)
        self._process.wait()
        _running.discard(self._process.pid)
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()


def run_captured(command: list[str], directory: Path, interpreter: Interpreter, timeout: float) -> str:
    """What a Python module prints on stdout, run as `python -m`; empty if it cannot run or takes too long.

    Args:
        command: the module and its arguments.
        directory: where it runs, and where its modules are looked for first.
        interpreter: what runs it.
        timeout: seconds after which it is killed, with everything it started.

    """
    # In the caller's environment, this would keep the directory out of the module's path.
    environment = {name: value for name, value in interpreter.environment.items() if name != "PYTHONSAFEPATH"}
    try:
        process = subprocess.Popen(  # noqa: S603 - an interpreter of ours
            [str(interpreter.python), "-m", *command],
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return ""
    _running.add(process.pid)
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        return ""
    finally:
        _kill_group(process.pid)
        process.wait()
        _running.discard(process.pid)
    return output.decode("utf-8", errors="replace")


def kill_all() -> None:
    """Kill every program that runs now; whoever waits for one sees it end by a signal."""
    for pid in list(_running):
        _kill_group(pid)


_running: set[int] = set()
"""Ids of the processes that were started and not yet waited for; each leads a group."""


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _start(target: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread


def _read_all(stream: IO[bytes] | None, chunks: list[bytes]) -> None:
    assert stream is not None
    with stream:
        while chunk := stream.read1(65536):  # type: ignore[attr-defined]
            chunks.append(chunk)


def _read_secrets(stream: IO[str], on_secret: Callable[[str], None]) -> None:
    with stream:
        for line in stream:
            try:
                on_secret(json.loads(line))
            except ValueError:
                continue


def _text(chunks: list[bytes]) -> str:
    return b"".join(chunks).decode("utf-8", errors="replace")
