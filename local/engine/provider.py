"""Pulumi's Kubernetes provider: found or built, and put where the engine looks for it."""

from __future__ import annotations

import shutil
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from local.binaries import PROGRAMS, ensure
from local.binaries.cache import cache_directory

if TYPE_CHECKING:
    from local.binaries import Progress

NAME = "pulumi-resource-kubernetes"


def find_provider(progress: Progress) -> Path:
    """The provider: on PATH, built before, or built with Go. Nothing is downloaded whose checksum is not pinned here.

    Raises:
        BinariesError: it could not be built.

    """
    return installed_provider() or ensure([NAME], progress)[NAME]


def installed_provider() -> Path | None:
    """The provider where it is on this machine already: on PATH, or built before."""
    on_path = shutil.which(NAME)
    if on_path:
        return Path(on_path).resolve()
    built = cache_directory() / PROGRAMS[NAME].module.key / NAME
    return built if built.exists() else None


def offer(provider: Path, home: Path) -> None:
    """Let the engine whose PULUMI_HOME is `home` find the provider, as the version that the program's SDK asks for.

    On PATH it would be found as well, with a warning at every run.
    """
    place = _place(home)
    if place.is_symlink() and place.readlink() == provider:
        return
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    place.unlink(missing_ok=True)
    place.symlink_to(provider)


def _place(home: Path) -> Path:
    return home / "plugins" / f"resource-kubernetes-v{version('pulumi-kubernetes')}" / NAME
