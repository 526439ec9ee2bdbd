"""The cluster that the provider works on: its API server, or in tests something that behaves like one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

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
    """The API server refused a request; the text is its own message."""

    def __init__(self, message: str, code: int = 0, fields: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.fields = fields
        """Fields that the refusal names."""


class Cluster(Protocol):
    """What the provider needs of a cluster. Every method raises ClusterError for a request that is refused."""

    def namespaced(self, api_version: str, kind: str) -> bool:
        """Whether objects of this kind lie in a namespace; ClusterError with code 404 for a kind that is unknown."""
        ...

    def apply(self, body: Object, manager: str, *, dry_run: bool = False, force: bool = False) -> Object:
        """Server-side apply with strict validation, and the object that it gives; `force` takes others' fields over."""
        ...

    def get(self, api_version: str, kind: str, namespace: str | None, name: str) -> Object | None:
        """The object, None if there is none."""
        ...

    def select(self, api_version: str, kind: str, namespace: str, selector: Mapping[str, str]) -> list[Object]:
        """Objects of a namespace, of all if it is empty, that have all of these labels; sorted by name."""
        ...

    def delete(self, api_version: str, kind: str, namespace: str | None, name: str) -> None:
        """Asks for the deletion of an object and, before it, of what it owns; fine if there is none."""
        ...


class ApiServer:
    """A cluster by its kubeconfig."""

    def __init__(self, kubeconfig: Path, context: str, cache_file: Path) -> None:
        config: Any = kubernetes.config
        client = config.new_client_from_config(str(kubeconfig), context=context)
        self.server = str(client.configuration.host)
        """URL of the API server."""
        dynamic: Any = DynamicClient
        with _Refusals():
            self._client = dynamic(client, cache_file=str(cache_file))

    def namespaced(self, api_version: str, kind: str) -> bool:  # noqa: D102
        return bool(self._resource(api_version, kind).namespaced)

    def apply(  # noqa: D102
        self, body: Object, manager: str, *, dry_run: bool = False, force: bool = False
    ) -> Object:
        with _Refusals():
            return _plain(
                self._client.server_side_apply(
                    self._resource(body["apiVersion"], body["kind"]),
                    body=body,
                    namespace=body["metadata"].get("namespace"),
                    field_manager=manager,
                    force_conflicts=force,
                    dry_run="All" if dry_run else None,
                    query_params=[("fieldValidation", "Strict")],
                    _request_timeout=_TIMEOUT,
                )
            )

    def get(self, api_version: str, kind: str, namespace: str | None, name: str) -> Object | None:  # noqa: D102
        try:
            with _Refusals():
                resource = self._resource(api_version, kind)
                return _plain(self._client.get(resource, name=name, namespace=namespace, _request_timeout=_TIMEOUT))
        except ClusterError as error:
            if error.code == _NOT_FOUND:
                return None
            raise

    def select(  # noqa: D102
        self, api_version: str, kind: str, namespace: str, selector: Mapping[str, str]
    ) -> list[Object]:
        with _Refusals():
            found = _plain(
                self._client.get(
                    self._resource(api_version, kind),
                    namespace=namespace or None,
                    label_selector=",".join(f"{key}={value}" for key, value in sorted(selector.items())),
                    _request_timeout=_TIMEOUT,
                )
            )
        return sorted(found.get("items", []), key=lambda item: str(item["metadata"]["name"]))

    def delete(self, api_version: str, kind: str, namespace: str | None, name: str) -> None:  # noqa: D102
        try:
            with _Refusals():
                self._client.delete(
                    self._resource(api_version, kind),
                    name=name,
                    namespace=namespace,
                    body={"propagationPolicy": "Foreground"},
                    _request_timeout=_TIMEOUT,
                )
        except ClusterError as error:
            if error.code != _NOT_FOUND:
                raise

    def _resource(self, api_version: str, kind: str) -> Any:
        try:
            return self._client.resources.get(api_version=api_version, kind=kind)
        except ResourceNotFoundError:
            message = f"the cluster knows no {kind} of {api_version}; is its CustomResourceDefinition installed?"
            raise ClusterError(message, _NOT_FOUND) from None


class _Refusals:
    """Makes a ClusterError of whatever the client raises."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (ApiException, DynamicApiError)):
            raise _refusal(error) from None
        if isinstance(error, OSError) or type(error).__module__.startswith("urllib3"):
            raise ClusterError(f"the API server cannot be reached: {error}") from None


def _refusal(error: ApiException | DynamicApiError) -> ClusterError:
    code = int(error.status or 0)
    try:
        status = json.loads(error.body or "")
        causes = (status.get("details") or {}).get("causes") or []
        message = str(status["message"])
    except (TypeError, ValueError, KeyError, AttributeError):
        return ClusterError(f"{code} {error.reason}", code)
    return ClusterError(message, code, tuple(str(cause.get("field", "")) for cause in causes))


def _plain(found: Any) -> Object:
    plain: Object = found.to_dict()
    return plain
