"""Posts the comment of an offline preview to its pull request, or edits the one that is there.

`python3 -m tools.post_comment`, in a workflow that runs after the preview's, with the default branch checked out.

The preview ran the pull request's own code, so its artifact is untrusted: sizes are bounded, nothing of it is unpacked
or run, and the pull request that it names must be the one whose head the preview ran on.
"""

from __future__ import annotations

import io
import json
import lzma
import os
import re
import struct
import sys
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.github_api import GitHub, GitHubError

if TYPE_CHECKING:
    from collections.abc import Mapping

MARKER = "<!-- gke-llm-inference preview -->"
"""First line of the comment, by which it is found again."""
ARTIFACT = "preview"
COMMENT_FILE = "comment.md"
NUMBER_FILE = "pull-request"

LARGEST_ARTIFACT_BYTES = 32 * 1024 * 1024
LARGEST_COMMENT = 65_536
"""Characters that GitHub takes."""
_LARGEST_COMMENT_BYTES = 4 * LARGEST_COMMENT
_LARGEST_NUMBER_BYTES = 32
_AUTHOR = "github-actions[bot]"
# An @, however it is written, is no mention only within a word, as in an address or a digest.
_MENTION = re.compile(r"(?<![A-Za-z0-9])(?:@|&(?:#0*64|#[xX]0*40|commat);)")
_FULL_WIDTH_AT = "\uff20"
# What begins a tag, a comment, a declaration or an autolink, but the tags that a preview's comment is made of. A `<`
# becomes a sign that looks like it, as an entity would be shown as such within code.
_MARKUP = re.compile(r"<(?!/?(?:code|details|sub|summary)>)(?=[A-Za-z/!?])")
_FULL_WIDTH_LESS = "\uff1c"
# What may be an image that is loaded from elsewhere, or a link under another name.
_LINK = re.compile(r"\](?=\()|\](?=[ \t]*\[)|\](?=:[ \t]*\S*(?://|www\.))")
_FULL_WIDTH_BRACKET = "\uff3d"
# Of damaged members in every compression that the zip format has; bz2 and what lies about offsets raise OSError.
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    NotImplementedError,
    EOFError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
    struct.error,
)


class Refused(Exception):  # noqa: N818 the domain's word: an artifact is refused
    """The artifact is not what a preview of the pull request makes."""


def post_comment(github: GitHub, run: Mapping[str, Any]) -> str:
    """Posts or edits the comment of a workflow run.

    Args:
        github: the API.
        run: the `workflow_run` of the event.

    Returns:
        What was done, in words.

    Raises:
        Refused: the artifact is too large, malformed or names another pull request.
        GitHubError: a call failed.

    """
    archive = _artifact(github, int(run["id"]))
    if archive is None:
        return "the preview made no comment"
    number, comment = _content(archive)
    pull = github.get(f"pulls/{number}")
    _check_pull_request(pull, run, github.repository)
    if pull["head"]["sha"] != run["head_sha"]:
        return f"pull request {number} has a newer commit; its own preview will say more"
    body = _body(comment, str(run["head_sha"]))
    for known in github.pages(f"issues/{number}/comments"):
        # Both are null where an account or a text is gone.
        author, said = (known.get("user") or {}).get("login"), known.get("body") or ""
        if author == _AUTHOR and said.startswith(MARKER):
            if said == body:
                return f"the comment of pull request {number} says it already"
            github.patch(f"issues/comments/{known['id']}", {"body": body})
            return f"the comment of pull request {number} was edited"
    github.post(f"issues/{number}/comments", {"body": body})
    return f"pull request {number} got a comment"


def _artifact(github: GitHub, run: int) -> bytes | None:
    found = github.get(f"actions/runs/{run}/artifacts", name=ARTIFACT, per_page=100)["artifacts"]
    if not found:
        return None
    # A run that is started again adds an artifact of the same name.
    artifact = max(found, key=lambda one: int(one["id"]))
    if artifact["size_in_bytes"] > LARGEST_ARTIFACT_BYTES:
        raise Refused(f"the artifact is larger than {LARGEST_ARTIFACT_BYTES} bytes")
    return github.download(f"actions/artifacts/{int(artifact['id'])}/zip", LARGEST_ARTIFACT_BYTES)


def _content(archive: bytes) -> tuple[int, str]:
    """Number of the pull request and text of the comment."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as members:
            number = _member(members, NUMBER_FILE, _LARGEST_NUMBER_BYTES)
            comment = _member(members, COMMENT_FILE, _LARGEST_COMMENT_BYTES)
    except _UNREADABLE as error:
        raise Refused(f"the artifact cannot be read: {type(error).__name__}") from None
    if not re.fullmatch(r"[1-9][0-9]{0,8}\n?", number, re.ASCII):
        raise Refused(f"{NUMBER_FILE} holds no number")
    if not comment.startswith(MARKER):
        raise Refused("the comment has no marker")
    return int(number), comment


def _member(archive: zipfile.ZipFile, name: str, limit: int) -> str:
    try:
        with archive.open(name) as member:
            # What the archive says of its sizes is not to be trusted either.
            content = member.read(limit + 1)
    except KeyError:
        raise Refused(f"the artifact has no {name}") from None
    if len(content) > limit:
        raise Refused(f"{name} is larger than {limit} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise Refused(f"{name} is not UTF-8 text") from None


def _check_pull_request(pull: Mapping[str, Any], run: Mapping[str, Any], repository: str) -> None:
    """The preview's run says on which branch of which repository it ran; only their pull request is written to."""
    head = pull["head"]
    source, ran_in = head["repo"], run["head_repository"]  # None where a fork is gone
    if (
        source is None
        or ran_in is None
        or source["full_name"] != ran_in["full_name"]
        or head["ref"] != run["head_branch"]
        or pull["base"]["repo"]["full_name"] != repository
        or pull["state"] != "open"
    ):
        raise Refused("the artifact names a pull request that the preview did not run for")


def _body(comment: str, commit: str) -> str:
    note = (
        f"_Made without credentials by the code of this pull request at {commit[:7]}; "
        "a change of the preview's own code can change what it says._"
    )
    text = comment.removeprefix(MARKER).lstrip("\n")
    body = f"{MARKER}\n{note}\n\n{_plain(text)}"
    if len(body) > LARGEST_COMMENT:
        raise Refused(f"the comment is longer than {LARGEST_COMMENT} characters")
    return body


def _plain(text: str) -> str:
    """The text without mentions, foreign markup and links; it looks the same within code."""
    text = _MARKUP.sub(_FULL_WIDTH_LESS, _MENTION.sub(_FULL_WIDTH_AT, text))
    return _LINK.sub(_FULL_WIDTH_BRACKET, text)


def main() -> int:
    """Post what the event names; 0 fine, 1 refused or failed."""
    try:
        github = GitHub.of_workflow()
        event = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text("utf-8"))
        print(post_comment(github, event["workflow_run"]))
    except (Refused, GitHubError, KeyError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
