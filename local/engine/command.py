"""The Pulumi CLI as a process: found or made, and run so that an interrupt lets it save its state."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pulumi.automation import CommandResult, InvalidVersionError, PulumiCommand
from pulumi.automation.errors import create_command_error
from semver import VersionInfo

from gke_llm_inference.pulumi_protocol.environment import child_environment
from local.binaries import PROGRAMS, ensure
from local.binaries.cache import cache_directory, locked
from local.engine.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local.binaries import Progress

MINIMUM_VERSION = VersionInfo(3, 215)
"""A CLI that knows the option `replaceWith`; older ones refuse a stack with a cluster of its own."""

_PROXY_VARIABLES = frozenset({"http_proxy", "https_proxy", "no_proxy", "all_proxy", "ssl_cert_file"})
_INSTALL_SECONDS = 120.0
_REACH_SECONDS = 3.0
_PROBE = "https://get.pulumi.com/install.sh"
# In a process of its own, as the SDK's installer knows no time limit.
_INSTALLER = f"""
import sys, urllib.request
urllib.request.urlopen({_PROBE!r}, timeout={_REACH_SECONDS}).close()
from pulumi.automation import PulumiCommand
PulumiCommand.install(root=sys.argv[1])
"""


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
            reader.join()
        result = CommandResult("".join(texts[0]), "".join(texts[1]), process.returncode)
        if process.returncode:
            raise create_command_error(result)
        return result

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
    """The CLI: on PATH, built or installed before, installed by the SDK's own installer, or built with Go.

    Raises:
        EngineError: with every way that was tried.
        BinariesError: it could not be built either.

    """
    on_path = shutil.which("pulumi")
    home = cache_directory() / "pulumi"
    installed = home / "bin" / "pulumi"
    built = cache_directory() / PROGRAMS["pulumi"].module.key / "pulumi"
    for path in (Path(on_path) if on_path else None, installed, built):
        command = _usable(path, progress)
        if command is not None:
            return command
    with locked(home, lambda: progress("pulumi: another process installs it; waiting")):
        command = _usable(installed, lambda _line: None)
        if command is not None:
            return command
        progress("pulumi: not on this machine; asking get.pulumi.com for it")
        reason = _install(home)
    if reason is None and (command := _usable(installed, progress)) is not None:
        return command
    progress(f"pulumi: cannot be downloaded ({reason or 'it does not run'}); it is built from its Go module instead")
    return EngineCommand(ensure(["pulumi"], progress)["pulumi"])


def download_environment() -> dict[str, str]:
    """The environment of a download: that of a program, and the proxy that this network may need."""
    proxies = {name: value for name, value in os.environ.items() if name.lower() in _PROXY_VARIABLES}
    return {**child_environment(dict(os.environ)), **proxies}


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


def _install(home: Path) -> str | None:
    """Runs the SDK's installer, whole or not at all; why it failed, None if it did not. Needs the lock of `home`."""
    part = home.with_name(f"{home.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        reason = _download(part)
        if reason is None:
            shutil.rmtree(home, ignore_errors=True)
            part.rename(home)
        return reason
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _download(root: Path) -> str | None:
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and text
        [sys.executable, "-c", _INSTALLER, str(root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**download_environment(), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=_INSTALL_SECONDS)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            return f"no answer within {_INSTALL_SECONDS:.0f} s"
        raise
    if process.returncode == 0:
        return None
    return output.strip().rpartition("\n")[2][:200]


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
        raise EngineError(f"{path} does not tell its version, so it is no Pulumi CLI: {error}") from None


def _read(stream: IO[str], into: list[str], tell: Callable[[str], object] | None) -> None:
    with stream:
        for line in stream:
            into.append(line)
            if tell is not None:
                tell(line.rstrip("\n"))
