"""Copies a model at a commit from Hugging Face to a bucket of Cloud Storage, once.

It runs in a pod by itself, so that it imports Python's standard library alone. Each file goes through memory in chunks,
into a resumable upload; its sums are held against Hugging Face's and the bucket's before it counts, and
`.complete.json` is written last. What is there already is not copied again. A program that was killed goes on with each
file where the bucket says that it stopped, as long as the directory of --state is the same.

Protocols: huggingface_hub (hf_api.py, file_download.py, utils/_http.py) for Hugging Face; Google's pages "Perform
resumable uploads" and "Objects" of the JSON API for the bucket; google-auth (compute_engine/_metadata.py) for tokens.
"""

import argparse
import base64
import hashlib
import http.client
import json
import os
import random
import re
import signal
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

T = TypeVar("T")

COMPLETE: Final = ".complete.json"
"""Name of the object that says that a model is there as a whole."""
_MIB: Final = 1 << 20
_GIB: Final = 1 << 30
_SECONDS: Final = 60
_ATTEMPTS: Final = 8
_LONGEST_WAIT: Final = 60.0
_AGAIN: Final = (408, 429, 500, 502, 503, 504)
_GONE: Final = (404, 410)
_TOKEN_MARGIN: Final = 300
_MARK: Final = "verified"
_WEIGHTS: Final = (".safetensors",)
_OTHER_WEIGHTS: Final = (".bin", ".gguf", ".pt", ".pth")
_KEPT: Final = (".jinja", ".json", ".model", ".py", ".tiktoken", ".txt")
# The same weights in other forms, and what only training needs.
_LEFT_OUT: Final = re.compile(
    r"(^|/)(original|onnx|openvino|coreml|metal|gguf)/|(^|/)(training_args|optimizer|scheduler|rng_state)[^/]*\.(bin|pth?)$"
)
_CONSOLIDATED: Final = re.compile(r"(^|/)consolidated[^/]*\.safetensors$")
# What a connection may end with, in the middle of an answer too.
_BROKEN: Final = (OSError, http.client.HTTPException)


class CopyError(Exception):
    """Why a model cannot be copied, for people. It never holds a token or an address that lets others in."""


class StoppedError(Exception):
    """Another file has failed, or the program is told to end."""


class SessionGoneError(Exception):
    """The bucket does not know an upload any longer."""


class CorruptedError(CopyError):
    """A file is not what Hugging Face says that it is."""


# --- What is asked of whom -----------------------------------------------------------------------------------------


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Redirects are followed here, where it is known which headers may go along."""

    def redirect_request(self, *_: Any) -> None:
        """Never."""


_OPENER: Final = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))


@dataclass
class Clock:
    """How long to wait, and whether to go on at all."""

    backoff: float
    stop: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Raises StoppedError once the program is to end."""
        if self.stop.is_set():
            raise StoppedError

    def wait(self, attempt: int, asked: str | None = None) -> None:
        """Waits before another attempt: longer each time, and at least as long as a server asks for."""
        seconds = min(_LONGEST_WAIT, self.backoff * 2**attempt) * random.uniform(0.5, 1.0)  # noqa: S311 no secret
        if asked and asked.isdigit():
            seconds = max(seconds, min(_LONGEST_WAIT, float(asked)))
        if self.stop.wait(seconds):
            raise StoppedError


def ask(method: str, url: str, headers: Mapping[str, str], body: bytes | memoryview | None = None) -> Any:
    """One request and its answer, whatever its status; redirects are answers like others."""
    request = urllib.request.Request(url, data=body, method=method, headers=dict(headers))  # noqa: S310 its caller chose
    try:
        return _OPENER.open(request, timeout=_SECONDS)
    except urllib.error.HTTPError as error:
        return error


def persistently(clock: Clock, what: str, attempt_once: Callable[[], T | None], again: Callable[[], str | None]) -> T:
    """What an attempt gives, after as many as it takes.

    Args:
        clock: how long to wait between two.
        what: what is attempted, for a message.
        attempt_once: gives None where another attempt may help.
        again: how long the last answer asks to wait; None where it does not.

    """
    reason = "the answers ask to come again"
    for attempt in range(_ATTEMPTS):
        clock.check()
        try:
            result = attempt_once()
        except _BROKEN as error:
            result, reason = None, _reason(error)
        if result is not None:
            return result
        if attempt < _ATTEMPTS - 1:
            clock.wait(attempt, again())
    raise CopyError(f"{what}: gave up after {_ATTEMPTS} attempts: {reason}")


