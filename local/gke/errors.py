"""Why the simulated GKE does not run."""

from gke_llm_inference.errors import CommandError


class LocalGkeError(CommandError):
    """The simulated GKE cannot do what was asked; the text says why and what to do."""
