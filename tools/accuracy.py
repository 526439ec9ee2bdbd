"""The command line of what holds predictions against measured cases."""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from gke_llm_inference.settings import Finding, Refusal


class PartialReport(Refusal):
    """Some cases cannot be predicted.

    Attributes:
        text: the report of the others.

    """

    def __init__(self, problems: Iterable[Finding], text: str) -> None:
        super().__init__(problems)
        self.text = text


def run(program: str, report: Callable[[str, bool], str], arguments: Sequence[str] | None = None) -> int:
    """Print predictions beside measurements; 0 fine, 1 the file is wrong.

    Args:
        program: the module's name, for the help.
        report: makes the report of a file's text, as JSON or as a table.
        arguments: those of the command line if None.

    """
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description="Predictions beside measurements.")
    parser.add_argument("--cases", metavar="FILE", type=Path, required=True, help="one JSON object a line")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    try:
        text = report(options.cases.read_text("utf-8"), options.json)
    except PartialReport as partial:
        sys.stdout.write(partial.text)
        print(f"error: {partial}", file=sys.stderr)
        return 1
    except (Refusal, OSError, UnicodeDecodeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
    return 0
