"""What `quota` asks of Google's own client library; `test_quota.py` runs this in a process of its own."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from google.auth.credentials import AnonymousCredentials
from google.oauth2.credentials import Credentials

from gke_llm_inference.cli import quota_reader
from gke_llm_inference.cli.quota_reader import ComputeEngine, QuotaError, read_quotas
from gke_llm_inference.planning.quota import QuotaUse
from tests.http_server import served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "not-to-be-shown"


class Api(BaseHTTPRequestHandler):
    """Compute Engine's API as far as quotas go, in the form of its reference."""

    asked: ClassVar[list[tuple[str, str | None]]] = []
    status: ClassVar[int] = 200

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        type(self).asked.append((path, self.headers.get("Authorization")))
        body: dict[str, Any] = {"error": {"code": 403, "message": f"denied to {self.headers.get('Authorization')}"}}
        if self.status == 200:
            metric = "NVIDIA_L4_GPUS" if "/regions/" in path else "GPUS_ALL_REGIONS"
            body = {"kind": "compute#quotas", "quotas": [{"metric": metric, "limit": 8.0, "usage": 3.0}]}
        content = json.dumps(body).encode()
        self.send_response(self.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Says nothing."""


@pytest.fixture
def api() -> Iterator[str]:
    Api.asked.clear()
    Api.status = 200
    with served(HTTPServer(("127.0.0.1", 0), Api)) as address:
        yield address


def test_googles_library_reads_region_and_project(api: str) -> None:
    nobody = AnonymousCredentials()  # type: ignore[no-untyped-call]
    found = read_quotas("acme-ml", "us-central1", ComputeEngine(nobody, api, "http"))
    assert found == {
        "GPUS_ALL_REGIONS": QuotaUse(limit=8.0, used=3.0),
        "NVIDIA_L4_GPUS": QuotaUse(limit=8.0, used=3.0),
    }
    assert [path for path, _ in Api.asked] == [
        "/compute/v1/projects/acme-ml",
        "/compute/v1/projects/acme-ml/regions/us-central1",
    ]


def test_a_refusal_says_what_is_needed_and_no_credential(api: str) -> None:
    Api.status = 403
    somebody = Credentials(token=TOKEN)  # type: ignore[no-untyped-call]
    source = ComputeEngine(somebody, api, "http")
    with pytest.raises(QuotaError) as refused:
        read_quotas("acme-ml", "us-central1", source)
    assert "answers 403; reading quotas takes compute.regions.get" in str(refused.value)
    assert Api.asked[0][1] == f"Bearer {TOKEN}"
    assert TOKEN not in str(refused.value)
    assert refused.value.__cause__ is None


def test_without_credentials_gcloud_is_asked_for_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "gcloud"
    program.write_text(
        f"#!/bin/sh\ntest \"$*\" = 'auth print-access-token --quiet' && echo {TOKEN}\n", encoding="utf-8"
    )
    program.chmod(0o755)
    none_found(monkeypatch)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert quota_reader.user_credentials().token == TOKEN


def test_without_credentials_and_gcloud_it_says_how_to_sign_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    none_found(monkeypatch)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(QuotaError, match="gcloud auth application-default login, or use --offline"):
        quota_reader.user_credentials()


def none_found(monkeypatch: pytest.MonkeyPatch) -> None:
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    def default(**_: object) -> None:
        raise DefaultCredentialsError("none")  # type: ignore[no-untyped-call]

    monkeypatch.setattr(google.auth, "default", default)
