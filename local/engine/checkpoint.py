"""A stack's state as the engine keeps it on disk: read, and judged whether it is whole."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local.engine.errors import EngineError

if TYPE_CHECKING:
    from pathlib import Path

_MOST_BACKUPS = 10


class DamagedStateError(EngineError):
    """What the engine wrote is not what is there; nothing can go on from there."""

    def __init__(self, path: Path, problem: str, why: str, fix: str) -> None:
        self.problem = f"{path} is damaged: {problem}"
        super().__init__(f"{self.problem}\n  why: {why}\n  fix: {fix}")


@dataclass(frozen=True)
class Checkpoint:
    """The state of one stack below a directory of the engine.

    Attributes:
        backend: the directory that the engine's backend is.

    """

    backend: Path
    project: str
    stack: str

    @property
    def path(self) -> Path:
        """The file."""
        return self.backend / ".pulumi" / "stacks" / self.project / f"{self.stack}.json"

    @property
    def exists(self) -> bool:
        """Whether there is any state."""
        return self.path.exists()

    def latest(self) -> dict[str, Any]:
        """The deployment, secrets encrypted; empty if there is none.

        Raises:
            DamagedStateError: the file cannot be read; names the newest backup that can.

        """
        if not self.exists:
            return {}
        try:
            return _deployment(self.path)
        except (OSError, ValueError, RecursionError) as error:
            backup = self._newest_backup()
            raise DamagedStateError(
                self.path,
                _reason(error),
                "without the engine's state it is not known what the stack consists of",
                f"copy {backup}, the engine's newest backup, over it" if backup else "put a backup back",
            ) from None

    def prune(self) -> None:
        """Remove the oldest backups: the engine makes one at every operation, and removes none."""
        for path in self._backups()[_MOST_BACKUPS:]:
            path.unlink(missing_ok=True)
            path.with_name(f"{path.name}.attrs").unlink(missing_ok=True)

    def _newest_backup(self) -> Path | None:
        before = self.path.with_name(f"{self.path.name}.bak")
        return next((path for path in (before, *self._backups()) if _is_whole(path)), None)

    def _backups(self) -> list[Path]:
        """The newest first; their names end in the time."""
        directory = self.backend / ".pulumi" / "backups" / self.project / self.stack
        return sorted(directory.glob(f"{self.stack}.*.json"), reverse=True)


def _is_whole(path: Path) -> bool:
    try:
        return bool(_deployment(path))
    except (OSError, ValueError, RecursionError):
        return False


def _deployment(path: Path) -> dict[str, Any]:
    document = json.loads(path.read_text("utf-8"))
    checkpoint = _object(_object(document, "the file").get("checkpoint"), "checkpoint")
    latest = _object(checkpoint.get("latest") or {}, "checkpoint.latest")
    for resource in _list(latest, "resources"):
        _assert_resource(resource)
    for operation in _list(latest, "pending_operations"):
        if not isinstance(_object(operation, "a pending operation").get("type"), str):
            raise ValueError("a pending operation has no type")
        _assert_resource(operation.get("resource"))
    return latest


def _list(latest: dict[str, Any], name: str) -> list[Any]:
    found = latest.get(name)
    if found is None:
        return []
    if not isinstance(found, list):
        raise ValueError(f"{name} is not a list")
    return found


def _assert_resource(value: Any) -> None:
    resource = _object(value, "a resource")
    if not (isinstance(resource.get("urn"), str) and isinstance(resource.get("type"), str)):
        raise ValueError("a resource has no URN or no type")


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} is not an object")
    return value


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"it cannot be read: {error.strerror}"
    return f"it is not JSON: {error}" if isinstance(error, (json.JSONDecodeError, UnicodeDecodeError)) else str(error)
