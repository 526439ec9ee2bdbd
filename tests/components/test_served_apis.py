"""Waiting for the API of a custom resource, against a stand-in for the API server that speaks HTTPS."""

import asyncio
import base64
import json
import ssl
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from pulumi.runtime import mocks

from components import served_apis
from components.api_server import ApiServer, NoAnswerError, RefusedError
from components.served_apis import ServedApis
from local.gke.certificates import Authority
from tests.http_server import served

API, KIND = "gateway.networking.k8s.io/v1", "Gateway"
TOKEN = "ya29.plantedPlantedPlanted0123456789"
Answer = tuple[int, Any]
SERVED: Answer = (200, {"resources": [{"kind": "HTTPRoute"}, {"kind": KIND}]})
UNSERVED: Answer = (404, {"kind": "Status", "code": 404})


@dataclass
class StandIn:
    """An API server: it gives its answers one after the other, and the last one from then on."""

    address: str
    authority: Path
    answers: list[Answer] = field(default_factory=lambda: [SERVED])
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def kubeconfig(self, user: Mapping[str, Any], **cluster: Any) -> str:
        authority = base64.b64encode(self.authority.read_bytes()).decode()
        return yaml.safe_dump(
            {
                "clusters": [
                    {
                        "name": "c",
                        "cluster": {"server": self.address, "certificate-authority-data": authority, **cluster},
                    }
                ],
                "users": [{"name": "u", "user": dict(user)}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[StandIn]:
    authority = Authority(tmp_path, "authority")
    pair = authority.server("server")
    made = StandIn("", authority.files.certificate)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append((self.path, self.headers.get("Authorization")))
            code, body = made.answers.pop(0) if len(made.answers) > 1 else made.answers[0]
            self.send_response(code)
            if code == 302:
                self.send_header("Location", f"{made.address}/elsewhere")
            self.end_headers()
            self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 the base has it
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    made.address = f"https://127.0.0.1:{server.server_port}"
    with served(server):
        yield made


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is logged; pauses are as short as can be."""
    told: list[str] = []
    monkeypatch.setattr(pulumi.log, "info", lambda message, *_: told.append(message))
    monkeypatch.setattr(served_apis, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(served_apis, "LONGEST_PAUSE_SECONDS", 0.001)
    return told


class Nothing(mocks.Mocks):
    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        raise AssertionError(args.name)

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        raise AssertionError(args.token)


def in_pulumi(action: Callable[[], Awaitable[Any]], *, preview: bool = False) -> Any:
    """What `action` gives in a program."""

    async def run() -> Any:
        mocks.set_mocks(Nothing(), project="p", stack="s", preview=preview)
        return await action()

    return asyncio.run(run())


async def name_of(value: pulumi.Input[str]) -> tuple[str | None, bool, set[Any]]:
    """A value that waited: itself, whether it is secret, and what it depends on."""
    output = pulumi.Output.from_input(value)
    return await output.future(), await output.is_secret(), await output.resources()


def waited(kubeconfig: str, *, limit: int = 60, preview: bool = False) -> tuple[str | None, bool, set[Any]]:
    async def action() -> tuple[str | None, bool, set[Any]]:
        apis = ServedApis(pulumi.Output.secret(kubeconfig), limits={"": limit})
        return await name_of(apis.once_served(API, KIND, "edge"))

    found: tuple[str | None, bool, set[Any]] = in_pulumi(action, preview=preview)
    return found


def test_a_kind_that_is_served_already_is_asked_for_once_and_nothing_is_said(
    stand_in: StandIn, messages: list[str]
) -> None:
    assert waited(stand_in.kubeconfig({"token": TOKEN})) == ("edge", False, set())
    assert stand_in.asked == [("/apis/gateway.networking.k8s.io/v1", f"Bearer {TOKEN}")]
    assert messages == []


def test_a_late_kind_is_waited_for_through_everything_that_passes(stand_in: StandIn, messages: list[str]) -> None:
    stand_in.answers = [
        UNSERVED,
        (503, {}),
        (401, {}),
        (200, b"{broken"),
        (200, {"resources": [{"kind": "Other"}]}),
        SERVED,
    ]
    assert waited(stand_in.kubeconfig({"token": TOKEN}))[0] == "edge"
    assert len(stand_in.asked) == 6
    assert messages == [
        "waiting for Gateway of gateway.networking.k8s.io/v1: it is not served yet (0 s of at most 60 s)",
        "Gateway of gateway.networking.k8s.io/v1 is served, after 0 s",
    ]


def test_two_resources_of_a_kind_wait_once(stand_in: StandIn, messages: list[str]) -> None:
    stand_in.answers = [UNSERVED, SERVED]

    async def action() -> list[str | None]:
        apis = ServedApis(pulumi.Output.from_input(stand_in.kubeconfig({"token": TOKEN})), limits={"": 60})
        both = [name_of(apis.once_served(API, KIND, name)) for name in ("one", "other")]
        return [found[0] for found in await asyncio.gather(*both)]

    assert in_pulumi(action) == ["one", "other"]
    assert len(stand_in.asked) == 2


def test_the_limit_is_stated(stand_in: StandIn, messages: list[str]) -> None:
    stand_in.answers = [UNSERVED]
    with pytest.raises(pulumi.RunError) as caught:
        waited(stand_in.kubeconfig({"token": TOKEN}), limit=0)
    assert str(caught.value) == (
        "Gateway of gateway.networking.k8s.io/v1: it is not served yet, after 0 s\n"
        "  why: GKE installs the definitions of custom resources some time after it has made a cluster, and those of "
        "the Gateway API only where its channel is on\n"
        "  fix: run `pulumi up` again, which continues; if it stays so, see docs/access.md"
    )


def test_each_group_has_its_limit() -> None:
    apis = ServedApis(limits={"": 900, "cloud.google.com": 3600})
    assert [apis._limit(one) for one in ("cloud.google.com/v1", API)] == [3600, 900]


def test_a_server_that_is_not_who_it_should_be_gets_no_token(
    stand_in: StandIn, messages: list[str], tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    stand_in.authority = Authority(tmp_path / "other", "authority").files.certificate
    with pytest.raises(pulumi.RunError, match="the API server's certificate is not trusted"):
        waited(stand_in.kubeconfig({"token": TOKEN}))
    assert stand_in.asked == []


def test_a_refusal_ends_the_wait(stand_in: StandIn, messages: list[str]) -> None:
    stand_in.answers = [(403, {}), SERVED]
    with pytest.raises(pulumi.RunError) as caught:
        waited(stand_in.kubeconfig({"token": TOKEN}))
    assert "the API server refuses to say which APIs it serves (403)" in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_a_token_goes_nowhere_else(stand_in: StandIn) -> None:
    stand_in.answers = [(302, {}), SERVED]
    server = ApiServer.of_kubeconfig(stand_in.kubeconfig({"token": TOKEN}))
    with pytest.raises(NoAnswerError, match="answered 302"):
        server.serves(API, KIND)
    assert len(stand_in.asked) == 1


def test_a_preview_asks_nothing_and_knows_the_value(stand_in: StandIn, messages: list[str]) -> None:
    async def action() -> Any:
        apis = ServedApis(pulumi.Output.from_input("{"), limits={})
        return apis.once_served(API, KIND, "edge")

    assert in_pulumi(action, preview=True) == "edge"
    assert (stand_in.asked, messages) == ([], [])


def plugin(directory: Path, text: str) -> dict[str, Any]:
    """A user whose credentials a program gives, which writes down what it was told."""
    path = directory / "plugin.py"
    path.write_text(
        f"import os, pathlib, sys\n"
        f"pathlib.Path({str(directory / 'told')!r}).write_text(os.environ['KUBERNETES_EXEC_INFO'] + sys.argv[1])\n"
        f"sys.stderr.write('{TOKEN}')\n{text}\n"
    )
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1beta1",
            "command": sys.executable,
            "args": [str(path), "$(touch nothing)"],
            "provideClusterInfo": True,
        }
    }


def test_credentials_of_a_program_are_fetched_without_a_shell_and_again_when_they_expire(
    stand_in: StandIn, tmp_path: Path
) -> None:
    answer = json.dumps({"status": {"token": TOKEN}})
    stand_in.answers = [SERVED, (401, {}), SERVED]
    server = ApiServer.of_kubeconfig(stand_in.kubeconfig(plugin(tmp_path, f"print({answer!r})")))
    assert server.serves(API, KIND)
    told = (tmp_path / "told").read_text()
    assert told.endswith("}$(touch nothing)")
    info = json.loads(told.removesuffix("$(touch nothing)"))
    assert info["spec"]["cluster"]["server"] == stand_in.address
    (tmp_path / "told").unlink()
    with pytest.raises(NoAnswerError, match="answered 401"):
        server.serves(API, KIND)
    assert not (tmp_path / "told").exists()
    assert server.serves(API, KIND)
    assert (tmp_path / "told").exists()
    assert {header for _, header in stand_in.asked} == {f"Bearer {TOKEN}"}


@pytest.mark.parametrize("text", ["raise SystemExit(3)", "print('no JSON')", "print('{\"status\": 1}')"])
def test_a_program_that_gives_no_credentials_may_give_some_later(stand_in: StandIn, tmp_path: Path, text: str) -> None:
    server = ApiServer.of_kubeconfig(stand_in.kubeconfig(plugin(tmp_path, text)))
    with pytest.raises(NoAnswerError, match="gave no credentials") as caught:
        server.serves(API, KIND)
    assert TOKEN not in str(caught.value)
    assert stand_in.asked == []


def test_a_program_that_is_missing_is_named_with_its_hint(stand_in: StandIn) -> None:
    user = {"exec": {"command": "no-such-plugin", "installHint": "gcloud components install it"}}
    with pytest.raises(RefusedError) as caught:
        ApiServer.of_kubeconfig(stand_in.kubeconfig(user)).serves(API, KIND)
    assert (caught.value.what, caught.value.fix) == (
        "no-such-plugin cannot be started: No such file or directory",
        "gcloud components install it",
    )


def test_a_context_is_found_in_the_files_of_the_machine(stand_in: StandIn, tmp_path: Path) -> None:
    (tmp_path / "first").write_text(yaml.safe_dump({"current-context": "elsewhere"}))
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "second").write_text(stand_in.kubeconfig({"tokenFile": "token"}))
    environment = {"KUBECONFIG": f"{tmp_path / 'first'}:{tmp_path / 'second'}:{tmp_path / 'missing'}"}
    assert ApiServer.of_context("x", environment).serves(API, KIND)
    assert stand_in.asked[0][1] == f"Bearer {TOKEN}"
    own = {"KUBECONFIG": str(tmp_path / "first"), "GKE_LLM_INFERENCE_KUBECONFIG": str(tmp_path / "second")}
    assert ApiServer.of_context("x", own).serves(API, KIND)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"server": "http://127.0.0.1:1"}, "its server has no address that starts with https://"),
        ({"tls-server-name": "x"}, "it has tls-server-name, which is not supported here"),
        ({"certificate-authority-data": "%"}, "certificate-authority-data is not base64"),
        ({"certificate-authority-data": "", "certificate-authority": "none"}, "cannot be read: No such file"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_refused(stand_in: StandIn, change: Mapping[str, Any], what: str) -> None:
    with pytest.raises(RefusedError) as caught:
        ApiServer.of_kubeconfig(stand_in.kubeconfig({"token": TOKEN}, **change)).serves(API, KIND)
    assert what in caught.value.what
    assert TOKEN not in repr(caught.value)


def test_a_cluster_that_is_not_known_is_never_another_one(
    stand_in: StandIn, messages: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in an update of some resources alone: the machine's own context is not the stack's cluster."""
    (tmp_path / "kubeconfig").write_text(stand_in.kubeconfig({"token": TOKEN}))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))

    async def action() -> Any:
        unknown: pulumi.Output[str] = pulumi.Output.from_input(pulumi.Output.from_input("")).apply(lambda _: None)  # type: ignore[arg-type,return-value]
        return await name_of(ServedApis(unknown, limits={"": 60}).once_served(API, KIND, "edge"))

    with pytest.raises(pulumi.RunError, match="the kubeconfig of the cluster is not known"):
        in_pulumi(action)
    assert stand_in.asked == []
