"""Compiled code for a start that is two seconds faster.

The SDKs are large: without compiled files Python spends more time compiling them than on the whole preview.
Where the environment says not to write any (PYTHONDONTWRITEBYTECODE), they go to a cache directory of the
user's instead, so the source tree and the installed packages stay as they are.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_directory() -> Path:
    """Where compiled files go that may not lie beside their source."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "pulumi-offline-preview" / "bytecode"


def use_cache() -> None:
    """Makes this process, and those that get its environment, use the cache if they would compile in vain."""
    if not sys.dont_write_bytecode or sys.pycache_prefix is not None:
        return
    try:
        directory = str(cache_directory())
    except RuntimeError:  # no home directory
        return
    sys.dont_write_bytecode = False
    sys.pycache_prefix = directory
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = directory
