"""A revision's locked dependencies: an environment of its own where its lock differs, kept for the next time."""

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from gke_llm_inference.diff.wording import quote
from gke_llm_inference.preview.errors import RevisionError

LOCK = "requirements.txt"
_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)")
_INSTALL_SECONDS = 600


def python_of(directory: Path, own_lock: Path, progress: Callable[[str], None]) -> Path:
    """The Python that has the locked dependencies of a project.

    Args:
        directory: the project.
        own_lock: the lock that the environment of this process was made from.
        progress: told what takes long.

    Raises:
        RevisionError: the environment cannot be made.

    """
    lock = directory / LOCK
    if not lock.is_file() or not own_lock.is_file() or _content(lock) == _content(own_lock):
        return Path(sys.executable)
    return _environment(lock, progress)


def pins(directory: Path) -> dict[str, str]:
    """Versions that a project's lock pins, by package; empty without a lock."""
    lock = directory / LOCK
    lines = _content(lock) if lock.is_file() else []
    return {match[1]: match[2] for line in lines if (match := _PIN.match(line))}


def _content(lock: Path) -> list[str]:
    """The lines that say something."""
    lines = (line.strip() for line in lock.read_text(encoding="utf-8", errors="replace").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _environment(lock: Path, progress: Callable[[str], None]) -> Path:
    key = "\n".join([sys.version, platform.machine(), *_content(lock)])
    name = hashlib.sha256(key.encode()).hexdigest()[:20]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gke-llm-inference" / "environments"
    directory = cache / name
    python = directory / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = directory / ".complete"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / f"{name}.lock").open("w") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            if not stamp.exists():
                progress("setting up an environment for the base's locked dependencies")
                shutil.rmtree(directory, ignore_errors=True)
                _install(directory, python, lock)
                stamp.touch()
    except OSError as error:
        raise RevisionError(f"its dependencies cannot be installed: {quote(error.strerror or error)}") from None
    return python


def _install(directory: Path, python: Path, lock: Path) -> None:
    """Install what the lock pins, from wheels alone: to build a package would be to run whatever it holds."""
    uv = shutil.which("uv")
    if uv is not None:
        commands = [
            [uv, "venv", "--quiet", "--python", sys.executable, str(directory)],
            [
                uv,
                "pip",
                "install",
                "--quiet",
                "--python",
                str(python),
                "--require-hashes",
                "--no-build",
                "-r",
                str(lock),
            ],
        ]
    else:
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        commands = [
            [sys.executable, "-m", "venv", str(directory)],
            [*pip, "--require-hashes", "--only-binary", ":all:", "-r", str(lock)],
        ]
    for command in commands:
        try:
            ended = subprocess.run(  # noqa: S603 - arguments are passed one by one
                command, capture_output=True, text=True, errors="replace", timeout=_INSTALL_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise RevisionError(f"its dependencies were not installed within {_INSTALL_SECONDS} seconds") from None
        if ended.returncode:
            problem = (ended.stderr.strip() or ended.stdout.strip()).splitlines()
            raise RevisionError(f"its dependencies cannot be installed: {quote(problem[-1] if problem else '', 300)}")
