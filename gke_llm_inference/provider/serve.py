"""The plugin's server. The engine starts it with its own address, or attaches to one that runs already."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc.aio
from google.protobuf.empty_pb2 import Empty
from pulumi.provider.server import ProviderServicer
from pulumi.runtime.proto import provider_pb2_grpc

from gke_llm_inference.provider.arguments import COMPONENTS
from gke_llm_inference.provider.inputs import plain_parts, wire_problems
from gke_llm_inference.provider.plans import all_problems
from gke_llm_inference.provider.provider import ComponentProvider, property_errors

_MAX_MESSAGE_BYTES = 400 * 1024 * 1024
# Each registration that the engine has not answered yet holds one: a Deployment for as long as its model loads.
_WORKERS = 256


class Servicer(ProviderServicer):
    """The SDK's server of components, which engines can attach to, and which says where an input must be plain."""

    async def Attach(self, request: Any, context: Any) -> Empty:  # noqa: ARG002, D102, N802
        self.engine_address = request.address
        return Empty()

    async def Construct(self, request: Any, context: Any) -> Any:  # noqa: D102, N802
        component = COMPONENTS.get(request.type)
        if component is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no component {request.type}")
        else:
            problems = wire_problems(component, request.inputs, request.inputDependencies)
            if problems:
                raw = plain_parts(request.inputs, component.outputs_allowed)
                error = property_errors(all_problems(component, problems, raw))
                await context.abort_with_status(self.create_grpc_invalid_properties_status(error.message, error.errors))
        return await super().Construct(request, context)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serves until the process ends; the port goes to standard output, as the engine expects it."""
    parser = argparse.ArgumentParser(description="Pulumi component provider for LLM inference on GKE")
    parser.add_argument("engine", nargs="?", default="", help="address of the engine; it may attach later")
    # The engine may pass flags of its own, about logs.
    engine = parser.parse_known_args(arguments)[0].engine
    try:
        asyncio.run(_serve(engine))
    except KeyboardInterrupt:
        return


async def _serve(engine: str) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_WORKERS))
    options = [("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES)]
    server = grpc.aio.server(options=options)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Servicer(ComponentProvider(), [], engine), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await server.wait_for_termination()
