"""Whether what an instance wrote down is still what it wrote."""

import base64
import binascii
from typing import Any

import yaml

from local.gke.control_plane import CONTEXT, Credentials, Layout
from local.gke.errors import DamagedError
from local.gke.processes import read_record
from local.gke.state import State, read_state


def assert_whole(layout: Layout) -> None:
    """Look at every file that an instance cannot do without, and that is not written again by each start.

    Raises:
        DamagedError: the first that is damaged.

    """
    state = read_state(layout)
    for record in sorted(layout.records.glob("*.json")):
        read_record(record)
    if state is None:
        return
    # Those that are missing are of a start that did not come that far.
    credentials = Credentials.of(layout)
    if state.complete:
        _assert_kubeconfig(layout, credentials, state)


def _assert_kubeconfig(layout: Layout, credentials: Credentials, state: State) -> None:
    """Its user may have added to it; what leads to this instance has to be there still."""
    path = layout.kubeconfig
    try:
        document = yaml.safe_load(path.read_text("utf-8"))
        context = _named(document["contexts"], CONTEXT)["context"]
        cluster = _named(document["clusters"], context["cluster"])["cluster"]
        user = _named(document["users"], context["user"])["user"]
        found = [
            cluster["server"],
            *map(_decoded, (cluster["certificate-authority-data"], user["client-certificate-data"])),
            _decoded(user["client-key-data"]),
        ]
    except OSError as error:
        raise DamagedError(path, f"it cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, StopIteration, binascii.Error, RecursionError):
        raise DamagedError(path, f"it has no context '{CONTEXT}' that can be used") from None
    administrator = credentials.administrator
    files = (credentials.authority.files.certificate, administrator.certificate, administrator.key)
    if found != [state.server, *(file.read_bytes() for file in files)]:
        raise DamagedError(path, f"its context '{CONTEXT}' does not lead to this control plane")


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in entries if entry["name"] == name)


def _decoded(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
