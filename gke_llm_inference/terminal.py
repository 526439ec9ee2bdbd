"""Text that is shown: how wide, in which colors, and what keeps a terminal safe.

rich is imported only where something is drawn with it, as it takes longer to load than a plan takes to print.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
import textwrap
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TextIO

    from rich.console import Console, RenderableType
    from rich.status import Status

SECRET: Final = "[secret]"  # noqa: S105 - what stands for one
"""Stands for a secret value wherever it would have been shown."""

UNKNOWN: Final = "[unknown]"
"""Stands for a value that only a real deployment can know."""

DEFAULT_WIDTH: Final = 80
"""Columns of text that does not go to a terminal."""
_WIDEST: Final = 100
"""Columns beyond which prose is hard to read."""
_NARROWEST: Final = 40

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_LINE_CONTROL = re.compile(r"[\t\n]")


def printable(text: str, *, lines: bool = False) -> str:
    """Text that cannot steer a terminal: control and bidirectional characters become visible escapes.

    With `lines`, newlines and tabs stay as they are.
    """

    def escape(match: re.Match[str]) -> str:
        return match.group().encode("unicode_escape").decode()

    text = _CONTROL.sub(escape, text)
    return text if lines else _LINE_CONTROL.sub(escape, text)


def width() -> int:
    """Columns to write in: the terminal's or COLUMNS, within what reads well; 80 without either."""
    columns = shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns
    return max(_NARROWEST, min(columns, _WIDEST))


def wrapped(text: str, first: str = "", rest: str = "") -> list[str]:
    """A text as lines of at most the terminal's width; long words, such as paths, stay whole.

    Args:
        text: one paragraph.
        first: what the first line begins with.
        rest: what the other lines begin with.

    """
    return textwrap.wrap(
        text, width(), initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )


def rendered(*parts: RenderableType) -> str:
    """Tables and the like as plain text of the terminal's width, without spaces at the ends of lines."""
    buffer = io.StringIO()
    _console(buffer).print(*parts, sep="\n")
    return "".join(f"{line.rstrip()}\n" for line in buffer.getvalue().splitlines())


def console(stream: TextIO | None = None) -> Console:
    """What draws on a stream, stdout if None: in color on a terminal that wants it, else as plain text."""
    return _console(stream or sys.stdout)


def _console(stream: TextIO) -> Console:
    from rich.console import Console

    on_terminal = stream.isatty()
    wants_color = on_terminal and not os.environ.get("NO_COLOR")
    # Markup, emoji codes and highlighting would change what names and values say.
    return Console(
        file=stream,
        width=width(),
        force_terminal=on_terminal,
        color_system="auto" if wants_color else None,
        markup=False,
        emoji=False,
        highlight=False,
    )


class Look:
    """The few marks of plain text: emphasis on a terminal, and signs that its encoding has."""

    def __init__(self, *, color: bool = False, ascii_only: bool = False) -> None:
        self.color = color
        self.ascii_only = ascii_only
        self.branch, self.last, self.line, self.gap = (
            ("|- ", "`- ", "|  ", "   ") if ascii_only else ("├─ ", "└─ ", "│  ", "   ")
        )
        self.times = "x" if ascii_only else "×"
        self.arrow = "->" if ascii_only else "→"

    @classmethod
    def of(cls, stream: TextIO) -> Look:
        """What suits a stream."""
        return cls(color=_wants_color(stream), ascii_only=not _shows(stream, "├×█"))

    def bold(self, text: str) -> str:
        """Headings."""
        return self._styled(text, "bold")

    def faint(self, text: str) -> str:
        """What is said beside the names."""
        return self._styled(text, "dim")

    def warning(self, text: str) -> str:
        """The mark of a warning."""
        return self._styled(text, "yellow")

    def error(self, text: str) -> str:
        """The mark of an error."""
        return self._styled(text, "bold red")

    def _styled(self, text: str, style: str) -> str:
        if not self.color:
            return text
        from rich.color import ColorSystem
        from rich.style import Style

        return Style.parse(style).render(text, color_system=ColorSystem.STANDARD)


def _wants_color(stream: TextIO) -> bool:
    return stream.isatty() and console(stream).color_system is not None


def _shows(stream: TextIO, text: str) -> bool:
    try:
        text.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def is_interactive() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def write(text: str) -> None:
    """Writes a text to stdout; whatever its encoding, showing a name does not fail."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
    sys.stdout.write(text)
    sys.stdout.flush()


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Shows on stderr what is being done, as long as it is; nothing where that is not a terminal.

    Yields:
        What to tell each step to; the first call starts the show.

    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with ExitStack() as shown:
        status: list[Status] = []

        def show(message: str) -> None:
            if status:
                status[0].update(printable(message))
            else:
                status.append(shown.enter_context(console(sys.stderr).status(printable(message))))

        yield show
