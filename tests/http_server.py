"""HTTP servers that tests ask in place of those on the internet."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.server import HTTPServer

_POLL_SECONDS = 0.01
"""How soon a server notices that it is to end; it is half a second by itself."""


@contextmanager
def served(server: HTTPServer) -> Iterator[str]:
    """A server that answers meanwhile; gives its address, without a scheme."""
    thread = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,), daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
