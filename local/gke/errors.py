"""Why the simulated GKE does not run."""

import errno
from pathlib import Path

from gke_llm_inference.errors import CommandError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM)


class LocalGkeError(CommandError):
    """The simulated GKE cannot do what was asked; the text says why and what to do."""


class DamagedError(LocalGkeError):
    """A file of an instance is not what was written there; a reset removes it with the instance."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} is damaged: {reason}")


def explained(error: OSError) -> str:
    """A message for an operation on a file that failed."""
    what = f"{error.filename or 'a file'}: {error.strerror or error}"
    if error.errno in _FULL:
        return f"{what}\n  fix: make room on the disk; the same command goes on from here"
    if error.errno in _REFUSED:
        return f"{what}\n  fix: run it where you may write; what runs on this machine keeps its files in the project"
    return what
