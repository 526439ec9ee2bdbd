"""The process that runs a program: started early, told later what to run, never left behind."""

import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from gke_llm_inference.preview import supervisor
from gke_llm_inference.preview.output import BoundedOutput
from gke_llm_inference.pulumi_protocol.environment import child_environment

MOST_SECRETS: Final = 10_000
"""Secrets of a program that are remembered, to keep them out of what is shown."""

_CHILD = Path(__file__).with_name("child.py")
_DRAIN_SECONDS = 2.0
_MOST_SECRET_BYTES = 4 * 1024 * 1024
# The supervisor's own limit is below.
_END_SECONDS = 15.0
_MOST_CAPTURED_BYTES = 64 * 1024 * 1024
# What a supervisor says that was not killed: who the program is, and how it ended.
_TOLD = 2


@dataclass(frozen=True)
class Interpreter:
    """What runs a program: a Python with its dependencies, and the environment that the program sees."""

    python: Path = field(default_factory=lambda: Path(sys.executable))
    environment: dict[str, str] = field(default_factory=lambda: child_environment(dict(os.environ)))


@dataclass(frozen=True)
class ProcessResult:
    """How a process ended: `code` is negative for a signal, `timed_out` says that it was killed for it.

    What it printed is within bounds. `flooded` says that it was killed for more secrets than can be kept.
    """

    code: int
    stdout: str
    stderr: str
    timed_out: bool
    flooded: bool = False


class ContainedProcess:
    """A process below a supervisor, which ends all that came of it. See `supervisor`."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        stdin: int,
        stderr: int,
        directory: Path | None = None,
        own: Sequence[int] = (),
    ) -> None:
        if not os.access(command[0], os.X_OK):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), command[0])
        self._channel, theirs = socket.socketpair()
        with theirs:
            try:
                self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and file
                    [
                        *(sys.executable, "-I", "-S", supervisor.PATH, str(theirs.fileno())),
                        *(",".join(map(str, own)), *command),
                    ],
                    cwd=directory,
                    stdin=stdin,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    env=environment,
                    start_new_session=True,
                    pass_fds=(theirs.fileno(), *own),
                )
            except BaseException:
                self._channel.close()
                raise
        self._said: list[str] | None = None
        _running.add(self)

    def abandon(self) -> None:
        """Let everything be ended; whoever waits sees it end by a signal."""
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_WR)

    def end(self) -> int:
        """Wait until nothing of it is left, and return how it ended: negative for a signal."""
        if self._said is not None:
            return self._code()
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_WR)
        try:
            self.process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        _running.discard(self)
        with self._channel as channel:
            channel.settimeout(0)
            with contextlib.suppress(OSError):
                self._said = channel.recv(4096).decode().splitlines()
        self._said = self._said or []
        if len(self._said) < _TOLD and self._said:
            # The program killed its supervisor. What can still be found of it ends here.
            program, _, group = self._said[0].partition(" ")
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(int(program), signal.SIGKILL)
            supervisor.end_group(group)
        return self._code()

    def _code(self) -> int:
        assert self._said is not None
        return int(self._said[1]) if len(self._said) == _TOLD else -signal.SIGKILL


class ChildProcess:
    """A Python process that imports the SDK at once and waits for its task. Use as a context manager.

    Whatever is left of it is killed at the end, in whatever session it is.
    """

    def __init__(self, on_secret: Callable[[str], None], interpreter: Interpreter | None = None) -> None:
        interpreter = interpreter or Interpreter()
        read_end, write_end = os.pipe()
        self._secrets_descriptor = write_end
        try:
            self._contained = ContainedProcess(
                [str(interpreter.python), "-P", str(_CHILD)],
                interpreter.environment,
                stdin=subprocess.PIPE,
                stderr=subprocess.PIPE,
                own=(write_end,),
            )
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        self._process = self._contained.process
        self._stdout, self._stderr = BoundedOutput(), BoundedOutput()
        self._flooded = threading.Event()
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._readers = [
            _start(lambda: self._read_secrets(read_end, on_secret)),
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
        code = self.kill()
        for reader in self._readers:
            reader.join(_DRAIN_SECONDS)
        return ProcessResult(code, self._stdout.text(), self._stderr.text(), timed_out, self._flooded.is_set())

    def kill(self) -> int:
        """Kill the process and everything it started, if anything is left; how it ended."""
        code = self._contained.end()
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        return code

    def _read_secrets(self, descriptor: int, on_secret: Callable[[str], None]) -> None:
        """Take every secret, or end the program: one that is not known could not be kept out of what is shown."""
        rest, total, count = b"", 0, 0
        with os.fdopen(descriptor, "rb", buffering=0) as stream:
            while chunk := stream.read(65536):
                total += len(chunk)
                count += chunk.count(b"\n")
                if total > _MOST_SECRET_BYTES or count > MOST_SECRETS:
                    self._flooded.set()
                    self._contained.abandon()
                    continue
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    with contextlib.suppress(ValueError, RecursionError):
                        on_secret(json.loads(line))


def run_captured(command: list[str], directory: Path, interpreter: Interpreter, timeout: float) -> str:
    """What a Python module prints on stdout, run as `python -m`; empty if it cannot run, takes too long or never ends.

    Args:
        command: the module and its arguments.
        directory: where it runs, and where its modules are looked for first.
        interpreter: what runs it.
        timeout: seconds after which it is killed, with everything it started.

    """
    # In the caller's environment, this would keep the directory out of the module's path.
    environment = {name: value for name, value in interpreter.environment.items() if name != "PYTHONSAFEPATH"}
    try:
        contained = ContainedProcess(
            [str(interpreter.python), "-m", *command],
            environment,
            directory=directory,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        return ""
    output = bytearray()

    def read() -> None:
        assert contained.process.stdout is not None
        with contained.process.stdout as stream:
            while chunk := stream.read1(65536):  # type: ignore[attr-defined]
                if len(output) <= _MOST_CAPTURED_BYTES:
                    output.extend(chunk)
                else:
                    contained.abandon()

    reader = _start(read)
    try:
        contained.process.wait(timeout)
    except subprocess.TimeoutExpired:
        return ""
    finally:
        contained.end()
        reader.join(_DRAIN_SECONDS)
    return output.decode("utf-8", errors="replace") if len(output) <= _MOST_CAPTURED_BYTES else ""


def kill_all() -> None:
    """Kill every program that runs now; whoever waits for one sees it end by a signal."""
    for contained in list(_running):
        contained.abandon()


_running: set[ContainedProcess] = set()
"""Those that were started and not yet waited for."""


def _start(target: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread


def _read_all(stream: IO[bytes] | None, output: BoundedOutput) -> None:
    assert stream is not None
    with stream:
        while chunk := stream.read1(65536):  # type: ignore[attr-defined]
            output.add(chunk)
