"""What a run that was killed leaves behind, and how the next one goes on from there."""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING, Any

from engine.errors import EngineError

if TYPE_CHECKING:
    from pathlib import Path


def assert_unlocked(backend: Path, stack: str) -> None:
    """Removes the locks of engines that are gone.

    Raises:
        EngineError: an engine that still runs holds one.

    """
    for path in sorted((backend / ".pulumi" / "locks").rglob(f"{stack}/*.json")):
        try:
            holder = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            continue  # it was given back just now
        except ValueError:
            holder = {}  # its writer was killed while it wrote
        if holder.get("hostname", socket.gethostname()) == socket.gethostname() and not _runs(holder.get("pid")):
            path.unlink(missing_ok=True)
            continue
        raise EngineError(
            f"another operation on stack '{stack}' is running: process {holder.get('pid')} of "
            f"{holder.get('username')} on {holder.get('hostname')}, since {holder.get('timestamp')}\n"
            "wait until it has ended, or interrupt it"
        )


def unfinished(state: dict[str, Any]) -> list[str]:
    """Arguments of `refresh` that settle what an engine was creating when it was killed; empty if nothing.

    What may exist by now is imported, so that it is neither made twice nor left behind; a refresh drops it from the
    state where it does not exist after all.
    """
    arguments: list[str] = []
    for operation in state.get("pending_operations") or []:
        if operation["type"] != "creating":
            continue
        resource = operation["resource"]
        arguments += ["--import-pending-creates", resource["urn"], "--import-pending-creates", _likely_id(resource)]
    return arguments


def _likely_id(resource: dict[str, Any]) -> str:
    """The id that the resource has if it was made: known before, as names are chosen before anything is made."""
    inputs = resource.get("inputs") or {}
    metadata = inputs.get("metadata") or {}
    if metadata.get("name"):
        namespace = metadata.get("namespace")
        return f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])
    return str(inputs.get("name", ""))


def _runs(pid: Any) -> bool:
    if not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
