"""The subcommand `models` of a stack: what it serves at which revision, and commits that are recorded from the hub."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
import yaml

from gke_llm_inference.cli.hub import HubError, commit_of
from gke_llm_inference.cli.main import main
from tests.http_server import served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "gke-llm-inference:modelRevisions"
MODEL = "Qwen/Qwen2.5-7B-Instruct"
FIRST, SECOND = "1" * 40, "2" * 40
TOKEN = "hf_planted-for-the-hub"
STACK = """\
# what the file is for
config:
  gcp:project: acme-ml
  gke-llm-inference:cluster: {mode: autopilot, location: us-central1}
  # the servers
  gke-llm-inference:servers:
    one: {server: vllm, model: Qwen/Qwen2.5-7B-Instruct, maxModelLen: 4096}
    two: {server: vllm, model: Qwen/Qwen2.5-7B-Instruct, maxModelLen: 4096, revision: stable}
# the end
"""


class Hub(ThreadingHTTPServer):
    """One that knows the model, and its branch main."""

    daemon_threads = True

    def __init__(self) -> None:
        self.commit: Any = FIRST
        self.status, self.code = 200, ""
        self.location = ""
        self.asked: list[tuple[str, str]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        hub = self.server
        hub.asked.append((unquote(self.path), self.headers.get("Authorization", "")))
        body = json.dumps({"sha": hub.commit}).encode()
        self.send_response(hub.status)
        if hub.code:
            self.send_header("X-Error-Code", hub.code)
        if hub.location:
            self.send_header("Location", hub.location)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    running = Hub()
    with served(running):
        monkeypatch.setenv("HF_ENDPOINT", running.address)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "nowhere"))
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH"):
            monkeypatch.delenv(name, raising=False)
        yield running


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    path = tmp_path / "Pulumi.prod.yaml"
    path.write_text(STACK)
    return path


def test_what_is_recorded_is_what_runs(hub: Hub, stack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = stack.read_text()
    assert main(["models", "--config-file", str(stack)]) == 0
    assert capsys.readouterr().out == f"{MODEL}\n  no revision\n  one\n{MODEL}\n  stable\n  two\n"
    assert hub.asked == []
    assert main(["models", "--config-file", str(stack), "--record"]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{MODEL}\n  {FIRST}\n  one\n{MODEL}\n  stable\n  two\n"
    assert shown.err == f"wrote 1 commit to {stack}\n"
    assert hub.asked == [(f"/api/models/{MODEL}/revision/main", "")]
    after = stack.read_text()
    assert yaml.safe_load(after)["config"].pop(KEY) == {MODEL: FIRST}
    kept = [line for line in after.splitlines() if "modelRevisions" not in line and FIRST not in line]
    assert kept == before.splitlines()
    assert main(["plan", "--config-file", str(stack), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["servers"]["one"]["revision"] == FIRST
    assert f"--revision={FIRST}" in json.dumps(document["servers"]["one"])
    assert document["servers"]["two"]["revision"] == "stable"


def test_recording_again_takes_the_commit_of_that_day(hub: Hub, stack: Path) -> None:
    main(["models", "--config-file", str(stack), "--record"])
    hub.commit = SECOND
    main(["models", "--config-file", str(stack), "--record"])
    assert yaml.safe_load(stack.read_text())["config"][KEY] == {MODEL: SECOND}


def test_a_store_gets_the_commit_that_it_waits_for(hub: Hub, stack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reads = "maxModelLen: 4096, modelSource: {source: modelStore}}\n    two"
    text = STACK.replace("maxModelLen: 4096}\n    two", reads).replace(", revision: stable", "")
    text = text.replace(
        "  # the servers", '  gke-llm-inference:modelStore: {bucket: {mode: create}, projectNumber: "123456789012"}'
    )
    stack.write_text(text)
    assert main(["plan", "--config-file", str(stack)]) == 1
    assert "servers.one.revision: is missing" in capsys.readouterr().err
    assert main(["models", "--config-file", str(stack), "--record", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"model": MODEL, "revision": FIRST, "servers": ["one", "two"]}]
    assert main(["plan", "--config-file", str(stack), "--json"]) == 0
    (stored,) = json.loads(capsys.readouterr().out)["modelStore"]["models"]
    assert (stored["revision"], stored["readers"]) == (FIRST, ["one"])


@pytest.mark.parametrize("where", ["HF_TOKEN", "HF_TOKEN_PATH", "HF_HOME"])
def test_the_token_is_found_where_the_hubs_own_tools_find_it_and_is_not_shown(
    hub: Hub,
    stack: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    where: str,
) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    value = {"HF_TOKEN": TOKEN, "HF_TOKEN_PATH": str(tmp_path / "token"), "HF_HOME": str(tmp_path)}[where]
    monkeypatch.setenv(where, value)
    assert main(["models", "--config-file", str(stack), "--record"]) == 0
    assert hub.asked[0][1] == f"Bearer {TOKEN}"
    hub.status = 403
    assert main(["models", "--config-file", str(stack), "--record"]) == 1
    shown = capsys.readouterr()
    assert TOKEN not in shown.out + shown.err + stack.read_text()
    assert "your token does not show it" in shown.err


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"status": 404, "code": "RevisionNotFound"}, "it has no branch or tag main"),
        ({"status": 401}, "there is no such model, or it is private and you have no token"),
        ({"status": 307, "location": "/api/models/new/name"}, "it has another name now"),
        ({"status": 500}, "it answers 500"),
        ({"commit": "main"}, "its answer names no commit"),
        ({"commit": 7}, "its answer names no commit"),
    ],
)
def test_what_the_hub_refuses_is_told_and_nothing_is_written(
    hub: Hub, stack: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], told: str
) -> None:
    vars(hub).update(change)
    assert main(["models", "--config-file", str(stack), "--record"]) == 1
    assert f"error: {MODEL}: Hugging Face does not tell the commit: {told}\n  fix: " in capsys.readouterr().err
    assert stack.read_text() == STACK


def test_a_token_goes_nowhere_without_tls() -> None:
    with pytest.raises(HubError, match="HF_ENDPOINT is an address without TLS"):
        commit_of(MODEL, environment={"HF_ENDPOINT": "http://hub.example", "HF_TOKEN": TOKEN})


def test_who_does_not_answer_is_told() -> None:
    with pytest.raises(HubError, match="Hugging Face does not tell the commit"):
        commit_of(MODEL, environment={"HF_ENDPOINT": "http://127.0.0.1:9"})
