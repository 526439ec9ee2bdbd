"""Reads a model's JSON files: ordinary files of a bounded size, and nothing else."""

import json
import os
import stat
from pathlib import Path
from typing import Any

from gke_llm_inference.settings.findings import Finding, Refusal

MOST_CONFIG_BYTES = 8 * 2**20
"""More than any config.json has: the longest list the modules that quantization leaves alone."""
MOST_INDEX_BYTES = 64 * 2**20


def read_object(file: Path, path: str, most_bytes: int, *, kind: str = "config.json") -> dict[str, Any]:
    """The JSON object in a file.

    A device or a pipe is never opened: reading one may take forever, and opening one may do something.

    Args:
        file: the file.
        path: where the configuration names it.
        most_bytes: size from which the file is refused.
        kind: what the file should be.

    Raises:
        Refusal: the file is not such a file.

    """
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise _refused(path, f"{file.name} cannot be read", _kind_of(file), "correct the path")
        # What the path names may have changed since it was looked at: a pipe would block here.
        descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
        with open(descriptor, "rb") as opened:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _refused(path, f"{file.name} cannot be read", "it is not an ordinary file", "correct the path")
            content = opened.read(most_bytes + 1)
    except OSError as error:
        why = error.strerror or "it cannot be opened"
        raise _refused(path, f"{file.name} cannot be read", why, "correct the path") from None
    except ValueError:
        raise _refused(path, "the name cannot be read", "no file has such a name", "correct the path") from None
    if len(content) > most_bytes:
        raise _refused(
            path, f"{file.name} is larger than {most_bytes // 2**20} MiB", f"no {kind} is", f"name the model's {kind}"
        )
    try:
        document = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        raise _refused(
            path,
            f"{file.name} is not JSON",
            f"a model's {kind} is" if kind == "config.json" else f"{kind} is",
            "download it again",
        ) from None
    if not isinstance(document, dict):
        raise _refused(path, f"{file.name} is not a {kind}", "that is a JSON object", "check the path")
    return document


def _kind_of(file: Path) -> str:
    return "Is a directory" if file.is_dir() else "it is a device, a pipe or a socket, not an ordinary file"


def _refused(path: str, what: str, why: str, fix: str) -> Refusal:
    return Refusal([Finding(path=path, what=what, why=why, fix=fix)])
