"""How every subcommand ends when something is wrong: one form of message on stderr, and the exit code."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import typer

from gke_llm_inference.errors import CommandError, UsageError
from gke_llm_inference.preview.errors import ProgramError
from gke_llm_inference.secret_rules import masked
from gke_llm_inference.terminal import Look, printable, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TextIO

EXIT_FINE: Final = 0
EXIT_WRONG: Final = 1
"""The configuration or the program is wrong, a mandatory policy is violated, or the results could not be written."""
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130


def fail(error: Exception) -> int:
    """Says what is wrong and returns the exit code. Raises the error again if it is a fault of the program itself."""
    match error:
        case ProgramError():
            show_output(error.output, sys.stderr)
            for warning in error.warnings:
                print(f"warning: {masked(printable(warning, lines=True))}", file=sys.stderr)
            for problem in error.problems:
                complain(problem)
            return EXIT_WRONG
        case UsageError():
            complain(str(error))
            return EXIT_USAGE
        case typer.TyperException():
            complain(_usage(error))
            return EXIT_USAGE
        case CommandError():
            complain(str(error))
            return EXIT_WRONG
        case OSError():
            place = f"{error.filename}: " if error.filename else ""
            complain(f"{place}{error.strerror or error}")
            return EXIT_WRONG
    raise error


def interrupted() -> int:
    """Says so and returns the exit code."""
    print("interrupted", file=sys.stderr)
    return EXIT_INTERRUPTED


def complain(message: str) -> None:
    """An error on stderr without secrets; on a terminal, its lines are wrapped below their first word."""
    look = Look.of(sys.stderr)
    lines = f"error: {masked(printable(message, lines=True))}".splitlines()
    if sys.stderr.isatty():
        lines = [part for line in lines for part in _folded(line)]
    head, colon, rest = "\n".join(lines).partition(":")
    print(f"{look.error(head)}{colon}{rest}", file=sys.stderr)


def show_output(texts: Iterable[str], stream: TextIO) -> None:
    """What a program printed, marked as its own."""
    for text in texts:
        for line in text.splitlines():
            print(f"program: {printable(line)}", file=stream)


def _folded(line: str) -> list[str]:
    indent = " " * (len(line) - len(line.lstrip()))
    return wrapped(line.strip(), indent, f"{indent}  ") or [""]


def _usage(error: typer.TyperException) -> str:
    """Typer's message in this project's form, with the nearest name and where to find help."""
    message = error.format_message().rstrip(".")
    option, near = getattr(error, "option_name", None), getattr(error, "possibilities", None)
    if option is not None and near is not None:
        message = f"no such option: {option}" + (f"; did you mean {near[0]}?" if near else "")
    message = message.replace(". Did you mean", "; did you mean")
    context = getattr(error, "ctx", None)
    hint = f"\nsee {context.command_path} --help" if context is not None else ""
    return f"{message[:1].lower()}{message[1:]}{hint}"
