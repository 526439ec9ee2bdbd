"""Why the simulated GKE does not run."""

from pathlib import Path

from gke_llm_inference.errors import CommandError


class LocalGkeError(CommandError):
    """The simulated GKE cannot do what was asked; the text says why and what to do."""


class DamagedError(LocalGkeError):
    """A file of an instance is not what was written there; a reset removes it with the instance."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} is damaged: {reason}")
