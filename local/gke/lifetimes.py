"""When machines and their pods end that Google takes back. Pure."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gke_llm_inference.catalog.facts import ShutdownLimits
from local.gke.nodes import CRITICAL, SHUTDOWN
from local.gke.pools import RECYCLE_LABEL, Pool
from local.gke.stages import EXIT_SECONDS

ENDS = "node.gke.io/machine-termination-datetime"
"""Annotation of a node whose machine goes at a time that is known; GKE's autoscaler reads it too."""

RECLAIM = "local-gke/reclaim"
"""Annotation of a Spot node that Google takes back."""

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Grace:
    """What a kubelet has before its machine goes, in simulated seconds.

    Attributes:
        machine: until the machine is gone.
        pods: how much of that pods of users have.

    """

    machine: int
    pods: int

    @classmethod
    def of(cls, node: Document, limits: ShutdownLimits) -> "Grace":
        """The grace of a node: its own, or else GKE's."""
        said = node["metadata"].get("annotations", {})
        critical = int(said.get(CRITICAL, limits.spot_critical))
        machine = int(said.get(SHUTDOWN, limits.spot + limits.spot_critical))
        return cls(machine, machine - critical)

    def until_end(self, pod: Document) -> float:
        """Seconds from the notice until a pod's containers have ended, by themselves or not."""
        spec = pod["spec"]
        sleeps = [
            one.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0) for one in spec["containers"]
        ]
        return float(min(max(sleeps) + EXIT_SECONDS, spec.get("terminationGracePeriodSeconds", 30), self.pods))


def ends_of(pool: Pool, wall: float, speed: float) -> dict[str, str]:
    """The annotation of a node whose machine comes at a time: when it goes again, if that is known.

    Args:
        pool: whose machine it is.
        wall: seconds since 1970.
        speed: seconds of simulated time in one second.

    """
    run = pool.provision.run_seconds
    if run is None:
        return {}
    return {ENDS: datetime.datetime.fromtimestamp(wall + run / speed, datetime.UTC).isoformat()}


def seconds_left(node: Document, wall: float, speed: float) -> float | None:
    """Simulated seconds until a node's machine goes; None where it has no end."""
    text = node["metadata"].get("annotations", {}).get(ENDS)
    return None if text is None else (datetime.datetime.fromisoformat(text).timestamp() - wall) * speed


def is_taken(node: Document, wall: float, speed: float) -> bool:
    """Whether Google takes a node's machine back now."""
    left = seconds_left(node, wall, speed)
    return RECLAIM in node["metadata"].get("annotations", {}) or (left is not None and left <= 0)


def is_to_recycle(node: Document, wall: float, speed: float) -> bool:
    """Whether it is time to bring a successor of a node."""
    lead, left = node["metadata"]["labels"].get(RECYCLE_LABEL), seconds_left(node, wall, speed)
    return lead is not None and left is not None and left < int(lead)
