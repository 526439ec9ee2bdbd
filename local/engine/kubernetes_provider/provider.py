"""A Kubernetes provider for Pulumi: server-side apply, strict validation, waiting for rollouts.

It behaves like Pulumi's own provider where a stack can tell the difference: names that it makes up, which changes
replace an object, ids, defaults. It serves one cluster only, and refuses to be configured for another.
"""

from __future__ import annotations

import copy
import hashlib
import threading
import time
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Protocol

from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import provider_pb2

from gke_llm_inference.pulumi_protocol.masking import SecretMasker
from local.engine.kubernetes_provider.changes import Change, adopted, changes
from local.engine.kubernetes_provider.cluster import ClusterError
from local.engine.kubernetes_provider.kinds import SECRET_PROPERTIES, api_of, is_secret, replaces
from local.engine.kubernetes_provider.waiting import State, readiness, why_pods_wait
from local.engine.provider_server import ProviderBase, fail, fail_halfway
from local.engine.wire import decode, encode, has_unknowns

if TYPE_CHECKING:
    import grpc
    from google.protobuf.struct_pb2 import Struct

    from local.engine.kubernetes_provider.cluster import Cluster, Object

_AUTONAMED = "pulumi.com/autonamed"
_MANAGER = "__fieldManager"
_TIMEOUT_ANNOTATION = "pulumi.com/timeoutSeconds"
_FORCE_ANNOTATION = "pulumi.com/patchForce"
_FORCE_VARIABLE = "PULUMI_K8S_ENABLE_PATCH_FORCE"
_DEFAULT_TIMEOUT = 600.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.5
_CONFLICT, _INVALID, _NOT_FOUND = 409, 422, 404
_SERVER_FIELDS = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "uid")
_KINDS = {
    Change.ADD: (provider_pb2.PropertyDiff.ADD, provider_pb2.PropertyDiff.ADD_REPLACE),
    Change.DELETE: (provider_pb2.PropertyDiff.DELETE, provider_pb2.PropertyDiff.DELETE_REPLACE),
    Change.UPDATE: (provider_pb2.PropertyDiff.UPDATE, provider_pb2.PropertyDiff.UPDATE_REPLACE),
}


class Admission(Protocol):
    """Decides whether the provider may serve the cluster that a program configures."""

    def __call__(self, arguments: dict[str, Any]) -> str | None:
        """Why not; None if it may."""


