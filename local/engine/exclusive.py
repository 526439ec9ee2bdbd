"""One command at a time changes a directory."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from local.engine.errors import EngineError
from local.gke.files import private_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def exclusively(directory: Path, command: str) -> Iterator[None]:
    """Hold the lock of a directory, made where it is missing; the kernel frees it when its holder dies.

    Raises:
        EngineError: another command holds it.

    """
    path = directory / "lock"
    while True:
        private_directory(directory)
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:
            continue  # `down` removed it just now
        try:
            _take(file)
            if not _is_at(file, path):
                continue  # its last holder removed it, and a lock that nobody else finds keeps nobody out
            os.truncate(file, 0)
            os.pwrite(file, f"{command}, process {os.getpid()}".encode(), 0)
            yield
            return
        finally:
            os.close(file)


def _take(file: int) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(file, 100, 0).decode("utf-8", "replace") or "which has just begun"
        raise EngineError(
            f"another command changes the stack on this machine: {holder}\n"
            "  fix: wait until it has ended, or interrupt it"
        ) from None


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False
