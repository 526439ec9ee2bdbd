"""The preview's comment: posted once, edited in place, and nothing that a stranger's artifact says is believed."""

from __future__ import annotations

import json
import re
import zipfile
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from markdown_it import MarkdownIt

from tests.support import REPOSITORY as REPOSITORY_ROOT
from tests.tools.fake_github import BOT, REPOSITORY, TOKEN, FakeGitHub, archive, fake_github
from tools import post_comment as poster
from tools.github_api import GitHubError
from tools.post_comment import LARGEST_COMMENT, MARKER, Refused, post_comment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORK = "stranger/inference"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
RUN = {"id": 5, "head_sha": COMMIT, "head_branch": "feature", "head_repository": {"full_name": FORK}}
COMMENT = f"{MARKER}\n### Preview\n"
NOTE = (
    "_Made without credentials by the code of this pull request at 0123456; "
    "a change of the preview's own code can change what it says._"
)
BODY = f"{MARKER}\n{NOTE}\n\n### Preview\n"


def pull(**changes: Any) -> dict[str, Any]:
    head = {"sha": COMMIT, "ref": "feature", "repo": {"full_name": FORK}}
    head.update({key: changes.pop(key) for key in ("sha", "ref", "repo") if key in changes})
    return {"state": "open", "head": head, "base": {"repo": {"full_name": REPOSITORY}}, **changes}


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    """A repository with pull request 12 from a fork, whose preview ran."""
    with fake_github() as fake:
        fake.artifacts[9] = archive(comment=COMMENT, pull_request="12\n")
        fake.pulls[12] = pull()
        yield fake


def comment(number: int, body: str, login: str = BOT) -> dict[str, Any]:
    return {"id": number, "body": body, "user": {"login": login}}


def refused(github: FakeGitHub) -> str:
    with pytest.raises(Refused) as caught:
        post_comment(github.github(), RUN)
    assert github.writes == []
    return str(caught.value)


def test_the_first_preview_of_a_pull_request_makes_a_comment(github: FakeGitHub) -> None:
    github.comments[12] = [comment(1, "Nice!", "reviewer")]
    assert post_comment(github.github(), RUN) == "pull request 12 got a comment"
    assert github.writes == [("POST", "issues/12/comments", {"body": BODY})]


def test_the_next_one_is_edited_in_place_on_whatever_page_it_is(github: FakeGitHub) -> None:
    github.comments[12] = [*(comment(number, "talk", "reviewer") for number in range(230)), comment(999, MARKER)]
    assert post_comment(github.github(), RUN) == "the comment of pull request 12 was edited"
    assert github.writes == [("PATCH", "issues/comments/999", {"body": BODY})]


def test_a_comment_that_says_it_already_is_left_alone(github: FakeGitHub) -> None:
    github.comments[12] = [comment(3, BODY)]
    assert post_comment(github.github(), RUN) == "the comment of pull request 12 says it already"
    assert github.writes == []


def test_a_comment_of_somebody_else_is_never_edited(github: FakeGitHub) -> None:
    github.comments[12] = [comment(3, f"{MARKER}\nmine", "reviewer"), comment(4, f"quoted: {MARKER}")]
    assert post_comment(github.github(), RUN) == "pull request 12 got a comment"
    assert [write[0] for write in github.writes] == ["POST"]


@pytest.mark.parametrize(
    "changes",
    [
        {"repo": {"full_name": "other/inference"}},
        {"repo": None},
        {"ref": "other"},
        {"state": "closed"},
        {"base": {"repo": {"full_name": "other/inference"}}},
    ],
    ids=["another fork", "a fork that is gone", "another branch", "closed", "another base"],
)
def test_a_pull_request_that_the_preview_did_not_run_for_is_refused(
    changes: dict[str, Any], github: FakeGitHub
) -> None:
    github.pulls[12] = pull(**changes)
    assert refused(github) == "the artifact names a pull request that the preview did not run for"


def test_another_pull_request_than_the_own_is_refused(github: FakeGitHub) -> None:
    github.artifacts[9] = archive(comment=COMMENT, pull_request="13")
    github.pulls[13] = pull(ref="victim", repo={"full_name": REPOSITORY})
    assert refused(github) == "the artifact names a pull request that the preview did not run for"


