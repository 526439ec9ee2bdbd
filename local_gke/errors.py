"""Why the simulated GKE does not run."""

from stack_files.errors import CommandError


class LocalGkeError(CommandError):
    """The simulated GKE cannot do what was asked; the text says why and what to do."""
