"""The Pulumi CLI as a process: found or made, and run so that an interrupt lets it save its state."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pulumi.automation import CommandResult, InvalidVersionError, PulumiCommand
from pulumi.automation.errors import create_command_error
from semver import VersionInfo

from gke_llm_inference.pulumi_protocol.environment import child_environment
from local.binaries import PROGRAMS, ensure
from local.binaries.cache import cache_directory
from local.engine.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from local.binaries import Progress

MINIMUM_VERSION = VersionInfo(3, 215)
"""A CLI that knows the option `replaceWith`; older ones refuse a stack with a cluster of its own."""

_KILLED_READ_SECONDS = 2.0


class EngineCommand(PulumiCommand):
    """One CLI. Ctrl-C reaches it once, as a request to stop; whoever waits for it goes on waiting until it has."""

    def __init__(self, path: Path) -> None:
        self.command = str(path)
        self.version = _version_of(path)
        self.running: set[int] = set()
        """Process ids of what runs now."""
        self.interrupted = threading.Event()
        self._environment = child_environment(dict(os.environ))

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: Callable[[str], object] | None = None,
        on_error: Callable[[str], object] | None = None,
    ) -> CommandResult:
        """Runs the CLI to its end; CommandError if it fails. Nothing of the caller's credentials reaches it."""
        process = subprocess.Popen(  # noqa: S603 - the CLI that was found
            [self.command, *args, "--non-interactive", "--color", "never"],
            cwd=cwd,
            env={**self._environment, "PULUMI_SKIP_UPDATE_CHECK": "true", **additional_env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            # Ctrl-C goes to the foreground's process group: it shall not reach the CLI past us.
            start_new_session=True,
        )
        self.running.add(process.pid)
        assert process.stdout is not None
        assert process.stderr is not None
        texts: tuple[list[str], list[str]] = ([], [])
        readers = [
            threading.Thread(target=_read, args=(stream, into, tell), daemon=True)
            for stream, into, tell in zip((process.stdout, process.stderr), texts, (on_output, on_error), strict=True)
        ]
        for reader in readers:
            reader.start()
        try:
            self._wait(process)
        finally:
            self.running.discard(process.pid)
        for reader in readers:
            # A plugin of an engine that was killed may hold its streams open for as long as it runs.
            reader.join(None if process.returncode >= 0 else _KILLED_READ_SECONDS)
        result = CommandResult("".join(texts[0]), "".join(texts[1]), process.returncode)
        if process.returncode:
            raise create_command_error(result)
        return result

    @contextmanager
    def limited(self, seconds: float) -> Iterator[None]:
        """Kills whatever of this CLI runs longer than that."""
        timer = threading.Timer(seconds, self._kill)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def stop(self, patience: float, ended: threading.Event) -> None:
        """Asks whatever of this CLI runs to stop, so that it saves its state; kills it unless `ended` is set soon."""
        self._send(signal.SIGINT)
        if not ended.wait(patience):
            self._kill()

    def _kill(self) -> None:
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        for pid in list(self.running):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _wait(self, process: subprocess.Popen[str]) -> None:
        while True:
            try:
                process.wait()
                return
            except KeyboardInterrupt:
                if self.interrupted.is_set():
                    # Asked twice: at once, at the price of operations that the next run finds unfinished.
                    process.kill()
                    process.wait()
                    raise
                self.interrupted.set()
                print("\ninterrupted: the engine saves its state; once more stops it at once", file=sys.stderr)
                process.send_signal(signal.SIGINT)


def find_command(progress: Progress) -> EngineCommand:
    """The CLI: on PATH, built before, or built with Go. Nothing is downloaded whose checksum is not pinned here.

    Raises:
        BinariesError: it could not be built.

    """
    return installed_command(progress) or EngineCommand(ensure(["pulumi"], progress)["pulumi"])


def installed_command(progress: Progress) -> EngineCommand | None:
    """The CLI where it is on this machine already: on PATH, or built before."""
    on_path = shutil.which("pulumi")
    built = cache_directory() / PROGRAMS["pulumi"].module.key / "pulumi"
    for path in (Path(on_path) if on_path else None, built):
        command = _usable(path, progress)
        if command is not None:
            return command
    return None


def _usable(path: Path | None, progress: Progress) -> EngineCommand | None:
    """The CLI at `path` if it runs and is new enough; else says why not."""
    if path is None or not path.exists():
        return None
    try:
        command = EngineCommand(path)
    except EngineError as error:
        progress(f"pulumi: {error}; passed over")
        return None
    if command.version is not None and command.version >= MINIMUM_VERSION:
        return command
    progress(f"pulumi: {path} is version {command.version}, older than {MINIMUM_VERSION}; passed over")
    return None


def _version_of(path: Path) -> VersionInfo:
    try:
        answer = subprocess.run(  # noqa: S603 - the CLI that was found
            [path, "version"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env={**child_environment(dict(os.environ)), "PULUMI_SKIP_UPDATE_CHECK": "true"},
        )
        return VersionInfo.parse(answer.stdout.strip().removeprefix("v"))
    except (OSError, subprocess.SubprocessError, ValueError, InvalidVersionError) as error:
        raise EngineError(f"{path} does not tell its version, so it is not a Pulumi CLI: {error}") from None


def _read(stream: IO[str], into: list[str], tell: Callable[[str], object] | None) -> None:
    with stream:
        for line in stream:
            into.append(line)
            if tell is not None:
                tell(line.rstrip("\n"))
