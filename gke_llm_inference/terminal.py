"""Text that is shown: what stands in for values that cannot be, and what keeps a terminal safe."""

from __future__ import annotations

import re
from typing import Final

SECRET: Final = "[secret]"  # noqa: S105 - what stands for one
"""Stands for a secret value wherever it would have been shown."""

UNKNOWN: Final = "[unknown]"
"""Stands for a value that only a real deployment can know."""

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
