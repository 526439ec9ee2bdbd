"""Which Kubernetes provider the engine uses: Pulumi's own plugin where it can be had, else the one of this package.

The choice is made once for a deployed stack and kept: state that one has written is not the other's.
"""

from __future__ import annotations

import shutil
import subprocess
import urllib.request
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING

from local.engine.command import download_environment
from local.gke.files import private_directory, read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from local.engine.command import EngineCommand

_PLUGIN = "pulumi-resource-kubernetes"
_PROBE = "https://get.pulumi.com"
_REACH_SECONDS = 3.0
_INSTALL_SECONDS = 60.0


@dataclass(frozen=True)
class Plugin:
    """A Kubernetes provider: whether it is Pulumi's, and what the engine needs to find it."""

    real: bool
    title: str
    environment: dict[str, str] = field(default_factory=dict)


def kubernetes_plugin(command: EngineCommand, directory: Path, say: Callable[[str], None]) -> Plugin:
    """The provider for the stack whose state is in `directory`."""
    kept = directory / "provider.json"
    chosen = read_json(kept)
    if isinstance(chosen, dict) and isinstance(chosen.get("real"), bool):
        real = chosen["real"]
    else:
        real = _installed(command, directory, say)
        private_directory(directory)
        write_json(kept, {"real": real})
    wanted = version("pulumi-kubernetes")
    if real:
        return Plugin(real=True, title=f"{_PLUGIN} {wanted}")
    return Plugin(real=False, title="kubernetes of this repository (server-side apply)")


def _installed(command: EngineCommand, directory: Path, say: Callable[[str], None]) -> bool:
    if shutil.which(_PLUGIN):
        return True
    home = directory / "home"
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    reason: str | None
    try:
        # The CLI asks five times and waits longer each time.
        urllib.request.urlopen(_PROBE, timeout=_REACH_SECONDS).close()
        answer = subprocess.run(  # noqa: S603 - the CLI that was found
            [command.command, "plugin", "install", "resource", "kubernetes", version("pulumi-kubernetes")],
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS,
            check=False,
            env={
                **download_environment(),
                "PULUMI_HOME": str(home),
                "PULUMI_SKIP_UPDATE_CHECK": "true",
            },
        )
        reason = answer.stderr.strip().rpartition("\n")[2] if answer.returncode else None
    except subprocess.TimeoutExpired:
        reason = f"no answer within {_INSTALL_SECONDS:.0f} s"
    except OSError as error:
        reason = str(error)
    if reason is None:
        return True
    say(f"{_PLUGIN}: cannot be downloaded ({reason[:150]}); this repository's own provider takes its place")
    return False
