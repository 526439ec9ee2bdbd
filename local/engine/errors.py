"""Why the engine could not do what it was asked for."""

from gke_llm_inference.errors import CommandError


class EngineError(CommandError):
    """The text says what happened and what to do; safe to print."""
