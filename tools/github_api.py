"""The few calls of GitHub's REST API that the workflows need, with the standard library alone.

Workflows run the tools that use it before anything is installed.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SECONDS = 30
_PAGE = 100
_MOST_PAGES = 100


class GitHubError(Exception):
    """A call failed. The text names the call and the status, never the token."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Hands a redirect back: the token is for the API alone, not for the storage that it points to."""

    def redirect_request(self, *arguments: Any) -> None:  # noqa: ARG002
        return None


class GitHub:
    """The API for one repository.

    Attributes:
        repository: `owner/name`.

    """

    def __init__(self, repository: str, token: str, api: str = "https://api.github.com") -> None:
        self.repository = repository
        self._token = token
        self._api = api
        self._opener = urllib.request.build_opener(_NoRedirect)

    @staticmethod
    def of_workflow(environment: Mapping[str, str] = os.environ) -> GitHub:
        """The API for the repository of the running workflow. Raises GitHubError outside of one."""
        try:
            return GitHub(
                environment["GITHUB_REPOSITORY"],
                environment["GITHUB_TOKEN"],
                environment.get("GITHUB_API_URL", "https://api.github.com"),
            )
        except KeyError as error:
            raise GitHubError(f"{error.args[0]} is not set; this runs in a workflow") from None

    def get(self, path: str, **query: str | int) -> Any:
        """The answer to GET of a path below the repository."""
        return self._json("GET", path, query)

    def post(self, path: str, content: Mapping[str, Any]) -> Any:
        """The answer to POST."""
        return self._json("POST", path, {}, content)

    def patch(self, path: str, content: Mapping[str, Any]) -> Any:
        """The answer to PATCH."""
        return self._json("PATCH", path, {}, content)

    def pages(self, path: str, **query: str | int) -> Iterator[Any]:
        """The items of a list over all of its pages."""
        for page in range(1, _MOST_PAGES + 1):
            items = self.get(path, **query, per_page=_PAGE, page=page)
            yield from items
            if len(items) < _PAGE:
                return

    def download(self, path: str, limit: int) -> bytes:
        """The file that a path leads to. Raises GitHubError if it is larger than `limit` bytes."""
        try:
            with self._open("GET", path, {}, None) as answer:
                content: bytes = answer.read(limit + 1)
        except urllib.error.HTTPError as error:
            location = error.headers.get("Location", "")
            if error.code not in (301, 302, 303, 307, 308) or not location.startswith(("https://", self._api)):
                raise GitHubError(f"GET {path}: status {error.code}") from None
            try:
                with urllib.request.urlopen(location, timeout=_SECONDS) as answer:  # noqa: S310 - checked above
                    content = answer.read(limit + 1)
            except (OSError, urllib.error.URLError):
                raise GitHubError(f"GET {path}: the file that it leads to cannot be read") from None
        except (OSError, urllib.error.URLError) as error:
            raise GitHubError(f"GET {path}: {error}") from None
        if len(content) > limit:
            raise GitHubError(f"GET {path}: larger than {limit} bytes")
        return content

    def _json(
        self, method: str, path: str, query: Mapping[str, str | int], content: Mapping[str, Any] | None = None
    ) -> Any:
        try:
            with self._open(method, path, query, content) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise GitHubError(f"{method} {path}: status {error.code}") from None
        except (OSError, ValueError) as error:
            raise GitHubError(f"{method} {path}: {error}") from None

    def _open(self, method: str, path: str, query: Mapping[str, str | int], content: Mapping[str, Any] | None) -> Any:
        url = f"{self._api}/repos/{self.repository}/{path}"
        if query:
            url += "?" + urllib.parse.urlencode(sorted(query.items()))
        request = urllib.request.Request(  # noqa: S310 - the API's own address
            url,
            method=method,
            data=None if content is None else json.dumps(content).encode(),
            headers={
                "Accept": "application/vnd.github+json",
                "Authorization": f"Bearer {self._token}",
                "Content-Type": "application/json",
                "X-GitHub-Api-Version": "2022-11-28",
            },
        )
        return self._opener.open(request, timeout=_SECONDS)
