"""What runs on a cluster, read from its API server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import kubernetes
from kubernetes.client import ApiException
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import DynamicApiError, ResourceNotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Object = dict[str, Any]
"""A Kubernetes object as JSON has it."""

_TIMEOUT = 60.0
_NOT_FOUND = 404


class ClusterError(Exception):
    """The API server refused a request, or does not answer."""


class ApiServer:
    """A cluster by its kubeconfig. Every method raises ClusterError for a request that is refused."""

    def __init__(self, kubeconfig: Path, context: str, cache_file: Path) -> None:
        config: Any = kubernetes.config
        client = config.new_client_from_config(str(kubeconfig), context=context)
        dynamic: Any = DynamicClient
        with _Refusals():
            self._client = dynamic(client, cache_file=str(cache_file))

    def get(self, api_version: str, kind: str, namespace: str | None, name: str) -> Object | None:
        """The object, None if there is none."""
        try:
            return self._get(api_version, kind, name=name, namespace=namespace)
        except _NotFoundError:
            return None

    def select(self, api_version: str, kind: str, namespace: str, selector: Mapping[str, str]) -> list[Object]:
        """Objects of a namespace, of all if it is empty, that have all of these labels; sorted by name."""
        labels = ",".join(f"{key}={value}" for key, value in sorted(selector.items()))
        found = self._get(api_version, kind, namespace=namespace or None, label_selector=labels)
        return sorted(found.get("items", []), key=lambda item: str(item["metadata"]["name"]))

    def _get(self, api_version: str, kind: str, **arguments: Any) -> Object:
        with _Refusals():
            resource = self._client.resources.get(api_version=api_version, kind=kind)
            found: Object = self._client.get(resource, **arguments, _request_timeout=_TIMEOUT).to_dict()
        return found


class _NotFoundError(ClusterError):
    """There is no such object, or no such kind."""


class _Refusals:
    """Makes a ClusterError of whatever the client raises."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ResourceNotFoundError):
            raise _NotFoundError(str(error)) from None
        if isinstance(error, (ApiException, DynamicApiError)):
            of_kind = _NotFoundError if error.status == _NOT_FOUND else ClusterError
            raise of_kind(f"{error.status} {error.reason}") from None
        if isinstance(error, OSError) or type(error).__module__.startswith("urllib3"):
            raise ClusterError(f"the API server cannot be reached: {error}") from None
