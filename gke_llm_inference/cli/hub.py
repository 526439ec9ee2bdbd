"""Which commit a branch of a model's repository stands for right now, asked of Hugging Face."""

import http.client
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gke_llm_inference.errors import CommandError
from gke_llm_inference.settings.model_store import is_commit

_SECONDS: Final = 20
_MOST_BYTES: Final = 1 << 24
_HUB: Final = "https://huggingface.co"


class HubError(CommandError):
    """Hugging Face cannot say which commit a branch stands for."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect may lead to somebody who must not get the token."""

    def redirect_request(self, *_: object) -> None:
        """Never."""


def commit_of(model: str, revision: str = "main", environment: Mapping[str, str] | None = None) -> str:
    """The commit that a branch or tag of a model's repository stands for now.

    The token, the address and where the token lies are found as huggingface_hub finds them: HF_TOKEN, HF_ENDPOINT,
    HF_TOKEN_PATH and HF_HOME.

    Args:
        model: its Hugging Face id.
        revision: the branch or tag.
        environment: variables; those of the process if None.

    Raises:
        HubError: Hugging Face cannot be reached, or does not show the model to whoever asks.

    """
    known = os.environ if environment is None else environment
    endpoint = known.get("HF_ENDPOINT", _HUB).rstrip("/")
    if not endpoint.startswith(("https://", "http://127.0.0.1", "http://localhost")):
        raise _failed(model, "HF_ENDPOINT is an address without TLS", "use one that begins with https://")
    token = _token(known)
    headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    address = f"{endpoint}/api/models/{model}/revision/{urllib.parse.quote(revision, safe='')}"
    request = urllib.request.Request(address, headers=headers)  # noqa: S310 - checked above
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=_SECONDS) as answer:
            commit = json.loads(answer.read(_MOST_BYTES))["sha"]
    except urllib.error.HTTPError as error:
        with error:
            raise _refused(model, revision, error, has_token=bool(token)) from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise _failed(model, str(reason) if isinstance(reason, OSError) else "its answer breaks off") from None
    except (ValueError, KeyError, TypeError):
        raise _failed(model, "its answer cannot be read") from None
    if not isinstance(commit, str) or not is_commit(commit):
        raise _failed(model, "its answer names no commit")
    return commit


def _token(environment: Mapping[str, str]) -> str:
    given = environment.get("HF_TOKEN") or environment.get("HUGGING_FACE_HUB_TOKEN")
    if given:
        return given.strip()
    home = environment.get("HF_HOME") or str(Path(environment.get("HOME", "/nonexistent")) / ".cache" / "huggingface")
    try:
        return Path(environment.get("HF_TOKEN_PATH") or f"{home}/token").read_text("utf-8").strip()
    except (OSError, ValueError):
        return ""


def _refused(model: str, revision: str, error: urllib.error.HTTPError, *, has_token: bool) -> HubError:
    if error.headers.get("X-Error-Code") == "RevisionNotFound":
        return _failed(model, f"it has no branch or tag {revision}", "check servers.NAME.revision")
    if error.code in (http.client.UNAUTHORIZED, http.client.FORBIDDEN, http.client.NOT_FOUND):
        seen = "your token does not show it" if has_token else "it is private and you have no token"
        return _failed(model, f"there is no such model, or {seen}", "check its name, or set HF_TOKEN")
    if error.code in range(300, 400):
        return _failed(model, "it has another name now", "use the name that its page has")
    return _failed(model, f"it answers {error.code}")


def _failed(
    model: str, reason: str, fix: str = "try again, or write the commit under modelRevisions yourself"
) -> HubError:
    return HubError(f"{model}: Hugging Face does not tell the commit: {reason}\n  fix: {fix}")
