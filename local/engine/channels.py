"""Connections of the SDK to an engine, each of its own."""

from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS

OPTION = ("grpc.use_local_subchannel_pool", 1)


def keep_apart() -> None:
    """Makes gRPC open a connection for each channel that the SDK makes from now on.

    Channels to one address share a connection, and with it the pause after a failed attempt. A process that runs
    many engines, one after another, gets the port of a killed one again; its program would then be told at once that
    the new engine is not there.
    """
    if OPTION not in _GRPC_CHANNEL_OPTIONS:
        _GRPC_CHANNEL_OPTIONS.append(OPTION)
