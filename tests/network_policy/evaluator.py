"""Whether policies let traffic through, by the rules of Kubernetes and of GKE's FQDNNetworkPolicy.

It reads the objects as they are applied and knows nothing of how they were made. What it does not know it refuses, so
that a field with no effect cannot pass for one with.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Pod:
    """A pod, with the labels of its namespace."""

    namespace: str
    labels: Labels = ()
    namespace_labels: Labels = ()
    address: str = "10.16.0.9"

    @property
    def all_namespace_labels(self) -> dict[str, str]:
        return {**dict(self.namespace_labels), "kubernetes.io/metadata.name": self.namespace}


@dataclass(frozen=True, kw_only=True)
class Outside:
    """A machine that is no pod, by its address and, where it was found by one, its name."""

    address: str
    host: str | None = None


@dataclass(frozen=True)
class OwnNode:
    """The node that the pod runs on."""


Peer = Pod | Outside | OwnNode


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """A connection of a pod with a peer; the port is of whoever is called."""

    direction: Literal["in", "out"]
    peer: Peer
    port: int
    protocol: str = "TCP"


def allowed(policies: Sequence[Mapping[str, Any]], pod: Pod, traffic: Traffic, *, blocks_match_pods: bool) -> bool:
    """Whether the pod and the peer can talk.

    Args:
        policies: objects of NetworkPolicy and FQDNNetworkPolicy.
        pod: the pod that they may select.
        traffic: the connection.
        blocks_match_pods: whether ranges of addresses cover those of pods too: with Calico they do, with Dataplane V2
            they are for what is outside of the cluster.

    """
    if isinstance(traffic.peer, OwnNode):
        return True
    word = {"in": "ingress", "out": "egress"}[traffic.direction]
    guarded = False
    for policy in policies:
        spec = policy["spec"]
        if policy["metadata"]["namespace"] != pod.namespace or not _selects(spec["podSelector"], dict(pod.labels)):
            continue
        if policy["kind"] == "FQDNNetworkPolicy":
            _known(spec, "podSelector", "egress")
            if traffic.direction == "out":
                guarded = True
                if any(_names(rule, traffic) for rule in spec["egress"]):
                    return True
            continue
        _known(spec, "podSelector", "policyTypes", "ingress", "egress")
        if word.capitalize() in spec["policyTypes"]:
            guarded = True
            peers = {"in": "from", "out": "to"}[traffic.direction]
            if any(
                _fits(rule, peers, policy["metadata"]["namespace"], traffic, blocks_match_pods)
                for rule in spec.get(word, ())
            ):
                return True
    return not guarded


def _fits(rule: Mapping[str, Any], word: str, namespace: str, traffic: Traffic, blocks_match_pods: bool) -> bool:
    _known(rule, word, "ports")
    peers, ports = rule.get(word), rule.get("ports")
    at_port = not ports or any(_at(port, traffic) for port in ports)
    return at_port and (not peers or any(_is(peer, namespace, traffic.peer, blocks_match_pods) for peer in peers))


def _at(port: Mapping[str, Any], traffic: Traffic) -> bool:
    _known(port, "protocol", "port")
    return port.get("protocol", "TCP") == traffic.protocol and port.get("port") in (None, traffic.port)


def _is(selector: Mapping[str, Any], namespace: str, peer: Peer, blocks_match_pods: bool) -> bool:
    _known(selector, "podSelector", "namespaceSelector", "ipBlock")
    assert selector, "an empty peer is invalid"
    block = selector.get("ipBlock")
    if block is not None:
        assert len(selector) == 1, "ipBlock stands alone"
        _known(block, "cidr", "except")
        if isinstance(peer, Pod) and not blocks_match_pods:
            return False
        assert isinstance(peer, Pod | Outside)
        address, range_ = _address(peer.address), _network(block["cidr"])
        without = [_network(one) for one in block.get("except", ())]
        assert all(one.subnet_of(range_) and one != range_ for one in without), "exceptions lie within the range"
        return address in range_ and not any(address in one for one in without)
    if not isinstance(peer, Pod):
        return False
    of_namespace = (
        _selects(selector["namespaceSelector"], peer.all_namespace_labels)
        if "namespaceSelector" in selector
        else peer.namespace == namespace
    )
    return of_namespace and _selects(selector.get("podSelector", {}), dict(peer.labels))


def _names(rule: Mapping[str, Any], traffic: Traffic) -> bool:
    _known(rule, "matches", "ports")
    assert rule["matches"], "matches may not be empty"
    assert rule["ports"], "without ports all would be open"
    if not isinstance(traffic.peer, Outside) or traffic.peer.host is None:
        return False
    host = traffic.peer.host
    return any(_at(port, traffic) for port in rule["ports"]) and any(_matches(one, host) for one in rule["matches"])


def _matches(match: Mapping[str, str], host: str) -> bool:
    assert len(match) == 1
    if "name" in match:
        assert "*" not in match["name"]
        return match["name"] == host
    return re.fullmatch(re.escape(match["pattern"]).replace(r"\*", r"[^.]*"), host) is not None


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    _known(selector, "matchLabels")
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())


@cache
def _network(text: str) -> ipaddress.IPv4Network:
    return ipaddress.IPv4Network(text)


@cache
def _address(text: str) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(text)


def _known(value: Mapping[str, Any], *keys: str) -> None:
    assert set(value) <= set(keys), f"unknown: {sorted(set(value) - set(keys))}"
