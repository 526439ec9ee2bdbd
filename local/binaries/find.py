"""Programs that are on this machine already."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from local.binaries.programs import Program

_VERSION = re.compile(r"v?(\d+)\.(\d+)\.\d+")


def in_assets(program: Program, progress: Callable[[str], None]) -> Path | None:
    """The program in KUBEBUILDER_ASSETS, if it has the minor version that is pinned; else says why it is not used."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if not assets or not os.access(Path(assets, program.name), os.X_OK):
        return None
    return _fitting(program, Path(assets, program.name), "KUBEBUILDER_ASSETS", progress)


def on_path(program: Program, progress: Callable[[str], None]) -> Path | None:
    """The program on PATH, if it has the minor version that is pinned; else says why it is not used."""
    found = shutil.which(program.name)
    return _fitting(program, Path(found), "PATH", progress) if found else None


def _fitting(program: Program, path: Path, place: str, progress: Callable[[str], None]) -> Path | None:
    # Parts of one control plane must not be of several minor versions.
    path = path.resolve()
    if program.version_arguments is None:
        return path
    found, wanted = _version(path, program.version_arguments), _minor(program.module.version)
    if found == wanted:
        return path
    progress(f"{program.name}: {path} ({place}) is version {found or 'unknown'}, not {wanted}; passed over")
    return None


def _version(path: Path, arguments: tuple[str, ...]) -> str | None:
    try:
        answer = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return _minor(answer.stdout)


def _minor(text: str) -> str | None:
    match = _VERSION.search(text)
    return f"{match[1]}.{match[2]}" if match else None
