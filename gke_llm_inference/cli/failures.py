"""How every subcommand ends when something is wrong: one form of message on stderr, and the exit code."""

from __future__ import annotations

import difflib
import re
import sys
from typing import TYPE_CHECKING, Final

import typer
from pydantic import ValidationError

from gke_llm_inference.errors import CommandError, UsageError
from gke_llm_inference.preview.errors import ProgramError
from gke_llm_inference.secret_rules import masked
from gke_llm_inference.terminal import Look, printable, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TextIO

EXIT_FINE: Final = 0
EXIT_WRONG: Final = 1
"""The configuration or the program is wrong, a mandatory policy is violated, or the results could not be written."""
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130


def fail(error: Exception, given: Sequence[str] = ()) -> int:
    """Says what is wrong and returns the exit code. Raises the error again if it is a fault of the program itself.

    Args:
        error: what ended the subcommand.
        given: the words of the command line.

    """
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
            complain(_usage(error, given))
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


def _usage(error: typer.TyperException, given: Sequence[str]) -> str:
    """Typer's message in this project's form, with the nearest name and where to find help."""
    message = error.format_message().rstrip(".")
    option, context = getattr(error, "option_name", None), getattr(error, "ctx", None)
    if option is not None and hasattr(error, "possibilities"):
        message = _no_such_option(option, given, context)
    elif (parameter := getattr(error, "param", None)) is not None and (why := _wrong_value(error)):
        message = f"invalid value for '{parameter.opts[0]}': {why}"
    message = message.replace(". Did you mean", "; did you mean").replace("argument(s)", "argument")
    hint = f"\nsee {context.command_path} --help" if context is not None else ""
    return f"{message[:1].lower()}{message[1:]}{hint}"


def _no_such_option(option: str, given: Sequence[str], context: typer.Context | None) -> str:
    """With the word as it was given: the parser takes `-stack` for `-s` and what follows."""
    if not option.startswith("--"):
        word = next((one for one in given if re.match(r"-[^-]", one) and option[-1] in one), option)
        option = word.partition("=")[0]
    names = [name for one in context.command.get_params(context) for name in one.opts] if context is not None else []
    word = option.lstrip("-")
    # A letter alone is never close to a name; it most likely abbreviates one.
    near = [name for name in names if name.startswith(f"--{word}")] or difflib.get_close_matches(
        f"--{word}", names, n=1
    )
    return f"no such option: {option}" + (f"; did you mean {near[0]}?" if near else "")


def _wrong_value(error: typer.TyperException) -> str:
    """What is wrong with an option's value; empty if Typer's own words say it."""
    cause = error.__cause__
    if not isinstance(cause, ValidationError) or cause.error_count() != 1:
        return ""
    (detail,) = cause.errors()
    value = detail["input"]
    match detail["type"]:
        case "int_parsing" | "int_from_float" | "int_type":
            return f"{value!r} is not a whole number"
        case "float_parsing" | "float_type":
            return f"{value!r} is not a number"
        case "value_error":
            listed = re.fullmatch(r"Value error, '.*' is not one of ('.*')\.?", detail["msg"], re.DOTALL)
            if listed is None:
                return ""
            choices = re.findall(r"'([^']*)'", listed[1])
            near = difflib.get_close_matches(str(value).lower(), choices, n=1)
            return f"{value!r} is not one of {', '.join(choices)}" + (f"; did you mean {near[0]}?" if near else "")
    return ""
