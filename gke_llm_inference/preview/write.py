"""Writing a preview into a directory: everything or nothing."""

import json
import os
import shutil
import tempfile
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any

from gke_llm_inference.preview.errors import OutputError
from gke_llm_inference.preview.manifests import Manifest

RESOURCES_FILE = "resources.json"
MANIFESTS_DIRECTORY = "manifests"

_SCALARS = json.JSONEncoder(allow_nan=False)


def to_json(document: dict[str, Any]) -> str:
    """JSON as it is written: indented, keys in the given order, a newline at the end.

    The same text as `json.dumps` with an indent of 2 makes, in a quarter of the time: that one is Python code which
    passes every piece through as many generators as it is deep.
    """
    return _indented(document, "\n") + "\n"


def _indented(value: Any, line: str) -> str:
    """A value, whose lines after the first start with `line`, a line break and the indent."""
    if isinstance(value, str):
        return encode_basestring(value)
    inner = line + "  "
    if isinstance(value, dict) and value:
        items = [f"{inner}{encode_basestring(key)}: {_indented(item, inner)}" for key, item in value.items()]
        return f"{{{','.join(items)}{line}}}"
    if isinstance(value, (list, tuple)) and value:
        return f"[{','.join([inner + _indented(item, inner) for item in value])}{line}]"
    return _SCALARS.encode(value)


def write_preview(directory: Path, resources: str, manifests: tuple[Manifest, ...]) -> tuple[str, ...]:
    """Replace `resources.json` and `manifests/` in a directory, which is made if it is missing.

    Files of an earlier preview vanish, other files stay. Until all is written beside them, nothing of the
    old is touched; if the exchange fails, the old is put back.

    Returns:
        The paths relative to the directory, sorted.

    Raises:
        OutputError: The directory cannot be written, or holds a `manifests` that no preview made.

    """
    try:
        return _write(directory, resources, manifests)
    except OSError as error:
        raise OutputError(f"{directory}: cannot be written: {error.strerror or error}") from None


def write_files(directory: Path, texts: dict[str, str]) -> None:
    """Write files into a directory, which is made if it is missing; each file is whole or as it was.

    Raises:
        OutputError: The directory cannot be written.

    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".preview-", dir=directory) as staging:
            for name, text in texts.items():
                (Path(staging) / name).write_text(text, encoding="utf-8")
            for name in texts:
                (Path(staging) / name).replace(directory / name)
    except OSError as error:
        raise OutputError(f"{directory}: cannot be written: {error.strerror or error}") from None


def _write(directory: Path, resources: str, manifests: tuple[Manifest, ...]) -> tuple[str, ...]:
    directory = directory.resolve()
    if directory.exists() and not directory.is_dir():
        raise OutputError(f"{directory}: is not a directory")
    if (directory / MANIFESTS_DIRECTORY).exists() and not (directory / RESOURCES_FILE).exists():
        raise OutputError(f"{directory / MANIFESTS_DIRECTORY}: was not written by a preview; choose another directory")
    created = [path for path in (directory, *directory.parents) if not path.exists()]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".preview-", dir=directory) as staging:
            _fill(Path(staging) / "new", resources, manifests)
            _exchange(directory, Path(staging) / "new", Path(staging) / "old")
    except BaseException:
        for path in created:  # innermost first
            shutil.rmtree(path, ignore_errors=True)
        raise
    return (RESOURCES_FILE, *(f"{MANIFESTS_DIRECTORY}/{manifest.file_name}" for manifest in manifests))


def _fill(new: Path, resources: str, manifests: tuple[Manifest, ...]) -> None:
    (new / MANIFESTS_DIRECTORY).mkdir(parents=True)
    (new / RESOURCES_FILE).write_text(resources, encoding="utf-8")
    for manifest in manifests:
        (new / MANIFESTS_DIRECTORY / manifest.file_name).write_text(manifest.text, encoding="utf-8")


def _exchange(directory: Path, new: Path, old: Path) -> None:
    old.mkdir()
    moved: list[str] = []
    try:
        for name in (MANIFESTS_DIRECTORY, RESOURCES_FILE):
            if os.path.lexists(directory / name):
                (directory / name).rename(old / name)
            moved.append(name)
            (new / name).rename(directory / name)
    except BaseException:
        for name in moved:
            if (directory / name).exists():
                (directory / name).rename(new / f"undone-{name}")
            if os.path.lexists(old / name):
                (old / name).rename(directory / name)
        raise
