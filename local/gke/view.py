"""The cluster as the node autoscaler sees it at one moment. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local.gke.compute_classes import ComputeClass
from local.gke.lifetimes import is_taken, is_to_recycle
from local.gke.scaling import of_daemon_set
from local.gke.simulation import Simulation

Document = dict[str, Any]


@dataclass(frozen=True)
class View:
    """One look at the cluster.

    Attributes:
        now: seconds of a clock that only goes forward.
        wall: seconds since 1970.
        speed: seconds of simulated time in one second.
        classes: by name.

    """

    now: float
    wall: float
    speed: float
    simulation: Simulation
    classes: Mapping[str, ComputeClass]
    nodes: list[Document]
    pods: list[Document]
    claims: list[Document]
    volumes: list[Document]

    @property
    def pool_names(self) -> set[str]:
        """The names of all node pools, those that compute classes may have included."""
        made = (pool for one in self.classes.values() for tier in one.tiers for pool in tier.pools)
        return {pool.name for pool in (*self.simulation.pools, *made)}

    @property
    def ready(self) -> set[str]:
        """The names of the nodes that speak."""
        return {name_of(one) for one in self.nodes if is_ready(one)}

    @property
    def recycled(self) -> list[Document]:
        """Nodes that end soon enough to be replaced."""
        return [one for one in self.nodes if is_to_recycle(one, self.wall, self.speed)]

    @property
    def taken(self) -> list[Document]:
        """Nodes that Google takes back."""
        return [one for one in self.nodes if is_taken(one, self.wall, self.speed)]

    def on(self, node: str) -> list[Document]:
        """The pods that run on a node, and go elsewhere when it goes."""
        return [pod for pod in self.pods if pod["spec"].get("nodeName") == node and _is_running(pod)]

    def later(self, seconds: float) -> float:
        """The time of `now` in so many simulated seconds."""
        return self.now + seconds / self.speed


def name_of(document: Document) -> str:
    """The name of an object."""
    return str(document["metadata"]["name"])


def path_of_pod(pod: Document) -> str:
    """Where the API has a pod."""
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


def is_leaving(pod: Document) -> bool:
    """Whether a pod is being deleted."""
    return "deletionTimestamp" in pod["metadata"]


def is_pending(pod: Document) -> bool:
    """Whether the scheduler has looked at the pod and found no place."""
    if pod["spec"].get("nodeName") or is_leaving(pod):
        return False
    return any(
        condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable"
        for condition in pod["status"].get("conditions", ())
    )


def is_ready(node: Document) -> bool:
    """Whether a node speaks; one without conditions has not spoken yet."""
    conditions = node["status"].get("conditions", ())
    return all(condition["status"] == "True" for condition in conditions if condition["type"] == "Ready")


def _is_running(pod: Document) -> bool:
    return pod["status"].get("phase") in ("Pending", "Running") and not of_daemon_set(pod)
