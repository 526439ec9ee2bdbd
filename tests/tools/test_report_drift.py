"""One issue per stack about drift: opened, edited, closed, and without values."""

from __future__ import annotations

import json
import subprocess
import sys
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from gke_llm_inference.errors import UsageError
from gke_llm_inference.pulumi_project.project import check_stack_name
from tests.support import REPOSITORY as ROOT
from tests.tools.fake_github import BOT, REPOSITORY, TOKEN, FakeGitHub, fake_github
from tools.report_drift import drift_of, main, report

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

URL = "https://github.com/acme/inference/actions/runs/1"
MARKER = "<!-- gke-llm-inference drift prod -->"


def urn(type_: str, name: str) -> str:
    return f"urn:pulumi:prod::gke-llm-inference::gke-llm-inference:index:GkeCluster${type_}::{name}"


CLUSTER = urn("gcp:container/cluster:Cluster", "gke-cluster")
POOL = urn("gcp:container/nodePool:NodePool", "l4")
DRIFTED = {
    "steps": [
        {"op": "same", "urn": urn("gcp:compute/network:Network", "vpc")},
        {"op": "refresh", "urn": POOL, "detailedDiff": {"autoscaling.maxNodeCount": {"kind": "update"}}},
        {"op": "delete", "urn": CLUSTER, "oldState": {"outputs": {"masterAuth": "planted-value"}}},
    ],
    "changeSummary": {"same": 20, "update": 1, "delete": 1},
}
CLEAN = {"steps": [], "changeSummary": {"same": 22}}


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    """A repository without issues."""
    with fake_github() as fake:
        yield fake


def issue(number: int, body: str | None, **more: Any) -> dict[str, Any]:
    return {"number": number, "body": body, "user": {"login": BOT}, **more}


def test_drift_opens_an_issue_that_names_resources_and_properties_but_no_value(github: FakeGitHub) -> None:
    github.issues = [issue(3, MARKER.replace("prod", "staging")), issue(4, None), issue(5, MARKER, pull_request={})]
    assert report(github.github(), "prod", drift_of(DRIFTED), URL) == "prod: drift, issue 77 opened"
    ((method, path, content),) = github.writes
    assert (method, path, content["title"]) == ("POST", "issues", "Drift in prod")
    assert content["body"].splitlines()[:5] == [
        MARKER,
        f"The cloud differs from the state of `prod`: 1 `delete`, 1 `update`. [The check]({URL}) runs every night.",
        "",
        "- `gcp:container/cluster:Cluster` `gke-cluster`",
        "- `gcp:container/nodePool:NodePool` `l4`: `autoscaling.maxNodeCount`",
    ]
    assert "planted-value" not in content["body"]


def test_the_issue_is_edited_while_the_drift_lasts(github: FakeGitHub) -> None:
    github.issues = [*(issue(number, "other") for number in range(100)), issue(200, f"{MARKER}\nold")]
    assert report(github.github(), "prod", drift_of(DRIFTED), URL) == "prod: drift, issue 200 edited"
    assert [(method, path) for method, path, _ in github.writes] == [("PATCH", "issues/200")]


def test_the_issue_is_closed_when_the_drift_is_gone(github: FakeGitHub) -> None:
    github.issues = [issue(8, MARKER)]
    assert report(github.github(), "prod", drift_of(CLEAN), URL) == "prod: no drift any more, issue 8 closed"
    assert github.writes == [
        ("POST", "issues/8/comments", {"body": f"The state and the cloud agree again: {URL}"}),
        ("PATCH", "issues/8", {"state": "closed", "state_reason": "completed"}),
    ]


def test_without_drift_and_issue_nothing_is_written(github: FakeGitHub) -> None:
    assert report(github.github(), "prod", drift_of(CLEAN), URL) == "prod: no drift"
    assert github.writes == []


