"""Builds what is not on this machine from the pinned Go modules."""

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from binaries.cache import cache_directory, locked
from binaries.errors import WAYS, BinariesError
from binaries.find import find
from binaries.programs import PROGRAMS, GoModule, Program
from binaries.toolchain import environment, find_go

Progress = Callable[[str], None]
"""Takes one line of news at a time."""

_REPORT_SECONDS = 10.0
_TAIL = 20


def ensure(names: Iterable[str], progress: Progress = lambda _line: None) -> dict[str, Path]:
    """The paths of programs: from KUBEBUILDER_ASSETS, PATH or the cache, else built into the cache with Go.

    A build that is interrupted goes on where it was, as Go keeps what it compiled.

    Args:
        names: names of programs, of `PROGRAMS`.
        progress: gets what is being built, and every ten seconds how far it is.

    Raises:
        BinariesError: a program is neither here nor can be built; says why, and the ways to get it.

    """
    paths: dict[str, Path] = {}
    missing: dict[GoModule, list[Program]] = {}
    for name in sorted(set(names)):
        program = PROGRAMS[name]
        cached = _home(program.module) / name
        # The cache first: looking there costs no start of a program.
        path = cached if cached.exists() else find(program, progress)
        if path is None:
            missing.setdefault(program.module, []).append(program)
        else:
            paths[name] = path
    for number, (module, programs) in enumerate(missing.items(), 1):
        paths |= _build(module, programs, f"{number} of {len(missing)}", progress)
    return dict(sorted(paths.items()))


def _home(module: GoModule) -> Path:
    return cache_directory() / module.key


def _build(module: GoModule, programs: Sequence[Program], count: str, progress: Progress) -> Mapping[str, Path]:
    home = _home(module)
    names = ", ".join(program.name for program in programs)
    title = f"{names} {module.version}"
    try:
        go = find_go(module.go_version, progress)
        with locked(home, lambda: progress(f"{title}: another process builds it; waiting")):
            missing = [program for program in programs if not (home / program.name).exists()]
            if missing:
                progress(f"{title}: not on this machine; building with {go} (module {count})")
                _compile(go, module, missing, title, progress)
    except OSError as error:
        raise BinariesError(_failure(title, str(error), module)) from error
    return {program.name: home / program.name for program in programs}


def _compile(go: Path, module: GoModule, programs: Sequence[Program], title: str, progress: Progress) -> None:
    home = _home(module)
    # Only the holder of the lock comes here, so what lies there is of a build that was killed.
    part = home.with_name(f"{home.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    flags = ["-trimpath", f"-ldflags={module.linker_flags}"]
    packages = [program.package for program in programs]
    started = time.monotonic()
    try:
        total = _packages_to_compile(go, module, flags, packages)
        for program in programs:
            # One at a time: `go build -o DIRECTORY` would name them after their packages.
            command = [str(go), "build", "-v", *flags, "-o", str(part / program.name), program.package]
            total -= _run(command, go, module, title, total, started, progress)
        home.mkdir(exist_ok=True)
        for program in programs:
            os.replace(part / program.name, home / program.name)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    progress(f"{title}: built in {time.monotonic() - started:.0f} s")


def _packages_to_compile(go: Path, module: GoModule, flags: Sequence[str], packages: Sequence[str]) -> int:
    """How many packages Go has not compiled yet, for the progress; 0 where that cannot be told."""
    command = [str(go), "list", "-deps", *flags, "-f", "{{if .Stale}}{{.ImportPath}}{{end}}", *packages]
    answer = subprocess.run(
        command, cwd=module.directory, env=environment(go), capture_output=True, text=True, check=False
    )
    return len(set(answer.stdout.split())) if answer.returncode == 0 else 0


def _run(
    command: Sequence[str],
    go: Path,
    module: GoModule,
    title: str,
    total: int,
    started: float,
    progress: Progress,
) -> int:
    """Run a build and return how many packages it compiled; Go prints the name of each."""
    lines: list[str] = []
    process = subprocess.Popen(
        command,
        cwd=module.directory,
        env=environment(go),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    assert process.stderr is not None
    reader = threading.Thread(target=lambda stream: lines.extend(map(str.rstrip, stream)), args=(process.stderr,))
    reader.start()
    try:
        while True:
            try:
                code = process.wait(timeout=_REPORT_SECONDS)
                break
            except subprocess.TimeoutExpired:
                seconds = time.monotonic() - started
                done = f", {min(len(lines), total)} of {total} packages" if total else ""
                progress(f"{title}: building for {seconds:.0f} s{done}")
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
        raise BinariesError(_failure(title, f"go build ended with exit code {code}:\n{text}", module))
    return len(lines)


def _failure(title: str, reason: str, module: GoModule) -> str:
    text = f"{title}: could not be built: {reason}\n"
    if "no space left on device" in reason.lower():
        free = shutil.disk_usage(_existing(cache_directory())).free / 2**30
        text += (
            f"The disk is full: {free:.1f} GiB are free at {cache_directory()}. Make room, or set XDG_CACHE_HOME and "
            "GOPATH to directories on another disk. A next try goes on where this one ended.\n"
        )
    return text + WAYS.format(go=module.go_version)


def _existing(path: Path) -> Path:
    return next(one for one in (path, *path.parents) if one.exists())
