"""The subcommand `images`: which images a stack runs, and digests that are recorded from a registry."""

from __future__ import annotations

import hashlib
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gke_llm_inference.cli.main import main
from gke_llm_inference.cli.registry import RegistryError, digest_of, reference_of
from gke_llm_inference.cli.stack_file import with_value
from gke_llm_inference.errors import ConfigError
from tests.http_server import served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "gke-llm-inference:imageDigests"
STACK = """\
# what the file is for
config:
  gcp:project: acme-ml
  gke-llm-inference:cluster: {{mode: autopilot, location: us-central1}}
  # the servers
  gke-llm-inference:servers:
    one: {{server: vllm, model: Qwen/Qwen2.5-7B-Instruct, maxModelLen: 4096, image: "{image}"}}
    two: {{server: vllm, model: Qwen/Qwen2.5-7B-Instruct, maxModelLen: 4096, image: "{image}"}}
# the end
"""


def digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


class Registry(ThreadingHTTPServer):
    """One that gives anybody a token, as Docker Hub does, and knows `team/vllm`."""

    daemon_threads = True
    content = "first"
    answers: dict[str, str] | None = None

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Registry

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.server.asked.append((self.command, self.path))
        body, status, headers = b"", 200, dict(self.server.answers or {})
        if self.path.startswith("/token"):
            body = b'{"token": "for-anybody"}'
        elif self.headers.get("Authorization") != "Bearer for-anybody":
            realm = f"http://{self.server.host}/token"
            scope = "repository:team/vllm:pull"
            headers = {"WWW-Authenticate": f'Bearer realm="{realm}",service="registry",scope="{scope}"'}
            status = 401
        elif self.path != "/v2/team/vllm/manifests/v0.26.0":
            status = 404
        elif self.server.answers is None:
            assert "application/vnd.oci.image.index.v1+json" in self.headers["Accept"]
            headers = {"Docker-Content-Digest": digest(self.server.content)}
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def registry() -> Iterator[Registry]:
    running = Registry()
    with served(running):
        yield running


@pytest.fixture
def stack(registry: Registry, tmp_path: Path) -> Path:
    path = tmp_path / "Pulumi.prod.yaml"
    path.write_text(STACK.format(image=f"{registry.host}/team/vllm:v0.26.0"))
    return path


