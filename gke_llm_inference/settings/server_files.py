"""What the files say that servers name: architectures of `configFile`, speeds of `calibration`."""

from collections.abc import Callable
from pathlib import Path

from gke_llm_inference.settings.calibration_file import read_calibration
from gke_llm_inference.settings.findings import Finding, Refusal
from gke_llm_inference.settings.model_config import read_architecture
from gke_llm_inference.settings.servers import ServerSettings
from gke_llm_inference.settings.stack import StackSettings


def with_files(settings: StackSettings, directory: Path) -> StackSettings:
    """Settings with what the files say that servers name.

    Args:
        settings: settings of a stack.
        directory: where relative paths start.

    Raises:
        Refusal: with every problem of all files.

    """
    problems: list[Finding] = []
    servers = {}
    for name, server in settings.servers.items():
        for read in _READERS:
            try:
                server = read(server, directory, f"servers.{name}")
            except Refusal as refusal:
                problems += refusal.problems
        servers[name] = server
    if problems:
        raise Refusal(problems)
    return settings.model_copy(update={"servers": servers})


def _with_architecture(server: ServerSettings, directory: Path, path: str) -> ServerSettings:
    if server.config_file is None:
        return server
    given = read_architecture(directory / server.config_file, f"{path}.configFile")
    return server.model_copy(update={"architecture": given})


def _with_calibration(server: ServerSettings, directory: Path, path: str) -> ServerSettings:
    if server.calibration is None:
        return server
    return server.calibrated_by(read_calibration(directory / server.calibration, f"{path}.calibration"))


_READERS: tuple[Callable[[ServerSettings, Path, str], ServerSettings], ...] = (_with_architecture, _with_calibration)
