"""The provider of this repository as a plugin: a program that the engine finds on PATH and starts itself."""

import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from local.engine.kubernetes_provider.cluster import ApiServer
from local.engine.kubernetes_provider.provider import KubernetesProvider
from tests.support import REPOSITORY

NAME = "pulumi-resource-kubernetes"
"""The name under which the engine looks for the plugin of package `kubernetes`."""


def write_plugin(directory: Path, kubeconfig: Path, context: str) -> Path:
    """Writes a program that serves the cluster of a kubeconfig; the directory for PATH."""
    program = directory / NAME
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(
        "#!/bin/sh\n"
        f"PYTHONPATH='{REPOSITORY}' exec '{sys.executable}' -m tests.engine.plugin "
        f"'{kubeconfig}' '{context}' '{directory / 'discovery.json'}'\n"
    )
    program.chmod(0o755)
    return directory


def main(kubeconfig: str, context: str, cache: str) -> None:
    """Serves until it is told to stop, and says where on standard output, as plugins do."""
    provider = KubernetesProvider(ApiServer(Path(kubeconfig), context, Path(cache)), lambda arguments: None)
    server = grpc.server(ThreadPoolExecutor(64))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main(*sys.argv[1:])
