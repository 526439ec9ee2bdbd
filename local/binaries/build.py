"""Builds what is not on this machine from the pinned Go modules."""

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from local.binaries.cache import CancelledError, cache_directory, locked
from local.binaries.errors import WAYS, BinariesError
from local.binaries.find import in_assets, on_path
from local.binaries.programs import PROGRAMS, GoModule, Program
from local.binaries.toolchain import environment, find_go

Progress = Callable[[str], None]
"""Takes one line of news at a time."""

_POLL_SECONDS = 0.2
_REPORT_SECONDS = 10.0
_TAIL = 20


def ensure(
    names: Iterable[str], progress: Progress = lambda _line: None, cancelled: threading.Event | None = None
) -> dict[str, Path]:
    """The paths of programs: from KUBEBUILDER_ASSETS, the cache or PATH, else built into the cache with Go.

    A build that is interrupted goes on where it was, as Go keeps what it compiled.

    Args:
        names: names of programs, of `PROGRAMS`.
        progress: gets what is being built, and every ten seconds how far it is.
        cancelled: once set by another thread, a build ends at once.

    Raises:
        BinariesError: a program is neither here nor can be built; says why, and the ways to get it.
        CancelledError: `cancelled` was set.

    """
    paths: dict[str, Path] = {}
    missing: dict[GoModule, list[Program]] = {}
    for name in sorted(set(names)):
        program = PROGRAMS[name]
        path = in_assets(program, progress) or _cached(program) or on_path(program, progress)
        if path is None:
            missing.setdefault(program.module, []).append(program)
        else:
            paths[name] = path
    for number, (module, programs) in enumerate(missing.items(), 1):
        build = _Build(module, programs, progress, cancelled or threading.Event())
        paths |= build.run(f"{number} of {len(missing)}")
    return dict(sorted(paths.items()))


def _home(module: GoModule) -> Path:
    return cache_directory() / module.key


def _cached(program: Program) -> Path | None:
    path = _home(program.module) / program.name
    return path if path.exists() else None


class _Build:
    """The build of programs of one module."""

    def __init__(
        self, module: GoModule, programs: Sequence[Program], progress: Progress, cancelled: threading.Event
    ) -> None:
        self._module = module
        self._programs = programs
        self._progress = progress
        self._cancelled = cancelled
        self._home = _home(module)
        self._title = f"{', '.join(program.name for program in programs)} {module.version}"
        self._flags = ["-trimpath", f"-ldflags={module.linker_flags}"]

    def run(self, count: str) -> Mapping[str, Path]:
        try:
            go = find_go(self._module.go_version, self._progress)
            with locked(self._home, lambda: self._tell("another process builds it; waiting"), self._cancelled):
                missing = [program for program in self._programs if not (self._home / program.name).exists()]
                if missing:
                    self._tell(f"not on this machine; building with {go} (module {count})")
                    self._compile(go, missing)
        except OSError as error:
            raise BinariesError(self._failure(str(error))) from error
        return {program.name: self._home / program.name for program in self._programs}

    def _compile(self, go: Path, programs: Sequence[Program]) -> None:
        # Only the holder of the lock comes here, so what lies there is of a build that was killed.
        part = self._home.with_name(f"{self._home.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        started = time.monotonic()
        try:
            self._embed(go, part)
            total = self._packages_to_compile(go, programs)
            for program in programs:
                # One at a time: `go build -o DIRECTORY` would name them after their packages.
                command = [str(go), "build", "-v", *self._flags, "-o", str(part / program.name), program.package]
                total -= self._go_build(command, environment(go), total, started)
            self._home.mkdir(exist_ok=True)
            for program in programs:
                os.replace(part / program.name, self._home / program.name)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        self._tell(f"built in {time.monotonic() - started:.0f} s")

    def _embed(self, go: Path, part: Path) -> None:
        """Make Go see the files that are embedded where our program expects them; nothing is copied."""
        if not self._module.embedded:
            return
        source = self._module.source
        # It checks the module against go.sum.
        answer = subprocess.run(
            [str(go), "mod", "download", "-json", source],
            cwd=self._module.directory,
            env=environment(go),
            capture_output=True,
            text=True,
            check=False,
        )
        got = json.loads(answer.stdout) if answer.stdout else {}
        if answer.returncode:
            raise BinariesError(self._failure(f"{source} could not be had: {got.get('Error') or answer.stderr}"))
        places = {
            str(self._module.directory / name): str(Path(got["Dir"], path)) for name, path in self._module.embedded
        }
        overlay = part / "overlay.json"
        overlay.write_text(json.dumps({"Replace": places}), "utf-8")
        self._flags.append(f"-overlay={overlay}")

    def _packages_to_compile(self, go: Path, programs: Sequence[Program]) -> int:
        """How many packages Go has not compiled yet, for the progress; 0 where that cannot be told."""
        packages = [program.package for program in programs]
        command = [str(go), "list", "-deps", *self._flags, "-f", "{{if .Stale}}{{.ImportPath}}{{end}}", *packages]
        answer = subprocess.run(
            command, cwd=self._module.directory, env=environment(go), capture_output=True, text=True, check=False
        )
        return len(set(answer.stdout.split())) if answer.returncode == 0 else 0

    def _go_build(self, command: Sequence[str], variables: Mapping[str, str], total: int, started: float) -> int:
        """Run a build and return how many packages it compiled; Go prints the name of each."""
        lines: list[str] = []
        process = subprocess.Popen(
            command,
            cwd=self._module.directory,
            env=variables,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        assert process.stderr is not None
        reader = threading.Thread(target=lambda stream: lines.extend(map(str.rstrip, stream)), args=(process.stderr,))
        reader.start()
        reported = time.monotonic()
        try:
            while (code := _ended(process)) is None:
                if self._cancelled.is_set():
                    raise CancelledError
                if time.monotonic() - reported >= _REPORT_SECONDS:
                    reported = time.monotonic()
                    done = f", {min(len(lines), total)} of {total} packages" if total else ""
                    self._tell(f"building for {reported - started:.0f} s{done}")
        except BaseException:
            # Ctrl-C, or a failing `progress`: Go's own children go with it.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        finally:
            reader.join()
            process.stderr.close()
        if code:
            text = "\n".join(line for line in lines[-_TAIL:] if line)
            raise BinariesError(self._failure(f"go build ended with exit code {code}:\n{text}"))
        return len(lines)

    def _tell(self, news: str) -> None:
        self._progress(f"{self._title}: {news}")

    def _failure(self, reason: str) -> str:
        text = f"{self._title}: could not be built: {reason}\n"
        if "no space left on device" in reason.lower():
            free = shutil.disk_usage(_existing(cache_directory())).free / 2**30
            text += (
                f"The disk is full: {free:.1f} GiB are free at {cache_directory()}. Make room, or set XDG_CACHE_HOME "
                "and GOPATH to directories on another disk. A next try goes on where this one ended.\n"
            )
        return text + WAYS.format(go=self._module.go_version)


def _ended(process: subprocess.Popen[str]) -> int | None:
    try:
        return process.wait(timeout=_POLL_SECONDS)
    except subprocess.TimeoutExpired:
        return None


def _existing(path: Path) -> Path:
    return next(one for one in (path, *path.parents) if one.exists())
