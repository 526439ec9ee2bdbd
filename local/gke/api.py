"""The little of the Kubernetes API that an instance needs of its own; it starts faster than a full client."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3

from local.gke.certificates import KeyPair

FIELD_MANAGER = "local-gke"
_CONNECT_SECONDS = 5.0
# The API server's own limit for a request.
_READ_SECONDS = 60.0
_NOT_FOUND, _CONFLICT = 404, 409
_CLUSTER_KINDS = {
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "Namespace",
    "PriorityClass",
    "StorageClass",
    "CSIDriver",
    "RuntimeClass",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
}


class ApiError(Exception):
    """An answer of the API server that is no success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Api:
    """A client with a certificate, for several threads at once.

    Args:
        seconds: for how long a silent server is waited for.

    """

    def __init__(self, server: str, authority: Path, client: KeyPair, *, seconds: float = _READ_SECONDS) -> None:
        self._server = server
        self._pool = urllib3.PoolManager(
            ca_certs=str(authority),
            cert_file=str(client.certificate),
            key_file=str(client.key),
            timeout=urllib3.Timeout(connect=min(_CONNECT_SECONDS, seconds), read=seconds),
            retries=False,
        )

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Any:
        """The answer's document, or its text where it is not JSON.

        Raises:
            ApiError: the server refused.
            urllib3.exceptions.HTTPError: the server could not be reached.

        """
        url = f"{self._server}{path}" + (f"?{urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        answer = self._pool.request(method, url, body=data, headers={"Content-Type": content_type})
        text = answer.data.decode()
        document = json.loads(text) if answer.headers.get("Content-Type", "").startswith("application/json") else text
        if answer.status >= 300:
            message = document.get("message", text) if isinstance(document, dict) else text
            raise ApiError(answer.status, message)
        return document

    def apply(self, document: Mapping[str, Any]) -> Any:
        """Make an object what `document` says, by server-side apply."""
        return self.request(
            "PATCH",
            path_of(document),
            document,
            content_type="application/apply-patch+yaml",
            query={"fieldManager": FIELD_MANAGER, "force": "true", "fieldValidation": "Strict"},
        )

    def items(self, path: str, **query: str) -> list[Any]:
        """The objects of a list; as the server's cache has them, which spares the store."""
        listed: list[Any] = self.request("GET", path, query={"resourceVersion": "0", **query})["items"]
        return listed

    def create(self, path: str, document: Mapping[str, Any]) -> None:
        """Make an object that may be there already."""
        try:
            self.request("POST", path, document)
        except ApiError as error:
            if error.status != _CONFLICT:
                raise

    def merge(self, path: str, change: Mapping[str, Any]) -> None:
        """Change fields of an object that may be gone already."""
        try:
            self.request("PATCH", path, change, content_type="application/merge-patch+json")
        except ApiError as error:
            if error.status != _NOT_FOUND:
                raise

    def delete(self, path: str) -> None:
        """Delete an object that may be gone already."""
        try:
            self.request("DELETE", path)
        except ApiError as error:
            if error.status != _NOT_FOUND:
                raise


def path_of(document: Mapping[str, Any]) -> str:
    """The URL's path of one of the objects that this package makes."""
    version, kind, metadata = document["apiVersion"], document["kind"], document["metadata"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    plural = kind.lower()
    plural = f"{plural[:-1]}ies" if plural.endswith("y") else f"{plural}es" if plural.endswith("ss") else f"{plural}s"
    namespace = "" if kind in _CLUSTER_KINDS or kind == "Node" else f"/namespaces/{metadata['namespace']}"
    return f"{root}{namespace}/{plural}/{metadata['name']}"
