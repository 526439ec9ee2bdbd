"""Which cluster the engine's state is about: a control plane that was made again knows nothing of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.engine.cluster import ClusterError
from local.engine.errors import EngineError
from local.gke.files import write_private

if TYPE_CHECKING:
    from pathlib import Path

    from local.engine.cluster import ApiServer
    from local.engine.stack import EngineStack

_NAMESPACE = "kube-system"


def identity_of(cluster: ApiServer) -> str:
    """What tells a cluster from every other: the identity of a namespace that comes and goes with its store.

    Raises:
        EngineError: the cluster does not tell.

    """
    try:
        namespace = cluster.get("v1", "Namespace", None, _NAMESPACE)
    except ClusterError as error:
        raise EngineError(f"the control plane does not tell which it is: {error}") from None
    if namespace is None:
        raise EngineError(f"the control plane has no namespace {_NAMESPACE}")
    return str(namespace["metadata"]["uid"])


def tie(engine: EngineStack, identity: str) -> str | None:
    """Make the engine's state one of this cluster, before anything is deployed; what was done, None for nothing.

    State of another cluster is forgotten: what it tells of was lost with that cluster's store. State that does not
    say which cluster it is of is held against this one.
    """
    path = engine.directory / "cluster"
    known = _read(path)
    if known == identity:
        return None
    done = None
    if engine.exists and known:
        engine.forget()
        done = "the control plane is a new one: what was deployed to an earlier one is gone, and is deployed again"
    elif engine.exists:
        engine.refresh()
        done = "the engine's state does not say which control plane it is of, and was held against this one"
    write_private(path, identity.encode())
    return done


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