def test_what_is_recorded_is_what_runs(registry: Registry, stack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image, before = f"{registry.host}/team/vllm:v0.26.0", stack.read_text()
    assert main(["images", "--config-file", str(stack)]) == 0
    assert capsys.readouterr().out == f"{image}\n  no digest\n  one, two\n"
    assert registry.asked == []

    assert main(["images", "--config-file", str(stack), "--record"]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{image}\n  {digest('first')}\n  one, two\n"
    assert shown.err == f"wrote 1 digest to {stack}\n"
    assert [method for method, _ in registry.asked] == ["HEAD", "GET", "HEAD"]
    assert stack.read_text() == before.replace("# the end", f"  {KEY}:\n    {image}: {digest('first')}\n# the end")
    assert main(["plan", "--config-file", str(stack), "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert [server["image"] for server in planned["servers"].values()] == [f"{image}@{digest('first')}"] * 2

    # The tag is moved: nothing changes until somebody records again.
    registry.content = "second"
    assert main(["images", "--config-file", str(stack), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"image": image, "digest": digest("first"), "servers": ["one", "two"], "pulledAs": image}
    ]
    assert main(["images", "--config-file", str(stack), "--record"]) == 0
    assert stack.read_text() == before.replace("# the end", f"  {KEY}:\n    {image}: {digest('second')}\n# the end")


def test_an_image_that_comes_through_a_repository_is_recorded_by_where_it_comes_from(
    stack: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gke_llm_inference.cli.registry.digest_of", digest)
    stack.write_text(
        STACK.format(image="team/vllm:v0.26.0").replace(
            "  # the servers", "  gke-llm-inference:imageRegistry: {mode: existing, repositories: {docker.io: hub}}"
        )
    )
    image, pulled = "docker.io/team/vllm:v0.26.0", "us-central1-docker.pkg.dev/acme-ml/hub/team/vllm:v0.26.0"
    assert main(["images", "--config-file", str(stack), "--record"]) == 0
    assert capsys.readouterr().out == f"{image}\n  {digest(image)}\n  one, two\n  pulled as {pulled}\n"
    assert yaml.safe_load(stack.read_text())["config"][KEY] == {image: digest(image)}
    assert main(["plan", "--config-file", str(stack), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["servers"]["one"]["image"] == f"{pulled}@{digest(image)}"
    assert document["imageRegistry"] == {
        "project": "acme-ml",
        "location": "us-central1",
        "creates": False,
        "repositories": {
            "docker.io": {"address": "us-central1-docker.pkg.dev/acme-ml/hub", "username": None},
        },
    }
    assert main(["plan", "--config-file", str(stack)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Images of docker.io come through us-central1-docker.pkg.dev/acme-ml/hub" in text
    assert main(["images", "--config-file", str(stack), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"image": image, "digest": digest(image), "servers": ["one", "two"], "pulledAs": pulled}
    ]


def test_the_image_of_what_copies_models_is_one_of_the_stacks(
    stack: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gke_llm_inference.cli.registry.digest_of", digest)
    commit = "a" * 40
    models = f"[{{model: Qwen/Qwen2.5-7B-Instruct, revision: {commit}}}]"
    store = f'{{bucket: {{mode: create}}, projectNumber: "123456789012", models: {models}}}'
    stack.write_text(
        STACK.format(image="team/vllm:v0.26.0").replace("  # the servers", f"  gke-llm-inference:modelStore: {store}")
    )
    assert main(["images", "--config-file", str(stack), "--record", "--json"]) == 0
    rows = {one["image"]: one["servers"] for one in json.loads(capsys.readouterr().out)}
    image = "docker.io/library/python:3.13.9-slim"
    assert rows == {image: ["modelStore"], "team/vllm:v0.26.0": ["one", "two"]}
    assert yaml.safe_load(stack.read_text())["config"][KEY][image] == digest(image)


def test_an_image_with_a_digest_of_its_own_is_left_alone(
    registry: Registry, stack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = f"{registry.host}/team/vllm:v0.26.0@{digest('chosen')}"
    stack.write_text(STACK.format(image=own))
    assert main(["images", "--config-file", str(stack), "--record"]) == 0
    assert (registry.asked, stack.read_text()) == ([], STACK.format(image=own))
    assert digest("chosen") in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, "it answers 404, as without a login or for an unknown image"),
        ({"answers": {}}, "its answer names no digest"),
        ({"answers": {"Docker-Content-Digest": "sha256:short"}}, "its answer names no digest"),
    ],
)
def test_a_registry_that_does_not_tell_leaves_the_file_as_it_is(
    registry: Registry, stack: Path, change: dict[str, Any], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in change.items():
        setattr(registry, name, value)
    if not change:
        stack.write_text(stack.read_text().replace("v0.26.0", "v0.33.0"))
    before = stack.read_text()
    assert main(["images", "--config-file", str(stack), "--record"]) == 1
    shown = capsys.readouterr()
    assert (shown.out, stack.read_text()) == ("", before)
    assert f"the registry {registry.host} does not tell the digest: {reason}" in shown.err
    assert "write the digest under imageDigests yourself" in shown.err


def test_a_registry_that_is_not_there() -> None:
    with pytest.raises(RegistryError, match=r"127\.0\.0\.1:1 does not tell the digest: .*refused"):
        digest_of("127.0.0.1:1/team/vllm:v1")


@pytest.mark.parametrize(
    ("image", "address"),
    [
        ("vllm/vllm-openai:v0.26.0", "https://registry-1.docker.io/v2/vllm/vllm-openai/manifests/v0.26.0"),
        ("docker.io/vllm/vllm-openai:v1", "https://registry-1.docker.io/v2/vllm/vllm-openai/manifests/v1"),
        ("redis", "https://registry-1.docker.io/v2/library/redis/manifests/latest"),
        ("ghcr.io/huggingface/tgi:3.3.6", "https://ghcr.io/v2/huggingface/tgi/manifests/3.3.6"),
        ("europe-docker.pkg.dev/p/r/i:t", "https://europe-docker.pkg.dev/v2/p/r/i/manifests/t"),
        ("localhost:5000/i", "http://localhost:5000/v2/i/manifests/latest"),
    ],
)
def test_where_an_image_is_looked_up(image: str, address: str) -> None:
    assert reference_of(image).manifest == address


def test_a_digest_that_nothing_uses_is_warned_of(stack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = "docker.io/vllm/vllm-openai:v0.10.0"
    stack.write_text(with_value(stack.read_text(), KEY, {other: digest("x")}))
    assert main(["plan", "--config-file", str(stack)]) == 0
    assert f"imageDigests.{other}: is not the image of any server" in " ".join(capsys.readouterr().out.split())


_TEXTS = st.dictionaries(
    st.from_regex(r"[a-z]{1,8}(:[a-z0-9]{1,5})?", fullmatch=True), st.just(digest("x")), max_size=3
)
_OTHER = st.sampled_from(
    [
        "text",
        "{a: [1, 2]}",
        "\n    b: 1\n    c:\n    - d\n    - e",
        "|\n    one\n    two",
        "\n    - 1\n    # note\n    - 2",
    ]
)


@given(before=st.lists(_OTHER, min_size=1, max_size=3), after=st.lists(_OTHER, max_size=3), old=_TEXTS, new=_TEXTS)
def test_every_other_byte_of_the_file_stays(
    before: list[str], after: list[str], old: dict[str, str], new: dict[str, str]
) -> None:
    def lines(values: list[str], name: str) -> str:
        return "".join(f"  # about {name}{n}\n  {name}{n}: {value}\n" for n, value in enumerate(values))

    def file(value: dict[str, str]) -> str:
        return with_value(f"config:\n{lines(before, 'b')}", KEY, value) + lines(after, "a") + "# end\n"

    changed = with_value(file(old), KEY, new)
    assert yaml.safe_load(changed)["config"].get(KEY, {}) == new
    if old and new:
        assert changed == file(new)
    assert with_value(changed, KEY, {}) == file({})


@pytest.mark.parametrize("text", ["", "[]", "config: {a: 1}\n", "config:\n", "a: [\n", "config: text\n"])
def test_what_is_not_a_stack_file(text: str) -> None:
    with pytest.raises(ConfigError, match="the stack's file"):
        with_value(text, KEY, {"a": "b"})
