"""Sentences that quote names, paths and values: what is quoted is marked, so that every renderer can make it safe.

What comes from a program or a configuration enters a sentence by `quote` alone. A terminal shows it as it is, without
what could steer it; Markdown shows it as code, where nothing in it is markup.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any, Final

_START, _END = "\x02", "\x03"
_QUOTED = re.compile(f"{_START}([^{_START}{_END}]*){_END}")
_LONGEST_QUOTE: Final = 120
# Characters without a width or with a direction, and everything that steers a terminal; marks of emoji are left out.
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})


def visible(text: str, *, lines: bool = False) -> str:
    """Text in which every control, invisible and bidirectional character is an escape; with `lines`, but newlines."""
    if text.isascii() and text.isprintable():
        return text

    def escaped(character: str) -> str:
        if lines and character == "\n":
            return character
        if unicodedata.category(character) in _INVISIBLE:
            return character.encode("unicode_escape", "surrogatepass").decode("ascii")
        return character

    return "".join(map(escaped, text))


def shortened(text: str, longest: int) -> str:
    """Text of at most `longest` characters, with what is left out counted at its end."""
    if len(text) <= longest:
        return text
    return f"{text[:longest]}… ({len(text) - longest:,} more characters)"


def quote(text: object, longest: int = _LONGEST_QUOTE) -> str:
    """Text from outside within a sentence."""
    return f"{_START}{shortened(visible(str(text)), longest)}{_END}"


def listed(names: Sequence[str], most: int = 4) -> str:
    """Quoted names in a sentence, the first few of them."""
    quoted = [quote(name) for name in names]
    if len(quoted) > most:
        return ", ".join(quoted[:most]) + f" and {len(quoted) - most:,} more"
    return " and ".join(filter(None, (", ".join(quoted[:-1]), quoted[-1]))) if quoted else ""


def render_quotes(sentence: str, show: Callable[[str], str] = str) -> str:
    """A sentence with everything quoted in it put through `show`."""
    return _QUOTED.sub(lambda match: show(match[1]), sentence)


def minutes(seconds: float) -> str:
    """A duration for reading, rounded up to minutes."""
    whole = max(1, -(-int(seconds) // 60))
    return f"{whole} min" if whole < 120 else f"{whole / 60:.1f} h"


def count(number: int, noun: str) -> str:
    """A number of things."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def plain_data(value: Any) -> Any:
    """JSON-like data with the marks of quotes taken out of its strings."""
    if isinstance(value, str):
        return render_quotes(value)
    if isinstance(value, dict):
        return {key: plain_data(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain_data(item) for item in value]
    return value