class KubernetesProvider(ProviderBase):
    """The provider, for one cluster."""

    def __init__(self, cluster: Cluster, admit: Admission) -> None:
        super().__init__(version("pulumi-kubernetes"))
        self._cluster = cluster
        self._admit = admit
        self._force = False
        self._cancelled = threading.Event()

    def Configure(  # noqa: D102, N802
        self, request: provider_pb2.ConfigureRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ConfigureResponse:
        arguments = decode(request.args)
        refusal = self._admit(arguments)
        if refusal is not None:
            fail(context, refusal)
        # A program's environment sets it too: the SDK makes an argument of the variable.
        self._force = str(arguments.get("enablePatchForce")).lower() == "true"
        self._cancelled.clear()
        return super().Configure(request, context)

    def DiffConfig(  # noqa: D102, N802
        self,
        request: provider_pb2.DiffRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> provider_pb2.DiffResponse:
        # With an identity that stays, another address or certificate is still the same cluster.
        olds, news = decode(request.old_inputs) or decode(request.olds), decode(request.news)
        changed = sorted(key for key in {*olds, *news} if olds.get(key) != news.get(key))
        same = olds.get("clusterIdentifier") and olds.get("clusterIdentifier") == news.get("clusterIdentifier")
        identity = {"clusterIdentifier", *(() if same else ("cluster", "context", "kubeconfig"))}
        return provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE,
            diffs=changed,
            replaces=[key for key in changed if key in identity],
        )

    def Check(self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext) -> provider_pb2.CheckResponse:  # noqa: D102, N802
        news, olds = decode(request.news), decode(request.olds)
        try:
            api_version, kind = api_of(request.type, news)
        except ValueError as error:
            fail(context, str(error))
        news["apiVersion"], news["kind"] = api_version, kind
        metadata = news.setdefault("metadata", {})
        if isinstance(metadata, dict) and not metadata.get("name"):
            name = _old_automatic_name(olds) or _automatic_name(request)
            metadata["name"] = name
            metadata["annotations"] = {**(metadata.get("annotations") or {}), _AUTONAMED: "true"}
        return provider_pb2.CheckResponse(inputs=encode(news, _secret_keys(news)))

    def Diff(self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:  # noqa: ARG002, D102, N802
        olds, news = decode(request.old_inputs), decode(request.news)
        found = {
            path: change
            for path, change in changes(olds, news)
            if not any(path == one or path.startswith((f"{one}.", f"{one}[")) for one in request.ignoreChanges)
        }
        replacing = [path for path in found if replaces(news["apiVersion"], news["kind"], path)]
        if not replacing and found and not has_unknowns(news):
            replacing = self._immutable(_manager(request.urn, request.olds), news, found)
        # An object with a name of its own cannot stand beside its successor.
        old_metadata, metadata = olds.get("metadata", {}), news.get("metadata", {})
        stays = (
            metadata.get("annotations", {}).get(_AUTONAMED) != "true"
            and metadata.get("name") == old_metadata.get("name")
            and metadata.get("namespace") == old_metadata.get("namespace")
        )
        return provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME if found else provider_pb2.DiffResponse.DIFF_NONE,
            diffs=sorted({path.split(".")[0].split("[")[0] for path in found}),
            replaces=replacing,
            deleteBeforeReplace=bool(replacing) and stays,
            hasDetailedDiff=True,
            detailedDiff={
                path: provider_pb2.PropertyDiff(kind=_KINDS[change][path in replacing], inputDiff=True)
                for path, change in found.items()
            },
        )

    def Create(self, request: provider_pb2.CreateRequest, context: grpc.ServicerContext) -> provider_pb2.CreateResponse:  # noqa: D102, N802
        news, manager = decode(request.properties), manager_of(request.urn)
        if request.preview:
            # The object that it replaces may still have its name.
            return provider_pb2.CreateResponse(properties=self._previewed(manager, news, context, force=True))
        with _Masked(news, context):
            body = self._body(news)
            existing = self._cluster.get(*_key(body))
            # One that an interrupted update of this very resource made is taken up; any other is somebody else's.
            if existing is not None and manager not in _managers(existing):
                fail(context, f"{body['kind']} {_id(body)} exists already, and this stack did not make it")
            live = self._apply(body, manager)
            live, problem = self._ready(request.urn, live, request.timeout, context)
        properties = _state(live, manager)
        if problem:
            fail_halfway(context, problem, _id(live), properties)
        return provider_pb2.CreateResponse(id=_id(live), properties=properties)

    def Update(self, request: provider_pb2.UpdateRequest, context: grpc.ServicerContext) -> provider_pb2.UpdateResponse:  # noqa: D102, N802
        news, manager = decode(request.news), _manager(request.urn, request.olds)
        if request.preview:
            return provider_pb2.UpdateResponse(properties=self._previewed(manager, news, context))
        with _Masked(news, context):
            live = self._apply(self._body(news), manager)
            live, problem = self._ready(request.urn, live, request.timeout, context)
        properties = _state(live, manager)
        if problem:
            fail_halfway(context, problem, _id(live), properties)
        return provider_pb2.UpdateResponse(properties=properties)

    def Read(self, request: provider_pb2.ReadRequest, context: grpc.ServicerContext) -> provider_pb2.ReadResponse:  # noqa: D102, N802
        inputs, manager = decode(request.inputs), _manager(request.urn, request.properties)
        with _Masked(inputs, context):
            api_version, kind = api_of(request.type or _type_of(request.urn), inputs)
            namespace, _, name = request.id.rpartition("/")
            live = self._cluster.get(api_version, kind, namespace or None, name)
            if live is None:
                return provider_pb2.ReadResponse()
            if inputs and self._drifted(manager, inputs, live):
                inputs = adopted(inputs, live)
        if not inputs:
            inputs = _importable(live)
        return provider_pb2.ReadResponse(
            id=_id(live), properties=_state(live, manager), inputs=encode(inputs, _secret_keys(inputs))
        )

    def Delete(self, request: provider_pb2.DeleteRequest, context: grpc.ServicerContext) -> Empty:  # noqa: D102, N802
        live = decode(request.properties)
        with _Masked(live, context):
            key = _key(live)
            try:
                self._cluster.delete(*key)
            except ClusterError as error:
                if error.code != _NOT_FOUND:
                    raise
                return Empty()
            problem = self._gone(request.urn, key, request.timeout, context)
        if problem:
            fail(context, problem)
        return Empty()

    def cancel(self) -> None:
        """Ends every wait; the objects stay as they are."""
        self._cancelled.set()

    # Applying

    def _body(self, inputs: Object) -> Object:
        body = copy.deepcopy(inputs)
        if self._cluster.namespaced(body["apiVersion"], body["kind"]):
            body["metadata"].setdefault("namespace", "default")
        return body

    def _apply(self, body: Object, manager: str, *, dry_run: bool = False, force: bool = False) -> Object:
        try:
            return self._cluster.apply(body, manager, dry_run=dry_run, force=force or self._forced(body))
        except ClusterError as error:
            if error.code != _CONFLICT:
                raise
            message = (
                f"{body['kind']} {_id(body)}: somebody else changed what this stack sets: {error}\n"
                f"undo that, or take it over: {_FORCE_VARIABLE}=true for one update, or the annotation "
                f"{_FORCE_ANNOTATION}"
            )
            raise ClusterError(message, error.code, error.fields) from None

    def _forced(self, body: Object) -> bool:
        """Whether fields that somebody else has set are taken over."""
        annotations = body["metadata"].get("annotations") or {}
        return self._force or annotations.get(_FORCE_ANNOTATION) == "true"

    def _previewed(self, manager: str, news: Object, context: grpc.ServicerContext, *, force: bool = False) -> Struct:
        """What the object would be; the inputs where that can't be known before other resources exist."""
        if has_unknowns(news):
            return encode(news, _secret_keys(news))
        with _Masked(news, context):
            try:
                live = self._apply(self._body(news), manager, dry_run=True, force=force)
            except ClusterError as error:
                # Its namespace or its CustomResourceDefinition may be part of the same update.
                if error.code != _NOT_FOUND:
                    raise
                return encode(news, _secret_keys(news))
        live.pop("status", None)
        return _state(live, manager)

    def _immutable(self, manager: str, news: Object, found: dict[str, Change]) -> list[str]:
        """The changes that the API server says it cannot make to the object as it is."""
        try:
            self._cluster.apply(self._body(news), manager, dry_run=True)
        except ClusterError as error:
            if error.code == _INVALID and "immutable" in str(error):
                named = [path for path in found if path.startswith(tuple(filter(None, error.fields)))]
                return named or sorted(found)
        return []

    def _drifted(self, manager: str, inputs: Object, live: Object) -> bool:
        """Whether applying the inputs again would change anything."""
        try:
            applied = self._cluster.apply(self._body(inputs), manager, dry_run=True)
        except ClusterError as error:
            return error.code in (_CONFLICT, _INVALID)
        return _substance(applied) != _substance(live)

    # Waiting

    def _ready(
        self, urn: str, live: Object, timeout: float, context: grpc.ServicerContext
    ) -> tuple[Object, str | None]:
        """Waits until the object is ready: its last state, and why it is not where it is not."""
        annotations = live["metadata"].get("annotations", {})
        seconds = timeout or float(annotations.get(_TIMEOUT_ANNOTATION, _DEFAULT_TIMEOUT))
        deadline, pause, said = time.monotonic() + seconds, _FIRST_PAUSE, ""
        while True:
            now = readiness(live, self._cluster)
            if now.state is State.READY:
                return live, None
            why = why_pods_wait(live, self._cluster) if pause >= _LONGEST_PAUSE or now.state is State.FAILED else ""
            news = f"{now.reason}; {why}" if why else now.reason
            if now.state is State.FAILED:
                return live, f"{live['kind']} {_id(live)} was applied, but {news}"
            if news != said:
                self.log.status(urn, news)
                said = news
            if time.monotonic() > deadline:
                return live, f"{live['kind']} {_id(live)} was applied, but is not ready after {seconds:.0f} s: {news}"
            if self._cancelled.wait(pause) or not context.is_active():
                return live, f"{live['kind']} {_id(live)} was applied; the wait for it was cancelled: {news}"
            pause = min(pause * 1.5, _LONGEST_PAUSE)
            try:
                found = self._cluster.get(*_key(live))
            except ClusterError as error:
                # The object is applied; an API server that does not answer for a while takes nothing back.
                self.log.status(urn, f"waiting; the cluster does not answer: {error}")
                continue
            if found is None:
                return live, f"{live['kind']} {_id(live)} was applied, and then deleted by somebody else"
            live = found

    def _gone(
        self, urn: str, key: tuple[str, str, str | None, str], timeout: float, context: grpc.ServicerContext
    ) -> str | None:
        seconds = timeout or _DEFAULT_TIMEOUT
        deadline, pause = time.monotonic() + seconds, _FIRST_PAUSE
        while (live := self._cluster.get(*key)) is not None:
            finalizers = ", ".join(live["metadata"].get("finalizers", [])) or "what belongs to it"
            if time.monotonic() > deadline:
                return f"{live['kind']} {_id(live)} still exists after {seconds:.0f} s; it waits for {finalizers}"
            if self._cancelled.wait(pause) or not context.is_active():
                return f"the wait for the deletion of {live['kind']} {_id(live)} was cancelled"
            if pause >= _LONGEST_PAUSE:
                self.log.status(urn, f"waiting for {finalizers}")
            pause = min(pause * 1.5, _LONGEST_PAUSE)
        return None


def manager_of(urn: str) -> str:
    """The field manager of a new resource: its own, so that objects of two resources are never confused."""
    return f"pulumi-kubernetes-{hashlib.sha256(urn.encode()).hexdigest()[:12]}"


class _Masked:
    """Turns what a cluster refuses into the end of a call, without the values of a Secret."""

    def __init__(self, inputs: Object, context: grpc.ServicerContext) -> None:
        self._vault = SecretMasker()
        if is_secret(inputs.get("apiVersion", ""), inputs.get("kind", "")):
            self._vault.add([inputs.get(key) for key in SECRET_PROPERTIES])
        self._context = context

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (ClusterError, ValueError)):
            fail(self._context, self._vault.mask(str(error)))


