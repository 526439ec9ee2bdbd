"""Running the resource transforms of a program.

A program hosts its transforms itself; the engine calls them back over gRPC while a registration waits. The
recording monitor does the same, so that what is recorded is what a deployment would create.
"""

import threading
from collections.abc import Iterable
from typing import Any

import grpc
from pulumi.runtime.proto import callback_pb2, callback_pb2_grpc, resource_pb2
from pulumi.runtime.proto.callback_pb2 import Callback
from pulumi.runtime.proto.resource_pb2 import RegisterResourceRequest, TransformResourceOptions

_MAX_MESSAGE_BYTES = 400 * 1024 * 1024
_OPTIONS = (
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.enable_http_proxy", 0),
)


class Transforms:
    """The transforms registered so far, by resource and for the whole stack. Safe for several threads."""

    def __init__(self) -> None:
        self._by_urn: dict[str, tuple[Callback, ...]] = {}
        self._stack: list[Callback] = []
        self._channels: dict[str, grpc.Channel] = {}
        self._lock = threading.Lock()

    def register_for_stack(self, callback: Callback) -> None:
        """Remember a transform of the stack. Must not call back: the program's event loop is waiting."""
        with self._lock:
            self._stack.append(callback)

    def remember(self, urn: str, callbacks: Iterable[Callback]) -> None:
        """Remember a resource's own transforms, which its children inherit."""
        callbacks = tuple(callbacks)
        if callbacks:
            with self._lock:
                self._by_urn[urn] = callbacks

    def applying_to(self, own: Iterable[Callback], ancestors: Iterable[str]) -> list[Callback]:
        """The transforms of a registration in the engine's order: its own, each parent's, the stack's."""
        with self._lock:
            callbacks = list(own)
            for urn in ancestors:
                callbacks.extend(self._by_urn.get(urn, ()))
            callbacks.extend(self._stack)
            return callbacks

    def apply(self, callbacks: Iterable[Callback], request: RegisterResourceRequest) -> None:
        """Run the transforms and writes the results into the request. Raises grpc.RpcError if one fails."""
        for callback in callbacks:
            question = resource_pb2.TransformRequest(
                type=request.type,
                name=request.name,
                custom=request.custom,
                parent=request.parent,
                properties=request.object,
                options=_options_of(request),
            )
            stub = callback_pb2_grpc.CallbacksStub(self._channel(callback.target))
            answer = stub.Invoke(
                callback_pb2.CallbackInvokeRequest(token=callback.token, request=question.SerializeToString())
            )
            response = resource_pb2.TransformResponse.FromString(answer.response)
            if response.HasField("properties"):
                request.object.CopyFrom(response.properties)
            if response.HasField("options"):
                _write_options(response.options, request)

    def _channel(self, target: str) -> grpc.Channel:
        with self._lock:
            if target not in self._channels:
                self._channels[target] = grpc.insecure_channel(target, options=_OPTIONS)
            return self._channels[target]

    def close(self) -> None:
        """Close the connections to the program."""
        with self._lock:
            channels, self._channels = list(self._channels.values()), {}
        for channel in channels:
            channel.close()


_LISTS = {
    "depends_on": "dependencies",
    "ignore_changes": "ignoreChanges",
    "replace_on_changes": "replaceOnChanges",
    "additional_secret_outputs": "additionalSecretOutputs",
    "replace_with": "replace_with",
    "hide_diff": "hideDiffs",
    "aliases": "aliases",
}
_OPTIONAL_FLAGS = {"protect": "protect", "retain_on_delete": "retainOnDelete"}
_MESSAGES = {
    "hooks": "hooks",
    "replacement_trigger": "replacement_trigger",
    "custom_timeouts": "customTimeouts",
}


def _options_of(request: RegisterResourceRequest) -> TransformResourceOptions:
    options = resource_pb2.TransformResourceOptions(
        version=request.version,
        provider=request.provider,
        plugin_download_url=request.pluginDownloadURL,
        deleted_with=request.deletedWith,
        providers=request.providers,
    )
    setattr(options, "import", request.importId)
    for theirs, ours in _LISTS.items():
        getattr(options, theirs).extend(getattr(request, ours))
    for urn in request.aliasURNs:
        options.aliases.add().urn = urn
    source: Any = request
    for theirs, ours in _OPTIONAL_FLAGS.items():
        if source.HasField(ours):
            setattr(options, theirs, getattr(source, ours))
    if request.deleteBeforeReplaceDefined or request.deleteBeforeReplace:
        options.delete_before_replace = request.deleteBeforeReplace
    for theirs, ours in _MESSAGES.items():
        if source.HasField(ours):
            getattr(options, theirs).CopyFrom(getattr(source, ours))
    return options


def _write_options(options: TransformResourceOptions, request: RegisterResourceRequest) -> None:
    # The generated classes type field names as literals; here they come from a table.
    source: Any = options
    target: Any = request
    request.version = options.version
    request.provider = options.provider
    request.pluginDownloadURL = options.plugin_download_url
    request.deletedWith = options.deleted_with
    request.importId = getattr(options, "import")
    request.providers.clear()
    request.providers.update(options.providers)
    request.ClearField("aliasURNs")
    for theirs, ours in _LISTS.items():
        target.ClearField(ours)
        getattr(target, ours).extend(getattr(source, theirs))
    for theirs, ours in _OPTIONAL_FLAGS.items():
        target.ClearField(ours)
        if source.HasField(theirs):
            setattr(target, ours, getattr(source, theirs))
    request.deleteBeforeReplaceDefined = options.HasField("delete_before_replace")
    request.deleteBeforeReplace = options.delete_before_replace
    for theirs, ours in _MESSAGES.items():
        target.ClearField(ours)
        if source.HasField(theirs):
            getattr(target, ours).CopyFrom(getattr(source, theirs))
