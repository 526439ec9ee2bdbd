"""Reads a project's quotas with Google's own client library and the user's own credentials.

The library is the extra `quota`, and loaded by nothing else. No credential is shown, logged or kept.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Final, Protocol

from gke_llm_inference.errors import CommandError
from gke_llm_inference.planning.quota import QuotaUse

if TYPE_CHECKING:
    from collections.abc import Iterable

_SECONDS: Final = 30
_SCOPES: Final = ("https://www.googleapis.com/auth/compute.readonly",)
_OFFLINE: Final = "or use --offline, which asks nothing"


class QuotaError(CommandError):
    """What a project has of its quotas cannot be read."""


class Quota(Protocol):
    """A quota as Compute Engine shows it."""

    metric: str
    limit: float
    usage: float


class Source(Protocol):
    """What knows the quotas of a project."""

    def of_region(self, project: str, region: str) -> Iterable[Quota]:
        """Quotas of one region."""

    def of_project(self, project: str) -> Iterable[Quota]:
        """Quotas of the whole project."""


def read_quotas(project: str, region: str, source: Source | None = None) -> dict[str, QuotaUse]:
    """Quotas of a project by name: of one region, and of all.

    Args:
        project: Google Cloud project.
        region: region of the cluster.
        source: what knows them; Compute Engine, asked with the user's own credentials, if None.

    Raises:
        QuotaError: the library is not installed, there are no credentials, or Google does not answer.

    """
    asked = source or ComputeEngine(user_credentials())
    found = [*asked.of_project(project), *asked.of_region(project, region)]
    return {one.metric: QuotaUse(limit=one.limit, used=one.usage) for one in found}


class ComputeEngine:
    """Compute Engine's API: `regions.get` and `projects.get`."""

    def __init__(self, credentials: Any, host: str = "compute.googleapis.com", scheme: str = "https") -> None:
        """Opens no connection.

        Args:
            credentials: what `user_credentials` returns.
            host: where the API answers.
            scheme: how it is reached.

        """
        self._credentials, self._place = credentials, {"host": host, "url_scheme": scheme}

    def of_region(self, project: str, region: str) -> Iterable[Quota]:
        """Quotas of one region."""
        compute = _library()
        transport = compute.services.regions.transports.RegionsRestTransport(
            credentials=self._credentials, **self._place
        )
        client = compute.RegionsClient(transport=transport)
        return self._asked(lambda: client.get(project=project, region=region, timeout=_SECONDS))

    def of_project(self, project: str) -> Iterable[Quota]:
        """Quotas of the whole project."""
        compute = _library()
        transport = compute.services.projects.transports.ProjectsRestTransport(
            credentials=self._credentials, **self._place
        )
        client = compute.ProjectsClient(transport=transport)
        return self._asked(lambda: client.get(project=project, timeout=_SECONDS))

    @staticmethod
    def _asked(ask: Any) -> Iterable[Quota]:
        from google.api_core.exceptions import GoogleAPICallError
        from google.auth.exceptions import GoogleAuthError

        try:
            quotas: Iterable[Quota] = ask().quotas
        except GoogleAPICallError as error:
            # Only the code: a message may repeat what was sent.
            raise QuotaError(
                f"Compute Engine answers {error.code}; reading quotas takes compute.regions.get and "
                f"compute.projects.get in the project, {_OFFLINE}"
            ) from None
        except (GoogleAuthError, OSError):
            raise QuotaError(
                f"Compute Engine cannot be reached with your credentials; sign in again, {_OFFLINE}"
            ) from None
        return quotas


def user_credentials() -> Any:
    """The user's Application Default Credentials, else those of gcloud.

    Raises:
        QuotaError: there are neither, or Google's library is not installed.

    """
    _library()
    import google.auth
    from google.auth.exceptions import GoogleAuthError
    from google.oauth2.credentials import Credentials

    try:
        return google.auth.default(scopes=_SCOPES)[0]
    except GoogleAuthError:
        token = _gcloud_token()
    if token is None:
        raise QuotaError(
            f"no credentials of Google Cloud are found; run gcloud auth application-default login, {_OFFLINE}"
        )
    # google-auth states no types.
    return Credentials(token=token)  # type: ignore[no-untyped-call]


def _gcloud_token() -> str | None:
    """A short-lived token of gcloud's signed-in user, by a pipe; None without one."""
    program = shutil.which("gcloud")
    if program is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 gcloud, as the shell would find it
            [program, "auth", "print-access-token", "--quiet"],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return (done.stdout.strip() or None) if done.returncode == 0 else None


def _library() -> Any:
    try:
        import google.cloud.compute_v1 as compute
    except ImportError:
        raise QuotaError(
            f'install "gke-llm-inference[quota]", which has Google\'s client library, {_OFFLINE}'
        ) from None

    return compute
