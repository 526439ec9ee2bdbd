"""Keeping secret values out of everything that is written or printed."""

import base64
import json
import re
import threading
from collections.abc import Callable, Collection
from typing import Any, Final

from gke_llm_inference.secret_rules import masked
from gke_llm_inference.terminal import SECRET, UNKNOWN

MINIMUM_LENGTH: Final = 6
"""Characters a secret must have to be searched for.

Shorter ones (`true`, `8000`) would match innocent text; they are still masked wherever the program marked
them as secret."""

_LINE_MINIMUM: Final = 12
_BASE64_MARGIN: Final = 8
_LONGEST_MESSAGE: Final = 100_000
_JSON: Final = json.JSONEncoder(ensure_ascii=False)


class SecretMasker:
    """The secret values seen during one run, and the search for them in text.

    Safe to use from several threads. Values live in memory only as long as the masker does.
    """

    def __init__(self) -> None:
        self._needles: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._json_pattern: re.Pattern[str] | None = None
        self._lock = threading.Lock()

    def add(self, value: Any) -> None:
        """Remember every string within a secret value (containers are searched, other types ignored)."""
        if isinstance(value, str):
            self._add_text(value)
        elif isinstance(value, dict):
            for item in value.values():
                self.add(item)
        elif isinstance(value, (list, tuple)):
            for item in value:
                self.add(item)

    def _add_text(self, text: str) -> None:
        stripped = text.strip()
        if len(stripped) < MINIMUM_LENGTH or stripped in (SECRET, UNKNOWN):
            return
        forms = {stripped, json.dumps(stripped)[1:-1], json.dumps(stripped, ensure_ascii=False)[1:-1]}
        forms.add(repr(stripped)[1:-1])
        forms |= _base64_forms(text.encode()) | _base64_forms(stripped.encode())
        if "\n" in stripped:
            # A text of several lines is often shown one line at a time.
            forms |= {line.strip() for line in stripped.splitlines() if len(line.strip()) >= _LINE_MINIMUM}
        with self._lock:
            if not forms <= self._needles:
                self._needles |= forms
                self._pattern = self._json_pattern = None

    def _search(self) -> re.Pattern[str] | None:
        with self._lock:
            if self._pattern is None and self._needles:
                self._pattern = _any_of(self._needles)
            return self._pattern

    def _is_clean(self, value: Any) -> bool:
        """Whether nothing in JSON-like data holds a secret, by one search of its JSON; False where that is not known.

        JSON escapes a text character by character, so what is in a text is in the text's JSON, escaped.
        """
        with self._lock:
            if self._json_pattern is None:
                self._json_pattern = _any_of({_JSON.encode(needle)[1:-1] for needle in self._needles})
            pattern = self._json_pattern
        try:
            return pattern.search(_JSON.encode(value)) is None
        except (TypeError, ValueError, RecursionError):
            return False

    def mask(self, text: str) -> str:
        """The text with every known secret replaced by `[secret]`."""
        pattern = self._search()
        return pattern.sub(SECRET, text) if pattern else text

    def mask_message(self, text: str) -> str:
        """The same, and without anything else that has the form of a secret: for what a program says of itself.

        Of what nobody reads to its end, known secrets are masked alone.
        """
        text = self.mask(text)
        return masked(text) if len(text) <= _LONGEST_MESSAGE else text

    def without_start_of_one(self, text: str) -> str:
        """The text without what a secret begins with, if it ends with that: the rest of it may have been cut off."""
        return text[: len(text) - self._longest(lambda needle, size: text.endswith(needle[:size]), len(text))]

    def without_end_of_one(self, text: str) -> str:
        """The text without what a secret ends with, if it begins with that."""
        return text[self._longest(lambda needle, size: text.startswith(needle[-size:]), len(text)) :]

    def _longest(self, matches: Callable[[str, int], bool], most: int) -> int:
        """Of how many characters the longest part of any secret is that matches."""
        with self._lock:
            needles = list(self._needles)
        sizes = ((needle, size) for needle in needles for size in range(min(len(needle) - 1, most), 0, -1))
        return max((size for needle, size in sizes if matches(needle, size)), default=0)

    def mask_value(self, value: Any) -> Any:
        """The same for every string (keys too) within JSON-like data."""
        if self._search() is None or self._is_clean(value):
            return value
        return self._mask_value(value)

    def _mask_value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.mask(value)
        if isinstance(value, dict):
            return {self.mask(key): self._mask_value(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._mask_value(item) for item in value]
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return SECRET if self.found_in(str(value)) else value
        return value

    def found_in(self, text: str) -> bool:
        """Whether a known secret occurs in the text."""
        pattern = self._search()
        return pattern is not None and pattern.search(text) is not None


def _any_of(needles: Collection[str]) -> re.Pattern[str]:
    """What finds each of the texts, the longest first, so that a secret within another one leaves no rest."""
    ordered = sorted(needles, key=lambda needle: (-len(needle), needle))
    return re.compile("|".join(map(re.escape, ordered)))


def _base64_forms(raw: bytes) -> set[str]:
    """What base64 makes of the bytes, alone and inside a longer text.

    Base64 works on groups of three bytes, so within a longer text the same bytes have three possible
    encodings; the characters at either end, which depend on the neighbors, are left out.
    """
    forms = set()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        forms.add(encode(raw).decode().rstrip("="))
        for offset in (1, 2):
            encoded = encode(b"\0" * offset + raw).decode().rstrip("=")
            usable = len(raw) // 3 * 4 - 4
            if usable >= _BASE64_MARGIN:
                forms.add(encoded[4 : 4 + usable])
    return {form for form in forms if len(form) >= _BASE64_MARGIN}
