"""Resource providers in this process, which the engine attaches to instead of starting a plugin."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import grpc
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from google.protobuf.message import Message
    from google.protobuf.struct_pb2 import Struct

_EMPTY = Empty()
ATTACH_VARIABLE = "PULUMI_DEBUG_PROVIDERS"
_MAX_MESSAGE_BYTES = 400 * 1024 * 1024
# Each resource that is waited for holds one; large stacks have hundreds.
_WORKERS = 256


class EngineLog:
    """Messages about a resource, for whoever watches the engine."""

    def __init__(self) -> None:
        self._engine: engine_pb2_grpc.EngineStub | None = None

    def connect(self, address: str) -> None:
        """Sends messages to the engine at an address from now on."""
        if address:
            self._engine = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address))

    def status(self, urn: str, message: str) -> None:
        """A message that the next one takes the place of."""
        if self._engine is None:
            return
        request = engine_pb2.LogRequest(severity=engine_pb2.INFO, message=message, urn=urn, ephemeral=True)
        try:
            self._engine.Log(request, timeout=5)
        except grpc.RpcError:
            self._engine = None  # the engine has gone; nobody is left to tell


class ProviderBase(provider_pb2_grpc.ResourceProviderServicer):
    """What every provider here answers in the same way; `version` is that of the SDK that it serves.

    Secrets reach it in clear: the engine marks outputs that stand where secrets stood in the inputs.
    """

    def __init__(self, version: str) -> None:
        self.log = EngineLog()
        self._version = version

    def Attach(self, request: plugin_pb2.PluginAttach, context: object) -> Empty:  # noqa: ARG002, D102, N802
        self.log.connect(request.address)
        return _EMPTY

    def Handshake(  # noqa: D102, N802
        self,
        request: provider_pb2.ProviderHandshakeRequest,
        context: object,  # noqa: ARG002
    ) -> provider_pb2.ProviderHandshakeResponse:
        self.log.connect(request.engine_address)
        return provider_pb2.ProviderHandshakeResponse()

    def GetPluginInfo(self, request: object, context: object) -> plugin_pb2.PluginInfo:  # noqa: ARG002, D102, N802
        return plugin_pb2.PluginInfo(version=self._version)

    def GetSchema(self, request: object, context: object) -> provider_pb2.GetSchemaResponse:  # noqa: ARG002, D102, N802
        return provider_pb2.GetSchemaResponse(schema="{}")

    def CheckConfig(  # noqa: D102, N802
        self,
        request: provider_pb2.CheckRequest,
        context: object,  # noqa: ARG002
    ) -> provider_pb2.CheckResponse:
        return provider_pb2.CheckResponse(inputs=request.news)

    def Configure(  # noqa: D102, N802
        self,
        request: provider_pb2.ConfigureRequest,  # noqa: ARG002
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> provider_pb2.ConfigureResponse:
        return provider_pb2.ConfigureResponse(supportsPreview=True)

    def Cancel(self, request: object, context: object) -> Empty:  # noqa: ARG002, D102, N802
        self.cancel()
        return _EMPTY

    def cancel(self) -> None:
        """Ends whatever is waited for, as soon as possible."""


def fail(context: grpc.ServicerContext, message: str) -> NoReturn:
    """Ends a call as a failure: nothing was changed."""
    context.abort(grpc.StatusCode.UNKNOWN, message)
    raise AssertionError("unreachable")


def fail_halfway(context: grpc.ServicerContext, message: str, id_: str, properties: Struct) -> NoReturn:
    """Ends a creation or update as a failure of an object that exists all the same, so that it is not lost."""
    detail = provider_pb2.ErrorResourceInitFailed(id=id_, properties=properties, reasons=[message])
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=message)
    packed: Message = status.details.add()
    packed.Pack(detail)  # type: ignore[attr-defined]
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    fail(context, message)


@contextmanager
def attached(providers: Mapping[str, ProviderBase]) -> Iterator[dict[str, str]]:
    """Serves providers by package name, and gives the environment that makes an engine attach to them."""
    servers = []
    try:
        places = []
        for package, provider in sorted(providers.items()):
            server = grpc.server(
                ThreadPoolExecutor(max_workers=_WORKERS, thread_name_prefix=package),
                options=(
                    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
                    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
                    ("grpc.so_reuseport", 0),
                ),
            )
            provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
            port = server.add_insecure_port("127.0.0.1:0")
            server.start()
            servers.append(server)
            places.append(f"{package}:{port}")
        yield {ATTACH_VARIABLE: ",".join(places)} if places else {}
    finally:
        # An engine that was killed cancels nothing, and a thread that waits would keep this process alive.
        for provider in providers.values():
            provider.cancel()
        for server in servers:
            server.stop(grace=None).wait()
