"""Where what was built is kept, for every checkout of this user."""

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_directory() -> Path:
    """The cache's directory: below XDG_CACHE_HOME, or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gke-llm-inference" / "binaries"


_POLL_SECONDS = 0.2


class CancelledError(Exception):
    """Another thread asked for the end of this work."""


@contextmanager
def locked(home: Path, waiting: Callable[[], None], cancelled: threading.Event | None = None) -> Iterator[None]:
    """Hold the lock of `home`, which the kernel frees when its holder dies; call `waiting` if another holds it.

    Raises:
        CancelledError: `cancelled` was set while another held it.

    """
    home.parent.mkdir(parents=True, exist_ok=True)
    with home.with_name(f"{home.name}.lock").open("a") as file:
        said = False
        while not _taken(file.fileno()):
            if not said:
                waiting()
                said = True
            if cancelled is not None and cancelled.is_set():
                raise CancelledError
            time.sleep(_POLL_SECONDS)
        yield


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
