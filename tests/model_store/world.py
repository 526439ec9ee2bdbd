"""Hugging Face, its CDN, a bucket and the metadata server, on the loopback address, with faults that tests ask for.

The hub has one model at one commit; large files are redirected to the CDN, another address. The bucket keeps objects
and resumable uploads, commits in multiples of 256 KiB, and notes all that it is sent.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

MODEL = "acme/tiny"
COMMIT = "0123456789abcdef" * 2 + "01234567"
BUCKET = "our-models"
TOKEN = "hf_planted-in-a-test"
GOOGLE_TOKEN = "ya29.planted-in-a-test"
QUANTUM = 256 * 1024


@dataclass
class Stored:
    """An object of the bucket."""

    data: bytes
    generation: int
    metadata: dict[str, str] = field(default_factory=dict)

    def document(self, name: str) -> dict[str, Any]:
        return {
            "name": name,
            "size": str(len(self.data)),
            "md5Hash": base64.b64encode(hashlib.md5(self.data).digest()).decode(),
            "generation": str(self.generation),
            "metadata": self.metadata,
        }


@dataclass
class Request:
    """What somebody asked."""

    who: str
    method: str
    path: str
    headers: dict[str, str]


@dataclass
class World:
    """Everything that the program talks to.

    Attributes:
        files: content by path in the model's repository.
        large: paths that lie behind a redirect.
        gated: whether the model needs the token.
        served: bytes that the CDN serves for a path, in place of what the hub states.
        busy: how many more requests to each are answered with 429 or 503.
        closed: how many more requests the bucket answers with 403.
        drops: after how many bytes the CDN hangs up, once for each entry.
        slow: seconds that the CDN waits before each 64 KiB.
        takes: most bytes that the bucket commits of one request; all if None.
        alters: name of an object that the bucket keeps wrongly.
        page: files on a page of the list.

    """

    files: dict[str, bytes]
    large: set[str]
    gated: bool = True
    served: dict[str, bytes] = field(default_factory=dict)
    busy: Counter[str] = field(default_factory=Counter)
    closed: int = 0
    drops: list[int] = field(default_factory=list)
    slow: float = 0.0
    takes: int | None = None
    alters: str = ""
    page: int = 2
    ranges: bool = True
    objects: dict[str, Stored] = field(default_factory=dict)
    sessions: dict[str, tuple[str, int, bytearray]] = field(default_factory=dict)
    forgotten: set[str] = field(default_factory=set)
    received: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    requests: list[Request] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    hub: str = ""
    cdn: str = ""
    storage: str = ""
    metadata: str = ""

    def asked(self, who: str) -> list[Request]:
        return [one for one in self.requests if one.who == who]

    def copied(self) -> dict[str, bytes]:
        """Content of the model's objects by path."""
        prefix = f"{MODEL}/{COMMIT}/"
        return {name.removeprefix(prefix): one.data for name, one in self.objects.items() if name.startswith(prefix)}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    who = ""
    world: World

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, status: int, body: bytes = b"", /, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _json(self, status: int, document: Any, **headers: str) -> None:
        self._answer(status, json.dumps(document).encode(), **headers)

    def _handle(self) -> None:
        world = self.world
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with world.lock:
            world.requests.append(Request(self.who, self.command, self.path, dict(self.headers.items())))
            if world.busy[self.who] > 0:
                world.busy[self.who] -= 1
                self._answer(429 if self.who in ("hub", "cdn") else 503, Retry_After="0")
                return
        getattr(self, f"_{self.who}")(urlsplit(self.path))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815 names of the standard library

    # Hugging Face

    def _hub(self, url: Any) -> None:
        world = self.world
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token != TOKEN:
            self._answer(401, X_Error_Message="Invalid credentials in Authorization header")
        elif MODEL not in url.path:
            self._answer(401 if not token else 404, X_Error_Code="RepoNotFound")
        elif world.gated and not token:
            self._answer(401, X_Error_Code="GatedRepo")
        elif COMMIT not in url.path:
            self._answer(404, X_Error_Code="RevisionNotFound")
        elif url.path.startswith("/api/"):
            self._tree(url)
        else:
            self._resolve(unquote(url.path.partition(f"{COMMIT}/")[2]))

    def _tree(self, url: Any) -> None:
        world = self.world
        start = int(parse_qs(url.query).get("cursor", ["0"])[0])
        names = sorted(world.files)
        entries: list[dict[str, Any]] = [{"type": "directory", "path": "original", "oid": "0", "size": 0}]
        for name in names[start : start + world.page]:
            data = world.files[name]
            entry: dict[str, Any] = {"type": "file", "path": name, "size": len(data), "oid": git_sha1(data)}
            if name in world.large:
                entry["oid"] = git_sha1(b"a pointer")
                entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
            entries.append(entry)
        more = {}
        if start + world.page < len(names):
            more["Link"] = f'<{world.hub}{url.path}?recursive=true&cursor={start + world.page}>; rel="next"'
        self._json(200, entries, **more)

    def _resolve(self, name: str) -> None:
        world = self.world
        if name in world.large:
            self._answer(302, Location=f"{world.cdn}/blob/{name}?Signature=planted-signature")
        else:
            self._stream(world.served.get(name, world.files[name]))

    def _cdn(self, url: Any) -> None:
        name = unquote(url.path.removeprefix("/blob/"))
        data = self.world.served.get(name, self.world.files[name])
        self._stream(data, name)

    def _stream(self, data: bytes, name: str = "") -> None:
        world = self.world
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")) if world.ranges else None
        start = int(found[1]) if found else 0
        self.send_response(206 if found else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        drop = world.drops.pop(0) if name and world.drops else None
        for position in range(start, len(data), 65536):
            if drop is not None and position - start >= drop:
                self.close_connection = True
                return
            if world.slow:
                time.sleep(world.slow)
            part = data[position : position + 65536]
            self.wfile.write(part)
            world.sent[name] += len(part)

    # The metadata server

    def _metadata(self, url: Any) -> None:
        right = url.path == "/computeMetadata/v1/instance/service-accounts/default/token"
        if not right or self.headers.get("Metadata-Flavor") != "Google":
            self._answer(403)
        else:
            self._json(200, {"access_token": GOOGLE_TOKEN, "expires_in": 3599, "token_type": "Bearer"})

    # Cloud Storage

    def _storage(self, url: Any) -> None:
        world = self.world
        if url.path.startswith("/session/"):
            self._session(url.path.removeprefix("/session/"))
            return
        if self.headers.get("Authorization") != f"Bearer {GOOGLE_TOKEN}":
            self._answer(401)
            return
        if world.closed > 0:
            world.closed -= 1
            self._answer(403)
            return
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if f"/b/{BUCKET}/" not in url.path:
            self._answer(404)
        elif url.path.startswith("/upload/"):
            self._upload(query)
        elif url.path.endswith("/o"):
            items = [
                one.document(name) for name, one in sorted(world.objects.items()) if name.startswith(query["prefix"])
            ]
            page = int(query.get("pageToken", "0"))
            more = {"nextPageToken": str(page + 3)} if page + 3 < len(items) else {}
            self._json(200, {"items": items[page : page + 3], **more} if items else {})
        else:
            self._object(unquote(url.path.partition("/o/")[2]), query)

    def _object(self, name: str, query: dict[str, str]) -> None:
        world = self.world
        found = world.objects.get(name)
        if found is None:
            self._answer(404)
        elif self.command == "DELETE":
            del world.objects[name]
            self._answer(204)
        elif self.command == "PATCH":
            if query["ifGenerationMatch"] != str(found.generation):
                self._answer(412)
                return
            found.metadata |= json.loads(self.body)["metadata"]
            self._json(200, found.document(name))
        else:
            self._stream(found.data)

    def _upload(self, query: dict[str, str]) -> None:
        world = self.world
        if query["uploadType"] == "media":
            self._json(200, self._keep(query["name"], self.body))
            return
        with world.lock:
            key = f"planted-session-{len(world.sessions)}"
            world.sessions[key] = (query["name"], int(self.headers["X-Upload-Content-Length"]), bytearray())
        self._answer(200, Location=f"{world.storage}/session/{key}")

    def _keep(self, name: str, data: bytes) -> dict[str, Any]:
        world = self.world
        with world.lock:
            if name == world.alters:
                world.alters = ""
                data = b"?" + data[1:]
            world.objects[name] = Stored(bytes(data), generation=len(world.requests))
            return world.objects[name].document(name)

    def _session(self, key: str) -> None:
        world = self.world
        if key not in world.sessions or key in world.forgotten:
            self._answer(410)
            return
        name, size, have = world.sessions[key]
        if self.command == "DELETE":
            world.forgotten.add(key)
            self._answer(499)
            return
        assert "Authorization" not in self.headers
        found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", self.headers["Content-Range"])
        if found:
            start, end, total = map(int, found.groups())
            assert (total, end - start + 1) == (size, len(self.body))
            assert end + 1 == size or len(self.body) % QUANTUM == 0
            assert start <= len(have)
            data = self.body[: world.takes]
            if end + 1 < size or len(data) < len(self.body):
                data = data[: len(data) // QUANTUM * QUANTUM]
            world.received[name] += len(self.body)
            del have[start:]
            have += data
        if len(have) == size:
            world.forgotten.add(key)
            self._json(200, self._keep(name, bytes(have)))
        else:
            self._answer(308, b"", **({"Range": f"bytes=0-{len(have) - 1}"} if have else {}))


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Servers:
    """The servers of a world; they end with the block."""

    def __init__(self, world: World) -> None:
        self._servers = []
        for who in ("hub", "cdn", "storage", "metadata"):
            handler = type(f"Of{who}", (_Handler,), {"who": who, "world": world})
            server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
            server.daemon_threads = True
            setattr(world, who, f"http://127.0.0.1:{server.server_address[1]}")
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
            self._servers.append(server)

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()