def answer_of(
    clock: Clock, what: str, method: str, url: str, headers: Callable[[], Mapping[str, str]], body: bytes | None = None
) -> Any:
    """The first answer that does not ask to come again; its body is left to its reader."""
    asked: list[str | None] = [None]

    def once() -> Any:
        answer = ask(method, url, headers(), body)
        if answer.status not in _AGAIN:
            return answer
        asked[0] = answer.headers.get("Retry-After")
        answer.close()
        return None

    return persistently(clock, what, once, lambda: asked[0])


def _reason(error: Exception) -> str:
    """What went wrong with a connection, without addresses."""
    inner = getattr(error, "reason", error)
    return inner if isinstance(inner, str) else getattr(inner, "strerror", None) or type(inner).__name__


# --- Hugging Face --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class File:
    """A file of the model, as Hugging Face describes it.

    Attributes:
        path: where it is in the repository.
        size: its bytes.
        sha256: its SHA-256, for large files; None for those that lie in git.
        git_sha1: SHA-1 of its git blob, for those that lie in git.

    """

    path: str
    size: int
    sha256: str | None
    git_sha1: str

    @property
    def expected(self) -> str:
        """The sum that it must have."""
        return f"sha256:{self.sha256}" if self.sha256 else f"git-sha1:{self.git_sha1}"


def selected(files: Iterable[File]) -> list[File]:
    """What servers read of a repository, largest first: weights once, and everything small beside them."""
    kept = [one for one in files if not _LEFT_OUT.search(one.path)]
    has_safetensors = any(one.path.endswith(_WEIGHTS) and not _CONSOLIDATED.search(one.path) for one in kept)
    weights: tuple[str, ...] = _WEIGHTS
    if not any(one.path.endswith(_WEIGHTS) for one in kept):
        weights = _OTHER_WEIGHTS
    chosen = [
        one
        for one in kept
        if one.path.endswith((*weights, *_KEPT)) and not (has_safetensors and _CONSOLIDATED.search(one.path))
    ]
    return sorted(chosen, key=lambda one: (-one.size, one.path))


class Hub:
    """Hugging Face: a model at a commit. Its token goes to its own address alone, never along a redirect."""

    def __init__(self, endpoint: str, model: str, revision: str, token: str, clock: Clock) -> None:
        self._endpoint, self._model, self._revision = endpoint.rstrip("/"), model, revision
        self._token, self._clock = token, clock

    def files(self) -> list[File]:
        """Every file of the commit."""
        url: str | None = f"{self._endpoint}/api/models/{self._model}/tree/{self._revision}?recursive=true"
        found: list[File] = []
        while url:
            if _origin(url) != _origin(self._endpoint):
                raise CopyError("Hugging Face's list of files goes on at another address")
            answer = answer_of(self._clock, "the list of files", "GET", url, lambda: self._headers(own=True))
            with answer:
                if answer.status != 200:
                    raise CopyError(self._refused(answer))
                found += [_file(entry) for entry in json.loads(answer.read()) if entry["type"] == "file"]
                url = _next_page(answer.headers.get("Link", ""))
        return found

    def open(self, file: File, start: int) -> Any:
        """The file's bytes from a position on."""
        asked: list[str | None] = [None]

        def once() -> Any:
            answer = self._followed(file, start)
            if answer.status in _AGAIN:
                asked[0] = answer.headers.get("Retry-After")
                answer.close()
                return None
            return answer

        answer = persistently(self._clock, file.path, once, lambda: asked[0])
        if answer.status not in (200, 206):
            with answer:
                raise CopyError(f"{file.path}: {self._refused(answer)}")
        if start and answer.status == 200:
            # Whoever does not know ranges sends everything again.
            _skip(answer, start)
        return answer

    def _followed(self, file: File, start: int) -> Any:
        url = f"{self._endpoint}/{self._model}/resolve/{self._revision}/{urllib.parse.quote(file.path)}"
        for _ in range(5):
            headers = self._headers(own=_origin(url) == _origin(self._endpoint))
            answer = ask("GET", url, headers | ({"Range": f"bytes={start}-"} if start else {}))
            if answer.status not in (301, 302, 303, 307, 308):
                return answer
            with answer:
                url = urllib.parse.urljoin(url, answer.headers.get("Location", ""))
            if self._endpoint.startswith("https://") and not url.startswith("https://"):
                raise CopyError(f"{file.path}: Hugging Face sends whoever asks to an address without TLS")
        raise CopyError(f"{file.path}: too many redirects")

    def _headers(self, *, own: bool) -> dict[str, str]:
        headers = {"User-Agent": "gke-llm-inference", "Accept-Encoding": "identity"}
        if own and self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        return headers

    def _refused(self, answer: Any) -> str:
        """Why Hugging Face refuses, in words."""
        code, said = answer.headers.get("X-Error-Code", ""), answer.headers.get("X-Error-Message", "")
        where = f"{self._endpoint}/{self._model}"
        if code == "GatedRepo":
            if not self._token:
                return f"{self._model} is gated: accept its license at {where}, and give the stack that account's token"
            return f"{self._model} is gated, and the token's account has not accepted its license at {where}"
        if said.startswith("Invalid credentials"):
            return "Hugging Face does not know the token: it may be revoked, or cut off"
        if code == "RevisionNotFound":
            return f"{self._model} has no commit {self._revision}"
        if answer.status == 401 or code == "RepoNotFound":
            seen = "the token's account does not see it" if self._token else "it is private and needs a token"
            return f"there is no model {self._model}, or {seen}"
        if answer.status == 403:
            return f"the token may not read {self._model}: give it read access to this repository"
        if answer.status == 404:
            return f"Hugging Face does not have it at {self._revision}"
        return f"Hugging Face answers {answer.status}"


