"""How long machines take to end."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class NodeShutdown:
    """How long a machine takes to end, in seconds.

    Attributes:
        seconds: for all of its pods.
        critical_seconds: the end of that, which is for system pods alone.

    """

    seconds: int
    critical_seconds: int
