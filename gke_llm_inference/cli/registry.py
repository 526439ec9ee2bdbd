"""What an image's tag stands for right now, asked of its registry by the OCI distribution protocol."""

import http.client
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Final

from gke_llm_inference.errors import CommandError

_SECONDS: Final = 20
_MOST_BYTES: Final = 1 << 20
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# An index first: its digest holds for every kind of node.
_ACCEPTED: Final = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_DOCKER_HUB: Final = "registry-1.docker.io"


class RegistryError(CommandError):
    """A registry cannot say what a tag stands for."""


@dataclass(frozen=True)
class Reference:
    """An image as a registry knows it."""

    image: str
    """As it was written."""
    host: str
    repository: str
    tag: str

    @property
    def manifest(self) -> str:
        """Address of its manifest."""
        scheme = "http" if self.host.partition(":")[0] in ("localhost", "127.0.0.1") else "https"
        return f"{scheme}://{self.host}/v2/{self.repository}/manifests/{self.tag}"


def reference_of(image: str) -> Reference:
    """The parts of an image without a digest; without a registry it is Docker Hub's, as for every container runtime."""
    first, slash, rest = image.partition("/")
    named = bool(slash) and ("." in first or ":" in first or first == "localhost")
    host, path = (first, rest) if named else ("docker.io", image)
    repository, colon, tag = path.rpartition(":")
    if not colon:
        repository, tag = path, "latest"
    if host == "docker.io":
        host = _DOCKER_HUB
        repository = repository if "/" in repository else f"library/{repository}"
    return Reference(image, host, repository, tag)


def digest_of(image: str) -> str:
    """The digest that the image's tag stands for now, such as `sha256:…`.

    Raises:
        RegistryError: the registry cannot be reached, does not know the image, or wants a login.

    """
    reference = reference_of(image)
    try:
        headers = _head(reference.manifest, {})
    except urllib.error.HTTPError as error:
        challenge = error.headers.get("WWW-Authenticate", "")
        error.close()
        if error.code != http.client.UNAUTHORIZED or not challenge.lower().startswith("bearer "):
            raise _failed(reference, f"it answers {error.code}") from None
        headers = _with_token(reference, challenge)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _failed(reference, _reason(error)) from None
    digest = headers.get("Docker-Content-Digest", "")
    if not _DIGEST.fullmatch(digest):
        raise _failed(reference, "its answer names no digest")
    return digest


def _with_token(reference: Reference, challenge: str) -> http.client.HTTPMessage:
    """Asks again with the token that anybody is given."""
    given = urllib.request.parse_keqv_list(urllib.request.parse_http_list(challenge.partition(" ")[2]))
    realm = given.get("realm", "")
    if not realm.startswith("https://") and not reference.manifest.startswith("http://"):
        raise _failed(reference, "it sends whoever asks to an address without TLS")
    query = urllib.parse.urlencode([(key, given[key]) for key in ("service", "scope") if key in given])
    try:
        with urllib.request.urlopen(f"{realm}?{query}", timeout=_SECONDS) as answer:  # noqa: S310 - checked above
            document = json.loads(answer.read(_MOST_BYTES))
        token = document.get("token") or document["access_token"]
        return _head(reference.manifest, {"Authorization": f"Bearer {token}"})
    except urllib.error.HTTPError as error:
        error.close()
        raise _failed(reference, f"it answers {error.code}, as without a login or for an unknown image") from None
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _failed(reference, _reason(error)) from None


def _head(address: str, headers: dict[str, str]) -> http.client.HTTPMessage:
    request = urllib.request.Request(address, method="HEAD", headers={"Accept": _ACCEPTED, **headers})  # noqa: S310
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310 - https, or this machine's
        found: http.client.HTTPMessage = answer.headers
        return found


def _failed(reference: Reference, reason: str) -> RegistryError:
    return RegistryError(
        f"{reference.image}: the registry {reference.host} does not tell the digest: {reason}\n"
        "  fix: check name and tag; for a registry with a login, write the digest under imageDigests yourself"
    )


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    return str(reason) if isinstance(reason, OSError) else "its answer cannot be read"
