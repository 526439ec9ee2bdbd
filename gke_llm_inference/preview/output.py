"""What a program prints, kept within bounds however much it is."""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gke_llm_inference.pulumi_protocol.masking import SecretMasker

LIMIT: Final = 256 * 1024
"""Bytes that are kept of a stream: half of them from its start, half from its end."""

_HALF = LIMIT // 2
_CUT = re.compile(r"(\n\[[\d,]+ bytes were left out here\]\n)")


class BoundedOutput:
    """The start and the end of a stream."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self._dropped = 0

    def add(self, chunk: bytes) -> None:
        """Take the next part of the stream."""
        room = _HALF - len(self._head)
        self._head += chunk[:room]
        chunk = chunk[room:]
        if not chunk:
            return
        self._tail.append(chunk)
        self._tail_bytes += len(chunk)
        while self._tail_bytes - len(self._tail[0]) >= _HALF:
            dropped = len(self._tail.popleft())
            self._tail_bytes -= dropped
            self._dropped += dropped

    def text(self) -> str:
        """What is kept, with a note where something was left out."""
        tail = b"".join(self._tail)
        left_out = self._dropped + max(0, len(tail) - _HALF)
        if not left_out:
            return (bytes(self._head) + tail).decode("utf-8", errors="replace")
        # Whole characters only: half of one would keep a secret that it is part of from being recognized.
        head = bytes(self._head).decode("utf-8", errors="replace").rstrip("\ufffd")
        return head + cut_mark(left_out) + tail[-_HALF:].decode("utf-8", errors="replace").lstrip("\ufffd")


def mask_cut(masker: SecretMasker, text: str) -> str:
    """The text without secrets, and without the part of one that was cut where something was left out."""
    parts = _CUT.split(text)
    masked = masker.mask_message(parts[0])
    # Each mark comes between two parts.
    for mark, part in zip(parts[1::2], parts[2::2], strict=True):
        masked = masker.without_start_of_one(masked) + mark + masker.without_end_of_one(masker.mask_message(part))
    return masked


def cut_mark(left_out: int) -> str:
    """The note in the place of what was left out."""
    return f"\n[{left_out:,} bytes were left out here]\n"


def shortened(text: str, limit: int) -> str:
    """A text of at most about `limit` characters: its start and its end."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return text[:half] + cut_mark(len(text) - 2 * half) + text[-half:]
