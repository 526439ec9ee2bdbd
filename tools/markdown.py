"""Tables and paragraphs of the generated pages."""

import re
import textwrap
from collections.abc import Iterable, Sequence

_JOINT = "\N{NO-BREAK SPACE}"


def table(heading: Sequence[str], rows: Iterable[Sequence[str]], sides: str) -> str:
    """A Markdown table with an empty line behind it; `sides` has l or r for each column."""
    marks = {"l": "---", "r": "---:"}
    lines = [heading, [marks[side] for side in sides], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n"


def paragraph(text: str, bullet: str = "") -> str:
    """Text in lines of at most 120 signs with an empty line behind it, or without one as a point of a list.

    Code is not broken, so that a command can be copied; one longer than a line has a line of its own.
    """
    joined = re.sub(r"`[^`]+`", lambda code: code.group().replace(" ", _JOINT), " ".join(text.split()))
    lines = textwrap.fill(
        joined,
        width=120,
        initial_indent=bullet,
        subsequent_indent=" " * len(bullet),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines.replace(_JOINT, " ") + ("\n" if bullet else "\n\n")
