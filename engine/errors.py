"""Why the engine could not do what it was asked for."""

from stack_files.errors import CommandError


class EngineError(CommandError):
    """The text says what happened and what to do; safe to print."""
