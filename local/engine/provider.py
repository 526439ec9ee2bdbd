"""Pulumi's Kubernetes provider: found, installed or built, and put where the engine looks for it."""

from __future__ import annotations

import shutil
import subprocess
import urllib.request
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from local.binaries import PROGRAMS, ensure
from local.binaries.cache import cache_directory, locked
from local.engine.command import download_environment

if TYPE_CHECKING:
    from local.binaries import Progress
    from local.engine.command import EngineCommand

NAME = "pulumi-resource-kubernetes"
_PROBE = "https://get.pulumi.com"
_REACH_SECONDS = 3.0
_INSTALL_SECONDS = 120.0


def find_provider(command: EngineCommand, progress: Progress) -> Path:
    """The provider: on PATH, installed or built before, installed by the CLI, or built with Go.

    Raises:
        BinariesError: it could not be built.

    """
    on_path = shutil.which(NAME)
    if on_path:
        return Path(on_path).resolve()
    home = cache_directory() / "pulumi-home"
    installed = _place(home)
    built = cache_directory() / PROGRAMS[NAME].module.key / NAME
    for path in (installed, built):
        if path.exists():
            return path
    with locked(home, lambda: progress(f"{NAME}: another process installs it; waiting")):
        if installed.exists():
            return installed
        progress(f"{NAME}: not on this machine; asking get.pulumi.com for it")
        reason = _install(command, home)
    if installed.exists():
        return installed
    progress(f"{NAME}: cannot be downloaded ({reason}); it is built from its Go module instead")
    return ensure([NAME], progress)[NAME]


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


def _install(command: EngineCommand, home: Path) -> str | None:
    """Lets the CLI install the plugin below a PULUMI_HOME; why it failed, None if it did not."""
    try:
        # The CLI asks five times and waits longer each time.
        urllib.request.urlopen(_PROBE, timeout=_REACH_SECONDS).close()
        answer = subprocess.run(  # noqa: S603 - the CLI that was found
            [command.command, "plugin", "install", "resource", "kubernetes", version("pulumi-kubernetes")],
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS,
            check=False,
            env={**download_environment(), "PULUMI_HOME": str(home), "PULUMI_SKIP_UPDATE_CHECK": "true"},
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {_INSTALL_SECONDS:.0f} s"
    except OSError as error:
        return str(error)[:150]
    return answer.stderr.strip().rpartition("\n")[2][:150] if answer.returncode else None
