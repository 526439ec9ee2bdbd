"""The failures a preview can end in; the command line turns each into a message and an exit code."""

from __future__ import annotations


class PreviewError(Exception):
    """Base of every failure that the person at the keyboard can act on. Its text is safe to print."""


class UsageError(PreviewError):
    """The command itself makes no sense (exit code 2)."""


class ConfigError(PreviewError):
    """A project or stack file is missing, unreadable or wrong (exit code 1)."""


class OutputError(PreviewError):
    """The results could not be written; what was there before is untouched (exit code 1)."""


class ProgramError(PreviewError):
    """The program failed, hung or vanished (exit code 1).

    `problems` are the messages to show, most important first. `warnings` are what the program or the
    recorder warned of before: they often name the cause. `output` is what the program printed.
    """

    def __init__(
        self, problems: tuple[str, ...], *, warnings: tuple[str, ...] = (), output: tuple[str, ...] = ()
    ) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
        self.warnings = warnings
        self.output = output
