"""What a run that was killed leaves behind, and how the next one goes on from there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from local.engine.errors import EngineError
from local.gke.errors import DamagedError
from local.gke.files import read_document, remove
from local.gke.processes import program_name, running_from, start_time, started_before, stop

if TYPE_CHECKING:
    from pathlib import Path


_PATIENCE = 5.0


def end_plugins(home: Path) -> None:
    """Ends plugins that were started from below a PULUMI_HOME: they outlive an engine that is killed."""
    stop(running_from(home / "plugins"), _PATIENCE)


def assert_unlocked(directory: Path, stack: str) -> None:
    """Removes the locks of engines that are gone from a directory with state, and ends what they left running.

    Raises:
        EngineError: an engine that still runs holds one.

    """
    for path in sorted((directory / "backend" / ".pulumi" / "locks").rglob(f"{stack}/*.json")):
        try:
            holder = _holder(path)
        except FileNotFoundError:
            continue  # it was given back just now
        if not _is_running(holder):
            end_plugins(directory / "home")
            remove(path)
            continue
        raise EngineError(
            f"another operation on stack '{stack}' is running: process {holder.get('pid')} of "
            f"{holder.get('username')}, since {holder.get('timestamp')}\n"
            "wait until it has ended, or interrupt it"
        )


def _holder(path: Path) -> dict[str, Any]:
    """Who holds a lock; nobody if its writer was killed while it wrote, or the disk was full."""
    try:
        holder = read_document(path)
    except DamagedError:
        return {}
    if holder is None and not path.exists():
        raise FileNotFoundError(path)
    return holder if isinstance(holder, dict) else {}


def unfinished(state: dict[str, Any]) -> list[str]:
    """URNs of the Kubernetes objects that an engine was creating when it was killed."""
    return [
        operation["resource"]["urn"]
        for operation in state.get("pending_operations") or []
        if operation["type"] == "creating" and operation["resource"]["type"].startswith("kubernetes:")
    ]


def taken_up(state: dict[str, Any]) -> dict[str, Any]:
    """The state with those objects as if they had been made; a refresh drops the ones that were not.

    So none of them is made twice, and none stays behind that the state knows nothing of.
    """
    urns = set(unfinished(state))
    pending = state.get("pending_operations") or []
    made = [
        {**operation["resource"], "id": _id_of(operation["resource"])}
        for operation in pending
        if operation["resource"]["urn"] in urns
    ]
    return {
        **state,
        "resources": [*state.get("resources", []), *made],
        "pending_operations": [one for one in pending if one["resource"]["urn"] not in urns],
    }


def _id_of(resource: dict[str, Any]) -> str:
    """The id that the object has if it was made; names are chosen before anything is."""
    metadata = resource["inputs"]["metadata"]
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])


def _is_running(holder: dict[str, Any]) -> bool:
    """Whether the engine that wrote a lock runs still.

    Its process id alone may belong to any other process by now, to another engine too; and a dead one keeps id and
    name where nobody reaps it, as in many containers. The name of the host is not compared: this state is never on
    another one, and names of hosts change.
    """
    pid = holder.get("pid")
    if type(pid) is not int or "pulumi" not in (program_name(pid) or ""):
        return False
    try:
        locked = datetime.fromisoformat(str(holder.get("timestamp")))
    except ValueError:
        return start_time(pid) is not None
    return started_before(pid, locked if locked.tzinfo else locked.replace(tzinfo=UTC))
