"""Flows: who may talk to a server, or whom it may talk to, at which ports, and why. Plain data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Direction = Literal["in", "out"]
DIRECTIONS: tuple[Direction, ...] = ("in", "out")
Protocol = Literal["TCP", "UDP"]
Feature = Literal[
    "calls",
    "probes",
    "load",
    "metrics",
    "gateway",
    "holder",
    "picker",
    "dns",
    "model",
    "identity",
    "tracing",
    "opened",
    "servers",
    "control",
    "group",
]
"""What a flow is for; `load` is what an autoscaler follows, `holder` holds requests while there is no pod, `identity`
is Workload Identity, `opened` what the settings add, `picker` an endpoint picker that asks a server, `servers` what it
asks, `control` the API server that it learns of pods from, and `group` the pods of a replica that spans machines."""

Labels = tuple[tuple[str, str], ...]
"""Labels, sorted by key."""


NAMESPACE_NAME = "kubernetes.io/metadata.name"
"""The label by which Kubernetes itself marks every namespace with its name."""


@dataclass(frozen=True, kw_only=True, order=True)
class PodPeer:
    """Pods of the cluster.

    Attributes:
        namespace: labels of their namespace, none for every namespace; None for the server's own.
        pods: labels of the pods; none for every pod.

    """

    namespace: Labels | None = None
    pods: Labels = ()

    def __str__(self) -> str:
        pods = f"pods {_labels(self.pods)}" if self.pods else "every pod"
        if self.namespace is None:
            return f"{pods} of the same namespace"
        if not self.namespace:
            return f"{pods} of every namespace"
        named = dict(self.namespace).get(NAMESPACE_NAME) if len(self.namespace) == 1 else None
        return f"{pods} of " + (f"namespace {named}" if named else f"namespaces {_labels(self.namespace)}")


@dataclass(frozen=True, kw_only=True, order=True)
class AddressPeer:
    """Addresses, none of which is a pod's.

    Attributes:
        cidr: their range.
        without: ranges within it that are not meant, sorted.

    """

    cidr: str
    without: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.without:
            return self.cidr
        return f"{self.cidr} but {', '.join(self.without)}"


@dataclass(frozen=True, kw_only=True, order=True)
class HostPeer:
    """Hosts outside of the cluster.

    Attributes:
        hosts: their names, sorted; a star stands for one label.

    """

    hosts: tuple[str, ...]

    def __str__(self) -> str:
        return ", ".join(self.hosts)


@dataclass(frozen=True, kw_only=True, order=True)
class NodePeer:
    """The node that the pod runs on. No policy can deny its traffic, so no rule stands for it."""

    def __str__(self) -> str:
        return "the pod's own node"


Peer = PodPeer | AddressPeer | HostPeer | NodePeer


@dataclass(frozen=True, kw_only=True, order=True)
class Port:
    """A port of a protocol."""

    protocol: Protocol
    number: int
    """0 for every port."""

    def __str__(self) -> str:
        return f"{self.protocol} {self.number}" if self.number else f"{self.protocol}, every port"


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Traffic that is allowed.

    Attributes:
        direction: whether the peer begins it, or the server.
        peer: who is at the other end.
        ports: ports of whoever is called, sorted.
        feature: what it is for.
        why: why it is needed, as a short clause.

    """

    direction: Direction
    peer: Peer
    ports: tuple[Port, ...]
    feature: Feature
    why: str

    @property
    def key(self) -> tuple[str, str, tuple[Port, ...], str]:
        """By what flows are sorted."""
        return self.direction, self.feature, self.ports, str(self.peer)


def labels(mapping: Mapping[str, str]) -> Labels:
    """The labels of a mapping."""
    return tuple(sorted(mapping.items()))


def tcp(*numbers: int) -> tuple[Port, ...]:
    """TCP ports."""
    return tuple(Port(protocol="TCP", number=number) for number in sorted(set(numbers)))


def _labels(pairs: Labels) -> str:
    return ", ".join(f"{key}={value}" for key, value in pairs)