def test_a_pull_request_that_does_not_exist_fails(github: FakeGitHub) -> None:
    github.artifacts[9] = archive(comment=COMMENT, pull_request="14")
    with pytest.raises(GitHubError, match=r"^GET pulls/14: status 404$"):
        post_comment(github.github(), RUN)


def test_an_older_preview_does_not_overwrite_a_newer_one(github: FakeGitHub) -> None:
    github.pulls[12] = pull(sha="f" * 40)
    assert post_comment(github.github(), RUN) == ("pull request 12 has a newer commit; its own preview will say more")
    assert github.writes == []


def test_a_preview_without_an_artifact_makes_no_comment(github: FakeGitHub) -> None:
    github.artifacts.clear()
    assert post_comment(github.github(), RUN) == "the preview made no comment"
    assert github.writes == []


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (archive(comment=COMMENT), "the artifact has no pull-request"),
        (archive(pull_request="12"), "the artifact has no comment.md"),
        (archive(comment="### Approved", pull_request="12"), "the comment has no marker"),
        (archive(comment=COMMENT, pull_request="12/../13"), "pull-request holds no number"),
        (archive(comment=COMMENT, pull_request="0"), "pull-request holds no number"),
        (archive(comment=COMMENT, pull_request="١٢"), "pull-request holds no number"),
        (archive(comment=COMMENT, pull_request="1" * 33), "pull-request is larger than 32 bytes"),
        (archive(comment=COMMENT + "x" * 300_000, pull_request="12"), "comment.md is larger than 262144 bytes"),
        (archive(comment=b"\xff\xfe", pull_request="12"), "comment.md is not UTF-8 text"),
        (b"PK no archive", "the artifact cannot be read: BadZipFile"),
    ],
)
def test_a_malformed_artifact_is_refused(content: bytes, what: str, github: FakeGitHub) -> None:
    github.artifacts[9] = content
    assert refused(github) == what


def test_a_comment_as_long_as_github_takes_is_posted_and_a_longer_one_refused(github: FakeGitHub) -> None:
    room = LARGEST_COMMENT - len(BODY)
    github.artifacts[9] = archive(comment=COMMENT + "ä" * room, pull_request="12")
    post_comment(github.github(), RUN)
    assert len(github.writes.pop()[2]["body"]) == LARGEST_COMMENT
    github.artifacts[9] = archive(comment=COMMENT + "ä" * (room + 1), pull_request="12")
    assert refused(github) == "the comment is longer than 65536 characters"


def test_an_artifact_that_is_too_large_is_not_even_downloaded(github: FakeGitHub) -> None:
    github.sizes[9] = poster.LARGEST_ARTIFACT_BYTES + 1
    assert refused(github) == "the artifact is larger than 33554432 bytes"
    assert github.storage_headers == []


def test_an_artifact_that_lies_about_its_size_is_cut_off(github: FakeGitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poster, "LARGEST_ARTIFACT_BYTES", 100)
    github.sizes[9] = 1
    with pytest.raises(GitHubError, match=r"larger than 100 bytes$"):
        post_comment(github.github(), RUN)
    assert github.writes == []


def test_a_run_that_is_started_anew_counts_with_its_newest_artifact(github: FakeGitHub) -> None:
    github.artifacts[10] = archive(comment=f"{MARKER}\nthe second attempt", pull_request="12")
    post_comment(github.github(), RUN)
    assert github.writes[0][2]["body"].endswith("the second attempt")


def test_the_token_goes_to_the_api_alone(github: FakeGitHub) -> None:
    post_comment(github.github(), RUN)
    (headers,) = github.storage_headers
    assert TOKEN not in json.dumps(headers)


def test_nobody_is_mentioned_and_addresses_stay(github: FakeGitHub) -> None:
    text = f"{MARKER}\n@all (@acme/admins) vllm@sha256:0 a@b.c `@x` _@y_ /@z &#64;p &commat;q &#x40;r"
    github.artifacts[9] = archive(comment=text, pull_request="12")
    post_comment(github.github(), RUN)
    posted = github.writes[0][2]["body"].splitlines()[-1]
    assert (
        posted
        == "\uff20all (\uff20acme/admins) vllm@sha256:0 a@b.c `\uff20x` _\uff20y_ /\uff20z \uff20p \uff20q \uff20r"
    )


