"""Files of an instance: for this user only, whole or not at all."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any


def private_directory(path: Path) -> Path:
    """The directory, made for this user only."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
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
        return json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return None