def _key(live: Object) -> tuple[str, str, str | None, str]:
    metadata = live["metadata"]
    return live["apiVersion"], live["kind"], metadata.get("namespace"), metadata["name"]


def _id(live: Object) -> str:
    metadata = live["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}" if metadata.get("namespace") else str(metadata["name"])


def _type_of(urn: str) -> str:
    return urn.split("::")[2].rsplit("$", 1)[-1]


def _state(live: Object, manager: str) -> Struct:
    """The object as the engine keeps it; bookkeeping of the API server's would only make its state large."""
    metadata = {key: value for key, value in live["metadata"].items() if key != "managedFields"}
    return encode({**live, "metadata": metadata, _MANAGER: manager}, _secret_keys(live))


def _manager(urn: str, state: Struct) -> str:
    """The field manager that the object was made with; a resource that was renamed keeps it."""
    kept = decode(state).get(_MANAGER)
    return kept if isinstance(kept, str) else manager_of(urn)


def _substance(live: Object) -> Object:
    metadata = {key: value for key, value in live["metadata"].items() if key not in _SERVER_FIELDS}
    return {**{key: value for key, value in live.items() if key != "status"}, "metadata": metadata}


def _importable(live: Object) -> Object:
    kept = ("annotations", "labels", "name", "namespace")
    metadata = {key: value for key, value in live["metadata"].items() if key in kept}
    return {**{key: value for key, value in live.items() if key != "status"}, "metadata": metadata}


def _secret_keys(value: Object) -> list[str]:
    if not is_secret(value.get("apiVersion", ""), value.get("kind", "")):
        return []
    return [key for key in SECRET_PROPERTIES if key in value]


def _managers(live: Object) -> set[str]:
    return {str(entry.get("manager")) for entry in live["metadata"].get("managedFields") or []}


def _old_automatic_name(olds: Object) -> str | None:
    metadata = olds.get("metadata") or {}
    if (metadata.get("annotations") or {}).get(_AUTONAMED) != "true":
        return None
    name: str | None = metadata.get("name")
    return name


def _automatic_name(request: provider_pb2.CheckRequest) -> str:
    if request.HasField("autonaming") and request.autonaming.proposed_name:
        return request.autonaming.proposed_name
    return f"{request.name}-{hashlib.sha256(request.randomSeed).hexdigest()[:8]}"
