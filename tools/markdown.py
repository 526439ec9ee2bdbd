"""Tables and paragraphs of the generated pages."""

import textwrap
from collections.abc import Iterable, Sequence


def table(heading: Sequence[str], rows: Iterable[Sequence[str]], sides: str) -> str:
    """A Markdown table with an empty line behind it; `sides` has l or r for each column."""
    marks = {"l": "---", "r": "---:"}
    lines = [heading, [marks[side] for side in sides], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n"


def paragraph(text: str, bullet: str = "") -> str:
    """Text in lines of at most 120 signs with an empty line behind it, or without one as a point of a list."""
    lines = textwrap.fill(
        " ".join(text.split()),
        width=120,
        initial_indent=bullet,
        subsequent_indent=" " * len(bullet),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines + ("\n" if bullet else "\n\n")
