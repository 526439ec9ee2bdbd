"""GitHub's REST API on the loopback address, as far as the tools use it."""

from __future__ import annotations

import json
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from tests.http_server import served
from tools.github_api import GitHub

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REPOSITORY = "acme/inference"
TOKEN = "ghs_plantedPlantedPlanted"
BOT = "github-actions[bot]"
ROOT = f"/repos/{REPOSITORY}/"


@dataclass
class FakeGitHub:
    """What the repository holds, and the requests that came."""

    artifacts: dict[int, bytes] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)
    pulls: dict[int, dict[str, Any]] = field(default_factory=dict)
    issues: list[dict[str, Any]] = field(default_factory=list)
    comments: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    writes: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    storage_headers: list[dict[str, str]] = field(default_factory=list)
    address: str = ""

    def github(self) -> GitHub:
        return GitHub(REPOSITORY, TOKEN, self.address)

    def answer(self, method: str, url: str, content: dict[str, Any]) -> Any:
        parts = urlsplit(url)
        path = parts.path.removeprefix(ROOT).split("/")
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if method != "GET":
            self.writes.append((method, "/".join(path), content))
            return {"number": 77, "id": 1}
        match path:
            case ["actions", "runs", _, "artifacts"]:
                found = [
                    {"id": number, "size_in_bytes": self.sizes.get(number, len(data))}
                    for number, data in self.artifacts.items()
                ]
                return {"total_count": len(found), "artifacts": found}
            case ["pulls", number]:
                return self.pulls.get(int(number))
            case ["issues"]:
                return self._page(self.issues, query)
            case ["issues", number, "comments"]:
                return self._page(self.comments.get(int(number), []), query)
        return None

    @staticmethod
    def _page(items: list[dict[str, Any]], query: Mapping[str, str]) -> list[dict[str, Any]]:
        size, page = int(query["per_page"]), int(query["page"])
        return items[size * (page - 1) : size * page]


def archive(**members: str | bytes) -> bytes:
    """A zip file; `_` in a name stands for `-`, and `comment` for `comment.md`."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in members.items():
            target.writestr({"comment": "comment.md"}.get(name, name.replace("_", "-")), content)
    return buffer.getvalue()


@contextmanager
def fake_github() -> Iterator[FakeGitHub]:
    """The API while the context lasts."""
    state = FakeGitHub()

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            content = json.loads(self.rfile.read(length)) if length else {}
            if self.path.startswith("/storage/"):
                state.storage_headers.append(dict(self.headers.items()))
                self._send(200, state.artifacts[int(self.path.rpartition("/")[2])])
                return
            assert self.headers["Authorization"] == f"Bearer {TOKEN}"
            if self.path.endswith("/zip"):
                self.send_response(302)
                self.send_header("Location", f"{state.address}/storage/{self.path.split('/')[-2]}")
                self.end_headers()
                return
            answer = state.answer(self.command, self.path, content)
            self._send(404 if answer is None else 200, json.dumps(answer).encode())

        do_GET = do_POST = do_PATCH = _handle  # noqa: N815

        def _send(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{server.server_address[1]}"
    with served(server):
        yield state
