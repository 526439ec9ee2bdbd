"""Files of an instance: for this user only, whole or not at all."""

import json
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Any

from local.gke.errors import DamagedError

_PRIVATE = 0o700


def private_directory(path: Path) -> Path:
    """The directory, for this user only, whoever made it."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if stat.S_IMODE(path.stat().st_mode) != _PRIVATE:
        path.chmod(_PRIVATE)
    return path


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only this user reads; readers see the old content or the new, never a part."""
    # mkstemp makes files of mode 0600.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_json(path: Path, document: Any) -> None:
    """Write a document as JSON, as `write_private` does."""
    write_private(path, (json.dumps(document, indent=2, sort_keys=True) + "\n").encode())


def read_json(path: Path) -> Any:
    """The document of a JSON file; None where there is no file or it is none of ours."""
    try:
        return read_document(path)
    except DamagedError:
        return None


def read_document(path: Path) -> Any:
    """The document of a JSON file; None where there is no file.

    Raises:
        DamagedError: it cannot be read, or is not JSON.

    """
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DamagedError(path, f"it cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise DamagedError(path, f"it is not JSON: {error}") from None


def remove(path: Path) -> None:
    """Remove a directory with all that is in it, or a file; another command may be removing it too."""
    opened = False
    while path.exists() or path.is_symlink():
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        except FileNotFoundError:
            continue
        except PermissionError:
            if opened:
                raise
            opened = True
            _open(path)


def _open(directory: Path) -> None:
    """Let the owner of directories remove what is in them."""
    directory.chmod(_PRIVATE)
    for parent, names, _ in os.walk(directory):
        for path in (Path(parent, name) for name in names):
            if not path.is_symlink():
                path.chmod(_PRIVATE)
