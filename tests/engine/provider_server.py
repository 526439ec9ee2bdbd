"""Stand-in providers in this process, which the engine attaches to instead of starting a plugin."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NoReturn

import grpc
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

_EMPTY = Empty()
_WORKERS = 32


class ProviderBase(provider_pb2_grpc.ResourceProviderServicer):
    """What a provider answers in any case; `version` is that of the SDK that it serves.

    Secrets reach it in clear: the engine marks outputs that stand where secrets stood in the inputs.
    """

    def __init__(self, version: str) -> None:
        self._version = version

    def Attach(self, request: plugin_pb2.PluginAttach, context: object) -> Empty:  # noqa: N802
        return _EMPTY

    def Handshake(  # noqa: N802
        self, request: provider_pb2.ProviderHandshakeRequest, context: object
    ) -> provider_pb2.ProviderHandshakeResponse:
        return provider_pb2.ProviderHandshakeResponse()

    def GetPluginInfo(self, request: object, context: object) -> plugin_pb2.PluginInfo:  # noqa: N802
        return plugin_pb2.PluginInfo(version=self._version)

    def GetSchema(self, request: object, context: object) -> provider_pb2.GetSchemaResponse:  # noqa: N802
        return provider_pb2.GetSchemaResponse(schema="{}")

    def CheckConfig(self, request: provider_pb2.CheckRequest, context: object) -> provider_pb2.CheckResponse:  # noqa: N802
        return provider_pb2.CheckResponse(inputs=request.news)

    def Configure(  # noqa: N802
        self, request: provider_pb2.ConfigureRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ConfigureResponse:
        return provider_pb2.ConfigureResponse(supportsPreview=True)

    def Cancel(self, request: object, context: object) -> Empty:  # noqa: N802
        return _EMPTY


def fail(context: grpc.ServicerContext, message: str) -> NoReturn:
    """Ends a call as a failure: nothing was changed."""
    context.abort(grpc.StatusCode.UNKNOWN, message)
    raise AssertionError("unreachable")


@contextmanager
def attached(providers: Mapping[str, ProviderBase]) -> Iterator[dict[str, str]]:
    """Serves providers by package name, and gives the environment that makes an engine attach to them."""
    servers = []
    try:
        places = []
        for package, provider in sorted(providers.items()):
            server = grpc.server(
                ThreadPoolExecutor(max_workers=_WORKERS, thread_name_prefix=package),
                options=(("grpc.so_reuseport", 0),),
            )
            provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
            port = server.add_insecure_port("127.0.0.1:0")
            server.start()
            servers.append(server)
            places.append(f"{package}:{port}")
        yield {"PULUMI_DEBUG_PROVIDERS": ",".join(places)}
    finally:
        for server in servers:
            server.stop(grace=None).wait()
