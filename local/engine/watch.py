"""An eye on the control plane while the engine works: the engine itself waits for minutes for one that is dead."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from local.engine.errors import EngineError
from local.gke.errors import DamagedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.engine.command import EngineCommand
    from local.gke import LocalGke

_POLL_SECONDS = 2.0
_PATIENCE_SECONDS = 10.0


@contextmanager
def watched(cluster: LocalGke, command: EngineCommand) -> Iterator[None]:
    """Stops the engine once a component of the control plane is dead or stopped.

    Raises:
        EngineError: names the components.

    """
    found: list[str] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_POLL_SECONDS):
            found.extend(_troubles(cluster))
            if found:
                command.stop(_PATIENCE_SECONDS, ended)
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    except EngineError:
        if not found:
            raise
        # What the engine says of it is page after page of what it could not do.
        raise EngineError(f"the control plane does not work: {'; '.join(found)}; the engine was stopped") from None
    finally:
        ended.set()
        watcher.join()


def _troubles(cluster: LocalGke) -> list[str]:
    try:
        return [str(trouble) for trouble in cluster.missing()]
    except DamagedError as error:
        return [str(error)]
