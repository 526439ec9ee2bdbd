"""Programs that are on this machine already."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from binaries.programs import Program

_VERSION = re.compile(r"v?(\d+)\.(\d+)\.\d+")


def find(program: Program, progress: Callable[[str], None]) -> Path | None:
    """The program in KUBEBUILDER_ASSETS or on PATH, if it has the minor version that is pinned.

    Parts of one control plane must not be of several minor versions, so others are passed over, and said to be.
    """
    for place, path in _places(program.name):
        found = _version(path, program.version_arguments)
        wanted = program.module.version
        if found == _minor(wanted):
            return path
        progress(f"{program.name}: {path} ({place}) is version {found or 'unknown'}, not {_minor(wanted)}; passed over")
    return None


def _places(name: str) -> list[tuple[str, Path]]:
    places = []
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and os.access(Path(assets, name), os.X_OK):
        places.append(("KUBEBUILDER_ASSETS", Path(assets, name).resolve()))
    on_path = shutil.which(name)
    if on_path:
        places.append(("PATH", Path(on_path).resolve()))
    return places


def _version(path: Path, arguments: tuple[str, ...]) -> str | None:
    try:
        answer = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return _minor(answer.stdout)


def _minor(text: str) -> str | None:
    match = _VERSION.search(text)
    return f"{match[1]}.{match[2]}" if match else None
