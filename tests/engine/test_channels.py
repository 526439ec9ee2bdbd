"""An engine at the port of one that is gone."""

from __future__ import annotations

import contextvars
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime import settings
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import engine_pb2

from local.engine import channels

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Engine(grpc.GenericRpcHandler):
    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Empty]:
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: Empty(), response_serializer=Empty.SerializeToString
        )


@contextmanager
def engine(port: int = 0) -> Iterator[int]:
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((_Engine(),))
    chosen = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield chosen
    finally:
        server.stop(0).wait()


def log(port: int) -> None:
    settings.reset_options(engine_address=f"127.0.0.1:{port}")
    found = settings.get_engine()
    assert found is not None
    found.Log(engine_pb2.LogRequest(message="hello"))


def ask_one_after_another() -> None:
    with engine() as port:
        log(port)
        gone = settings.get_engine()
    assert gone is not None
    with pytest.raises(grpc.RpcError) as told:
        gone.Log(engine_pb2.LogRequest(message="nobody hears it"))
    assert told.value.code() == grpc.StatusCode.UNAVAILABLE
    with engine(port):
        log(port)


def test_a_program_reaches_an_engine_at_the_port_of_one_that_was_killed() -> None:
    channels.keep_apart()
    channels.keep_apart()
    contextvars.copy_context().run(ask_one_after_another)
    assert _GRPC_CHANNEL_OPTIONS.count(channels.OPTION) == 1
