"""What the system refuses, in words that say what to do."""

import errno

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM)


def explained(error: OSError) -> str:
    """A message for an operation on a file that failed."""
    what = f"{error.filename or 'a file'}: {error.strerror or error}"
    if error.errno in _FULL:
        return f"{what}\n  fix: make room on the disk; the same command goes on from here"
    if error.errno in _REFUSED:
        return f"{what}\n  fix: run it where you may write; what runs on this machine keeps its files in the project"
    return what
