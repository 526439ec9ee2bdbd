"""Whether tests have left processes behind: control planes, engines, plugins, programs of previews."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECONDS = 10.0


def left_below(directory: Path) -> dict[int, str]:
    """Processes that work below a directory, or name a file below it in their command line, by their ids."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        pid = int(entry.name)
        if pid == os.getpid():
            continue
        with suppress(OSError):
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
            if command and (
                f"{directory}{os.sep}" in command or Path(os.readlink(entry / "cwd")).is_relative_to(directory)
            ):
                found[pid] = command
    return found


def nothing_outlives(directory: Path, tier: str) -> Iterator[None]:
    """Fails after a tier's tests if a process of theirs is left, and ends it. Let it be set up before everything else.

    `tier` is the variable that is set for the tier.
    """
    yield
    if not os.environ.get(tier):
        return
    end = time.monotonic() + _SECONDS
    while (left := left_below(directory)) and time.monotonic() < end:
        time.sleep(0.1)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert left == {}, "processes outlive their tests"
