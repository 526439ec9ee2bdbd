"""The failures of a preview itself; the command line turns each into a message and an exit code."""

from gke_llm_inference.errors import CommandError


class OutputError(CommandError):
    """The results could not be written; what was there before is untouched (exit code 1)."""


class RevisionError(CommandError):
    """A revision to compare with is unavailable (the comparison goes on without it). Quotes are marked."""


class ProgramError(CommandError):
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