def _file(entry: Mapping[str, Any]) -> File:
    path = str(entry["path"])
    if path.startswith("/") or ".." in path.split("/"):
        raise CopyError(f"{path!r} is no path of a file")
    large = entry.get("lfs")
    return File(
        path, int((large or entry)["size"]), large["oid"].removeprefix("sha256:") if large else None, entry["oid"]
    )


def _next_page(link: str) -> str | None:
    found = re.search(r'<([^>]+)>;\s*rel="next"', link)
    return found[1] if found else None


def _origin(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _skip(stream: Any, count: int) -> None:
    while count:
        part = stream.read(min(count, _MIB))
        if not part:
            raise http.client.IncompleteRead(b"", count)
        count -= len(part)


# --- The bucket ----------------------------------------------------------------------------------------------------


class Identity:
    """Tokens of Workload Identity, from the metadata server."""

    def __init__(self, endpoint: str, clock: Clock) -> None:
        self._url = f"{endpoint.rstrip('/')}/computeMetadata/v1/instance/service-accounts/default/token"
        self._clock, self._lock = clock, threading.Lock()
        self._token, self._until = "", 0.0

    def header(self) -> dict[str, str]:
        """The header that says who asks."""
        with self._lock:
            if time.monotonic() >= self._until:
                answer = answer_of(
                    self._clock, "the metadata server", "GET", self._url, lambda: {"Metadata-Flavor": "Google"}
                )
                with answer:
                    if answer.status != 200:
                        raise CopyError(f"the metadata server gives no token: it answers {answer.status}")
                    given = json.loads(answer.read())
                self._token = given["access_token"]
                self._until = time.monotonic() + max(0, int(given["expires_in"]) - _TOKEN_MARGIN)
            return {"Authorization": f"Bearer {self._token}"}


class Bucket:
    """A bucket, by the JSON API."""

    def __init__(self, endpoint: str, name: str, identity: Identity, clock: Clock) -> None:
        quoted = urllib.parse.quote(name, safe="")
        self._objects = f"{endpoint.rstrip('/')}/storage/v1/b/{quoted}/o"
        self._uploads = f"{endpoint.rstrip('/')}/upload/storage/v1/b/{quoted}/o"
        self.name, self._identity, self._clock = name, identity, clock

    def wait_for_access(self, prefix: str, seconds: float) -> None:
        """Waits until the bucket lets the program in: what IAM was told takes minutes to hold."""
        until = time.monotonic() + seconds
        query = urllib.parse.urlencode({"prefix": prefix, "maxResults": "1", "fields": "nextPageToken"})
        for attempt in range(1_000):
            with self._send("GET", f"{self._objects}?{query}", f"bucket {self.name}") as answer:
                if answer.status == 200:
                    return
                if answer.status != 403 or time.monotonic() >= until:
                    raise CopyError(f"bucket {self.name}: {_bucket_refused(answer.status)}")
            if attempt == 0:
                say(f"bucket {self.name} does not let this account in yet; waiting for IAM, {seconds:.0f} s at most")
            self._clock.wait(min(attempt, 4))

    def list(self, prefix: str) -> dict[str, dict[str, Any]]:
        """Objects by name whose names begin like that."""
        fields = "items(name,size,md5Hash,generation,metadata),nextPageToken"
        found: dict[str, dict[str, Any]] = {}
        page = ""
        while True:
            query = {"prefix": prefix, "fields": fields} | ({"pageToken": page} if page else {})
            document = self._document("GET", f"{self._objects}?{urllib.parse.urlencode(query)}", "the list of objects")
            found |= {one["name"]: one for one in document.get("items", [])}
            page = document.get("nextPageToken", "")
            if not page:
                return found

    def read(self, name: str, start: int = 0) -> Any:
        """The bytes of an object from a position on; None where there is none."""
        more = {"Range": f"bytes={start}-"} if start else {}
        answer = self._send("GET", f"{self._address(name)}?alt=media", name, more)
        if answer.status == 404:
            answer.close()
            return None
        if answer.status not in (200, 206):
            with answer:
                raise CopyError(f"{name}: {_bucket_refused(answer.status)}")
        return answer

    def write(self, name: str, content: bytes) -> None:
        """Writes a small object."""
        query = urllib.parse.urlencode({"uploadType": "media", "name": name})
        self._document("POST", f"{self._uploads}?{query}", name, content)

    def delete(self, name: str) -> None:
        """Deletes an object, if it is there."""
        with self._send("DELETE", self._address(name), name) as answer:
            if answer.status not in (200, 204, 404):
                raise CopyError(f"{name}: {_bucket_refused(answer.status)}")

    def mark(self, name: str, generation: str, metadata: Mapping[str, str]) -> None:
        """Says something of an object, as long as it is the one that was looked at."""
        query = urllib.parse.urlencode({"ifGenerationMatch": generation})
        self._document("PATCH", f"{self._address(name)}?{query}", name, json.dumps({"metadata": metadata}).encode())

    def begin(self, name: str, size: int) -> str:
        """The address of a new upload. Whoever has it can write: it is as secret as a token."""
        query = urllib.parse.urlencode({"uploadType": "resumable", "name": name})
        more = {"X-Upload-Content-Length": str(size), "X-Upload-Content-Type": "application/octet-stream"}
        with self._send("POST", f"{self._uploads}?{query}", name, more, b"{}") as answer:
            if answer.status not in (200, 201) or not answer.headers.get("Location"):
                raise CopyError(f"{name}: {_bucket_refused(answer.status)}")
            return str(answer.headers["Location"])

    def _address(self, name: str) -> str:
        return f"{self._objects}/{urllib.parse.quote(name, safe='')}"

    def _document(self, method: str, url: str, what: str, body: bytes | None = None) -> dict[str, Any]:
        with self._send(method, url, what, {}, body) as answer:
            if answer.status not in (200, 201):
                raise CopyError(f"{what}: {_bucket_refused(answer.status)}")
            document: dict[str, Any] = json.loads(answer.read())
            return document

    def _send(
        self, method: str, url: str, what: str, more: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Any:
        kind = {} if body is None else {"Content-Type": "application/json"}
        return answer_of(
            self._clock, what, method, url, lambda: {**kind, **(more or {}), **self._identity.header()}, body
        )


def _bucket_refused(status: int) -> str:
    if status == 403:
        return "the bucket does not let this account write: it needs roles/storage.objectUser"
    if status == 404:
        return "there is no such bucket"
    return f"the bucket answers {status}"


class Upload:
    """A resumable upload: chunks at the offsets that the bucket says, whatever happens in between."""

    def __init__(self, address: str, size: int, clock: Clock) -> None:
        self._address, self._size, self._clock = address, size, clock

    def state(self) -> tuple[int, dict[str, Any] | None]:
        """How many bytes the bucket has, and the object where it has all."""
        answer = answer_of(
            self._clock,
            "the state of an upload",
            "PUT",
            self._address,
            lambda: {"Content-Range": f"bytes */{self._size}", "Content-Length": "0"},
            b"",
        )
        return self._taken(answer)

    def send(self, start: int, data: memoryview) -> dict[str, Any] | None:
        """Sends bytes at an offset; gives the object where they were the last.

        Raises:
            SessionGoneError: the bucket does not know the upload any longer.

        """
        sent = failures = 0
        while failures < _ATTEMPTS:
            self._clock.check()
            try:
                committed, complete = self._taken(self._put(start + sent, data[sent:]))
            except _BROKEN:
                self._clock.wait(failures)
                committed, complete = self.state()
                failures += 1
            if complete is not None:
                return complete
            if not start <= committed <= start + len(data):
                raise SessionGoneError
            if committed == start + len(data) < self._size:
                return None
            # The bucket may take less than it was sent; what goes on is no failure.
            failures = 0 if committed > start + sent else failures + 1
            sent = committed - start
        raise CopyError(f"an upload: gave up after {_ATTEMPTS} attempts")

    def cancel(self) -> None:
        """Forgets what the bucket has of it."""
        with suppress(*_BROKEN), ask("DELETE", self._address, {"Content-Length": "0"}):
            pass

    def _put(self, start: int, data: memoryview) -> Any:
        which = f"{start}-{start + len(data) - 1}" if len(data) else "*"
        headers = {"Content-Range": f"bytes {which}/{self._size}", "Content-Length": str(len(data))}
        answer = ask("PUT", self._address, headers, data)
        if answer.status in _AGAIN:
            answer.close()
            raise ConnectionError(f"the bucket answers {answer.status}")
        return answer

    def _taken(self, answer: Any) -> tuple[int, dict[str, Any] | None]:
        with answer:
            if answer.status in (200, 201):
                return self._size, json.loads(answer.read())
            if answer.status in _GONE:
                raise SessionGoneError
            if answer.status != 308:
                raise CopyError(f"an upload: {_bucket_refused(answer.status)}")
            found = re.fullmatch(r"bytes=0-([0-9]+)", answer.headers.get("Range", ""))
            return (int(found[1]) + 1 if found else 0), None


# --- Copying -------------------------------------------------------------------------------------------------------


class Sums:
    """The sums of a file, as its bytes go by."""

    def __init__(self, file: File) -> None:
        self._file = file
        self._sha256, self._md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        self._all = [self._sha256, self._md5]
        # As git writes a blob; large files have a sum of their own.
        self._git = hashlib.sha1(f"blob {file.size}\0".encode(), usedforsecurity=False)
        if file.sha256 is None:
            self._all.append(self._git)

    def add(self, data: bytes | memoryview) -> None:
        """Takes the next bytes."""
        for one in self._all:
            one.update(data)

    @property
    def sha256(self) -> str:
        """SHA-256 in hexadecimal digits."""
        return self._sha256.hexdigest()

    @property
    def md5(self) -> str:
        """MD5 as buckets write it."""
        return base64.b64encode(self._md5.digest()).decode()

    @property
    def match(self) -> bool:
        """Whether they are those that Hugging Face states."""
        if self._file.sha256 is not None:
            return self._file.sha256 == self.sha256
        return self._file.git_sha1 == self._git.hexdigest()


class States:
    """Addresses of uploads that are under way, in files that only this program may read."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def get(self, name: str, file: File) -> str | None:
        """The upload of an object, if one of the same file is under way."""
        try:
            kept = json.loads(self._path(name).read_text("utf-8"))
            return str(kept["upload"]) if kept["expected"] == file.expected else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put(self, name: str, file: File, upload: str) -> None:
        """Keeps it."""
        path = self._path(name)
        new = path.with_suffix(".new")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
            json.dump({"expected": file.expected, "upload": upload}, stream)
        new.replace(path)

    def drop(self, name: str) -> None:
        """Forgets it."""
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._directory / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.json"


class Progress:
    """How far the whole is; it says so now and then."""

    def __init__(self, total: int, files: int, every: float) -> None:
        self._total, self._files, self._every = total, files, every
        self._lock = threading.Lock()
        self._sent = self._there = self._done = 0
        self._since = time.monotonic()
        self._ended = threading.Event()

    def start(self) -> None:
        """Begins to tell."""
        threading.Thread(target=self._tell, daemon=True).start()

    def end(self) -> None:
        """Tells no more."""
        self._ended.set()

    def sent(self, count: int) -> None:
        """So many bytes more are in the bucket; fewer, where what was there is of no use."""
        with self._lock:
            self._sent += count

    def there(self, count: int) -> None:
        """So many bytes were there already."""
        with self._lock:
            self._there += count

    def file_done(self) -> None:
        """One file more is there and right."""
        with self._lock:
            self._done += 1

    def line(self) -> str:
        """How far it is, how fast, and how long it will take."""
        with self._lock:
            have, sent, done = self._sent + self._there, self._sent, self._done
        rate = sent / max(time.monotonic() - self._since, 1e-9)
        left = f"{(self._total - have) / rate:.0f} s left" if rate > 0 else "time left not known"
        return (
            f"{have / _GIB:.2f} of {self._total / _GIB:.2f} GiB, {done} of {self._files} files, "
            f"{rate / _MIB:.0f} MiB/s, {left}"
        )

    def _tell(self) -> None:
        while not self._ended.wait(self._every):
            say(self.line())


@dataclass(frozen=True)
class Copied:
    """A file in the bucket, right as Hugging Face has it."""

    path: str
    size: int
    sha256: str


class Copier:
    """Copies the files of a model."""

    def __init__(self, hub: Hub, bucket: Bucket, prefix: str, states: States, clock: Clock, chunk: int) -> None:
        self._hub, self._bucket, self._prefix = hub, bucket, prefix
        self._states, self._clock, self._chunk = states, clock, chunk

    def copy(self, file: File, present: Mapping[str, Any] | None, progress: Progress) -> Copied:
        """Copies a file, unless it is there and right.

        Args:
            file: the file.
            present: the object that has its name; None without one.
            progress: what is told of it.

        """
        name = f"{self._prefix}/{file.path}"
        copied = self._kept(name, file, present, progress) if present else None
        for _ in range(3):
            if copied:
                break
            try:
                copied = self._uploaded(name, file, progress)
            except SessionGoneError:
                self._states.drop(name)
        if copied is None:
            raise CopyError(f"{file.path}: the bucket forgets its uploads")
        self._states.drop(name)
        progress.file_done()
        return copied

    def _kept(self, name: str, file: File, present: Mapping[str, Any], progress: Progress) -> Copied | None:
        """What is there already, if it is right; it is deleted otherwise."""
        marks = present.get("metadata") or {}
        right_size = int(present["size"]) == file.size
        if right_size and marks.get(_MARK) == file.expected and "sha256" in marks:
            progress.there(file.size)
            return Copied(file.path, file.size, marks["sha256"])
        if right_size:
            say(f"{file.path}: is there; reading it to see whether it is right")
            if copied := self._checked(name, file, present):
                progress.there(file.size)
                return copied
        say(f"{file.path}: what is there is not right; copying it again")
        self._bucket.delete(name)
        return None

    def _uploaded(self, name: str, file: File, progress: Progress) -> Copied:
        address = self._states.get(name, file)
        start, complete = 0, None
        if address is None:
            address = self._bucket.begin(name, file.size)
            self._states.put(name, file, address)
            upload = Upload(address, file.size, self._clock)
        else:
            upload = Upload(address, file.size, self._clock)
            start, complete = upload.state()
            say(f"{file.path}: goes on at {start / _GIB:.2f} of {file.size / _GIB:.2f} GiB")
        progress.there(start)
        sums = Sums(file) if start == 0 else None
        counted = start
        try:
            for position, data, is_last in self._chunks(file, start) if complete is None else ():
                if sums is not None:
                    sums.add(data)
                if is_last and sums is not None and not sums.match:
                    upload.cancel()
                    raise self._corrupted(name, file)
                complete = upload.send(position, data)
                progress.sent(len(data))
                counted += len(data)
        except SessionGoneError:
            progress.sent(-(counted - start))
            progress.there(-start)
            raise
        if complete is None:
            raise SessionGoneError
        return self._accepted(name, file, complete, sums)

    def _accepted(self, name: str, file: File, present: Mapping[str, Any], sums: Sums | None) -> Copied:
        """A file whose last byte is in the bucket, once it is known to be right."""
        if sums is None:
            # The bytes before the interruption went by another process; the bucket has them all.
            say(f"{file.path}: was interrupted; reading it to see whether it is right")
            copied = self._checked(name, file, present)
        elif int(present["size"]) == file.size and present.get("md5Hash", sums.md5) == sums.md5:
            copied = self._marked(name, file, present, sums)
        else:
            copied = None
        if copied is None:
            self._bucket.delete(name)
            raise self._corrupted(name, file)
        return copied

    def _checked(self, name: str, file: File, present: Mapping[str, Any]) -> Copied | None:
        """An object that was read as a whole, if it is right."""
        sums, position = Sums(file), 0
        for attempt in range(_ATTEMPTS):
            stream = self._bucket.read(name, position)
            if stream is None:
                return None
            try:
                with stream:
                    while part := stream.read(_MIB):
                        self._clock.check()
                        sums.add(part)
                        position += len(part)
            except _BROKEN:
                self._clock.wait(attempt)
            if position >= file.size:
                return self._marked(name, file, present, sums) if sums.match else None
        raise CopyError(f"{file.path}: the bucket does not give it back")

    def _marked(self, name: str, file: File, present: Mapping[str, Any], sums: Sums) -> Copied:
        self._bucket.mark(name, str(present["generation"]), {_MARK: file.expected, "sha256": sums.sha256})
        return Copied(file.path, file.size, sums.sha256)

    def _corrupted(self, name: str, file: File) -> CorruptedError:
        self._states.drop(name)
        return CorruptedError(
            f"{file.path}: its bytes are not those that Hugging Face states ({file.expected}); nothing of it was kept"
        )

    def _chunks(self, file: File, start: int) -> Iterator[tuple[int, memoryview, bool]]:
        """The file from a position on in chunks, each with its position and whether it is the last."""
        position, filled, failures = start, 0, 0
        buffer = bytearray(min(self._chunk, max(file.size - start, 1)))
        stream: Any = None
        try:
            while True:
                want = min(self._chunk, file.size - position)
                while filled < want:
                    self._clock.check()
                    try:
                        stream = stream or self._hub.open(file, position + filled)
                        got = stream.readinto(memoryview(buffer)[filled:want])
                        if not got:
                            raise http.client.IncompleteRead(b"", want - filled)
                        filled += got
                        failures = 0
                    except _BROKEN as error:
                        _close(stream)
                        stream, failures = None, failures + 1
                        if failures >= _ATTEMPTS:
                            raise CopyError(f"{file.path}: Hugging Face breaks off: {_reason(error)}") from None
                        self._clock.wait(failures - 1)
                yield position, memoryview(buffer)[:want], position + want == file.size
                position, filled = position + want, 0
                if position >= file.size:
                    return
        finally:
            _close(stream)


def _close(stream: Any) -> None:
    if stream is not None:
        with suppress(*_BROKEN):
            stream.close()


def is_complete(bucket: Bucket, prefix: str) -> bool:
    """Whether the bucket says that the model is there, and everything still is."""
    stream = bucket.read(f"{prefix}/{COMPLETE}")
    if stream is None:
        return False
    with stream:
        try:
            files = {f"{prefix}/{one['path']}": int(one["size"]) for one in json.loads(stream.read())["files"]}
        except (ValueError, KeyError, TypeError):
            files = {}
    present = {name: int(one["size"]) for name, one in bucket.list(f"{prefix}/").items()}
    if files and all(present.get(name) == size for name, size in files.items()):
        return True
    say("the model was complete, and is not any longer")
    # Before anything changes, whoever asks must not find it complete.
    bucket.delete(f"{prefix}/{COMPLETE}")
    return False


def copy_all(
    copier: Copier,
    files: list[File],
    present: Mapping[str, Any],
    prefix: str,
    at_once: int,
    progress: Progress,
    clock: Clock,
) -> list[Copied]:
    """Copies files, a few at a time.

    Raises:
        CopyError: with what went wrong, once nothing runs any longer.

    """
    failures: list[str] = []

    def one(file: File) -> Copied | None:
        try:
            clock.check()
            return copier.copy(file, present.get(f"{prefix}/{file.path}"), progress)
        except CopyError as failure:
            failures.append(str(failure))
            clock.stop.set()
        except StoppedError:
            pass
        return None

    with ThreadPoolExecutor(max_workers=at_once) as pool:
        copied = [found for found in pool.map(one, files) if found]
    if failures:
        raise CopyError("\n".join(failures))
    clock.check()
    return copied


def say(text: str) -> None:
    """A line for whoever reads the log."""
    print(text, flush=True)


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", required=True, help="Hugging Face id")
    parser.add_argument("--revision", required=True, help="commit of its repository")
    parser.add_argument("--bucket", required=True, help="name of the bucket")
    parser.add_argument("--state", required=True, type=Path, help="directory for uploads that are under way")
    parser.add_argument("--token-file", type=Path, help="file with the Hugging Face token; none if absent")
    parser.add_argument("--files", type=int, default=4, help="files at a time")
    parser.add_argument("--chunk-mib", type=float, default=16, help="MiB that are sent at a time; a multiple of 0.25")
    parser.add_argument("--hub", default="https://huggingface.co", help="address of Hugging Face")
    parser.add_argument("--storage", default="https://storage.googleapis.com", help="address of Cloud Storage")
    parser.add_argument("--metadata", default="http://metadata.google.internal", help="address of the metadata server")
    parser.add_argument("--backoff", type=float, default=1.0, help="seconds before the second attempt of anything")
    parser.add_argument("--grant-wait", type=float, default=420.0, help="seconds that IAM may take")
    parser.add_argument("--progress", type=float, default=10.0, help="seconds between two lines of progress")
    return parser.parse_args(arguments)


def _run(given: argparse.Namespace, clock: Clock) -> None:
    prefix = f"{given.model}/{given.revision}"
    bucket = Bucket(given.storage, given.bucket, Identity(given.metadata, clock), clock)
    say(f"copies {given.model} at {given.revision} to gs://{given.bucket}/{prefix}")
    bucket.wait_for_access(f"{prefix}/", given.grant_wait)
    if is_complete(bucket, prefix):
        say("everything is there; nothing to do")
        return
    token = given.token_file.read_text("utf-8").strip() if given.token_file else ""
    hub = Hub(given.hub, given.model, given.revision, token, clock)
    files = selected(hub.files())
    if not files:
        raise CopyError(f"{given.model} has no weights and no configuration at {given.revision}")
    progress = Progress(sum(one.size for one in files), len(files), given.progress)
    given.state.mkdir(parents=True, exist_ok=True)
    copier = Copier(hub, bucket, prefix, States(given.state), clock, max(1, int(given.chunk_mib * 4)) * _MIB // 4)
    progress.start()
    try:
        copied = copy_all(copier, files, bucket.list(f"{prefix}/"), prefix, given.files, progress, clock)
    finally:
        progress.end()
    say(progress.line())
    complete = {
        "model": given.model,
        "revision": given.revision,
        "bytes": sum(one.size for one in copied),
        "files": [vars(one) for one in sorted(copied, key=lambda one: one.path)],
    }
    bucket.write(f"{prefix}/{COMPLETE}", json.dumps(complete, indent=2).encode())
    say(f"complete: {len(copied)} files, {complete['bytes']} bytes")


def main(arguments: list[str] | None = None) -> int:
    """Copies a model; the exit code is 0 when everything is there and right."""
    given = _arguments(arguments)
    clock = Clock(given.backoff)
    # The first process of a container ends by a signal only if it says so itself.
    signal.signal(signal.SIGTERM, lambda *_: clock.stop.set())
    try:
        _run(given, clock)
    except StoppedError:
        say("stopped; what is under way goes on with the next start")
        return 128 + signal.SIGTERM
    except CopyError as failure:
        print(f"failed: {failure}", file=sys.stderr, flush=True)
        return 1
    except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
        print(f"failed: an answer or a file cannot be read: {_reason(error)}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