def damaged(method: int) -> list[bytes]:
    """Artifacts with members in a compression, each with one byte of the content or the directory changed."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as target:
        target.writestr("pull-request", "12\n")
        target.writestr("comment.md", COMMENT + "".join(f"line {number}\n" for number in range(300)))
    whole = buffer.getvalue()
    return [
        whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :]
        for at in range(0, len(whole), 3)
        for flip in (0x01, 0x80, 0xFF)
    ]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_artifact_is_read_or_refused_and_nothing_else(method: int) -> None:
    outcomes = set()
    for content in damaged(method):
        try:
            poster._content(content)
            outcomes.add("read")
        except Refused:
            outcomes.add("refused")
    assert "refused" in outcomes


@pytest.mark.parametrize(
    "gone",
    [
        {"id": 1, "user": None, "body": f"{MARKER} mine?"},
        {"id": 1, "user": {"login": BOT}, "body": None},
        {"id": 1, "user": {"login": None}, "body": MARKER},
        {"id": 1},
    ],
)
def test_a_comment_whose_author_or_text_is_gone_is_passed_over(gone: dict[str, Any], github: FakeGitHub) -> None:
    github.comments[12] = [gone, comment(2, MARKER)]
    assert post_comment(github.github(), RUN) == "the comment of pull request 12 was edited"
    assert github.writes[0][1] == "issues/comments/2"


@pytest.mark.parametrize(
    "markup",
    [
        '<img src="https://evil.example/x.png">',
        "<IMG SRC=x>",
        '<a href="https://evil.example">click</a>',
        "<!-- hidden",
        "<!DOCTYPE x>",
        "<?php x ?>",
        "</sub x>",
        "<details open>",
        '<sub style="x">',
        "<h1>Approved</h1>",
        "<https://evil.example>",
        "<picture><source srcset=x></picture>",
        "![tracked](https://evil.example/x.png)",
        "[click](https://evil.example)",
        "[click][1]\n\n[1]: https://evil.example",
        "![tracked][1]",
    ],
)
def test_no_markup_of_an_artifact_has_a_meaning(markup: str, github: FakeGitHub) -> None:
    github.artifacts[9] = archive(comment=f"{MARKER}\nbefore\n\n{markup}\n\nafter", pull_request="12")
    post_comment(github.github(), RUN)
    body = github.writes[0][2]["body"]
    assert body.startswith(f"{MARKER}\n{NOTE}\n\nbefore")
    html = MarkdownIt("commonmark", {"html": True}).render(body.removeprefix(MARKER))
    assert not re.search(r"<(?!/?(?:p|em|code|sub|details|summary)>)", html), html


def test_what_a_preview_makes_is_left_as_it_is(github: FakeGitHub) -> None:
    text = (REPOSITORY_ROOT / "docs" / "pull-requests.md").read_text("utf-8").split("---\n\n")[1]
    github.artifacts[9] = archive(comment=f"{MARKER}\n{text}", pull_request="12")
    post_comment(github.github(), RUN)
    shown = text.replace("@", "\uff20")
    assert github.writes[0][2]["body"] == f"{MARKER}\n{NOTE}\n\n{shown}"


def test_text_full_of_mentions_is_no_longer_for_it(github: FakeGitHub) -> None:
    github.artifacts[9] = archive(comment=f"{MARKER}\n{'@a ' * 20_000}", pull_request="12")
    post_comment(github.github(), RUN)
    assert len(github.writes[0][2]["body"]) < 61_000


def test_the_command_reads_the_event_and_never_prints_the_token(
    github: FakeGitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"workflow_run": RUN}), encoding="utf-8")
    for name, value in {
        "GITHUB_API_URL": github.address,
        "GITHUB_EVENT_PATH": str(event),
        "GITHUB_REPOSITORY": REPOSITORY,
        "GITHUB_TOKEN": TOKEN,
    }.items():
        monkeypatch.setenv(name, value)
    assert poster.main() == 0
    assert capsys.readouterr().out == "pull request 12 got a comment\n"
    github.pulls.clear()
    assert poster.main() == 1
    captured = capsys.readouterr()
    assert captured.err == "error: GET pulls/12: status 404\n"
    monkeypatch.delenv("GITHUB_TOKEN")
    assert poster.main() == 1
    assert capsys.readouterr().err == "error: GITHUB_TOKEN is not set; this runs in a workflow\n"


def test_the_marker_is_that_of_the_preview() -> None:
    markdown = pytest.importorskip("gke_llm_inference.diff.render_markdown")
    assert markdown.MARKER == MARKER
