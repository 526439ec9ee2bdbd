"""Where the catalog's files lie, and how they are read."""

from pathlib import Path
from typing import Any

import yaml


def directory(name: str = "") -> Path:
    """A directory of the catalog."""
    return Path(__file__).parent / name


def read(path: Path) -> dict[str, Any]:
    """A YAML file's document; dates are kept as text, as YAML would make them dates."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document: dict[str, Any] = yaml.load(path.read_text("utf-8"), loader)  # noqa: S506 a safe loader in C
    if "date" in document:
        document["date"] = str(document["date"])
    return document