def test_a_huge_drift_stays_bounded_and_names_cannot_break_out(github: FakeGitHub) -> None:
    names = ["!`@all\n# hi", *map(str, range(500))]
    properties: dict[str, Any] = {str(number): {} for number in range(50)}
    steps = [{"op": "update", "urn": urn("a:b:C", name), "detailedDiff": properties} for name in names]
    report(github.github(), "prod", drift_of({"steps": steps, "changeSummary": {"update": 501}}), URL)
    body = github.writes[0][2]["body"]
    assert "- and 401 more\n" in body
    assert "`!?@all?# hi`" in body
    assert " and 40 more\n" in body
    assert len(body) < 20_000


def test_what_leaves_the_job_has_no_value_and_gives_the_same_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = {
        **DRIFTED,
        "config": {"gke-llm-inference:huggingFaceToken": "planted-value"},
        "diagnostics": [{"message": "planted-value"}],
        "steps": [
            *DRIFTED["steps"],
            {
                "op": "update",
                "urn": POOL,
                "diffReasons": ["labels"],
                "oldState": {"inputs": {"labels": "planted-value"}},
                "newState": {"outputs": {"labels": "planted-value"}},
                "detailedDiff": {"labels.team": {"kind": "update", "old": "planted-value", "new": "planted-value"}},
            },
        ],
    }
    monkeypatch.setattr("sys.stdin", StringIO(json.dumps(whole)))
    assert main(["--without-values"]) == 0
    printed = capsys.readouterr().out
    assert "planted-value" not in printed
    assert drift_of(json.loads(printed)) == drift_of(whole)
    assert json.loads(printed).keys() == {"changeSummary", "steps"}
    assert {key for step in json.loads(printed)["steps"] for key in step} == {"op", "urn", "detailedDiff"}


@pytest.mark.parametrize("text", ["", "planted-value", "[]", '{"changeSummary": {"same": "planted-value"}}'])
def test_what_is_no_digest_is_refused_and_not_quoted(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", StringIO(text))
    assert main(["--without-values"]) == 1
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "error: this is not a digest of a preview\n")


def test_the_workflow_keeps_no_refresh() -> None:
    steps = yaml.safe_load((ROOT / ".github" / "workflows" / "drift.yml").read_text("utf-8"))["jobs"]["detect"]["steps"]
    (script,) = [step["run"] for step in steps if "pulumi refresh" in step.get("run", "")]
    (kept,) = [step["with"]["path"] for step in steps if "upload-artifact" in step.get("uses", "")]
    written = [line for line in script.splitlines() if f'> "{kept}/' in line]
    assert len(written) == 1
    assert "--without-values" in written[0]


@pytest.mark.parametrize("digest", [[], {}, {"changeSummary": None}, {"steps": []}])
def test_what_is_no_digest_is_an_error_and_never_taken_for_no_drift(digest: Any) -> None:
    with pytest.raises(ValueError, match="changeSummary is missing"):
        drift_of(digest)


def test_the_command_fails_on_an_empty_digest_and_reports_a_whole_one(
    github: FakeGitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_API_URL", github.address)
    monkeypatch.setenv("GITHUB_REPOSITORY", REPOSITORY)
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    path = tmp_path / "prod.json"
    arguments = ["--stack", "prod", "--digest", str(path), "--run-url", URL]
    path.write_text("")
    assert main(arguments) == 1
    assert github.writes == []
    path.write_text(json.dumps(DRIFTED))
    assert main(arguments) == 0
    assert capsys.readouterr().out == "prod: drift, issue 77 opened\n"


@pytest.mark.parametrize("name", ["", "..", "a b", "a/b", "a\nb", "x" * 101])
def test_what_no_stack_can_be_called_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([f"--stack={name}", "--digest", "drift.json", "--run-url", URL])
    assert ended.value.code == 2
    assert "--stack is not a valid stack name: " in capsys.readouterr().err
    with pytest.raises(UsageError, match="is not a valid stack name"):
        check_stack_name(name)


def test_it_needs_nothing_but_python() -> None:
    command = [sys.executable, "-S", "-m", "tools.report_drift", "--help"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
