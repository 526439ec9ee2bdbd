"""Flows as Kubernetes takes them: the specs of a NetworkPolicy and, for hosts, of GKE's FQDNNetworkPolicy."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from gke_llm_inference.planning.network_policy.flows import (
    AddressPeer,
    Direction,
    Flow,
    HostPeer,
    Labels,
    NodePeer,
    PodPeer,
    Port,
)


def policy_spec(selector: Mapping[str, str], flows: Iterable[Flow]) -> dict[str, Any]:
    """The spec of the NetworkPolicy: both directions are denied for the selected pods, but for the flows.

    Hosts are left out, as it cannot name them, and the pod's own node, which it cannot deny.

    Args:
        selector: labels of the server's pods.
        flows: what is allowed.

    """
    named = [flow for flow in flows if not isinstance(flow.peer, HostPeer | NodePeer)]
    return {
        "podSelector": {"matchLabels": dict(selector)},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": _rules(named, "in", "from"),
        "egress": _rules(named, "out", "to"),
    }


def group_policy_spec(selector: Mapping[str, str], called: Iterable[Flow]) -> dict[str, Any]:
    """The spec of the NetworkPolicy of one group: its pods reach each other at every port, and what they call.

    torch.distributed and NCCL listen at ports of their own choice, so no narrower rule is possible.

    Args:
        selector: labels of the pods of the group, and of no others.
        called: whom they call besides.

    """
    own: dict[str, Any] = {"podSelector": {"matchLabels": dict(selector)}}
    spec = policy_spec(selector, called)
    every = [{"protocol": "TCP"}]
    spec["ingress"] = [{"from": [own], "ports": every}]
    spec["egress"] = [{"to": [own], "ports": every}, *spec["egress"]]
    return spec


def fqdn_policy_spec(selector: Mapping[str, str], flows: Iterable[Flow]) -> dict[str, Any] | None:
    """The spec of the FQDNNetworkPolicy, which adds hosts to what the NetworkPolicy allows; None without hosts."""
    named = [(flow.ports, flow.peer.hosts) for flow in flows if isinstance(flow.peer, HostPeer)]
    if not named:
        return None
    return {
        "podSelector": {"matchLabels": dict(selector)},
        "egress": [
            {
                "matches": [
                    {"pattern" if "*" in host else "name": host}
                    for host in sorted({host for _, hosts in group for host in hosts})
                ],
                "ports": _ports(ports),
            }
            for ports, group in groupby(sorted(named), key=lambda one: one[0])
        ],
    }


def _rules(flows: Iterable[Flow], direction: Direction, word: str) -> list[dict[str, Any]]:
    """One rule for all peers that share their ports."""
    chosen = sorted(
        (flow for flow in flows if flow.direction == direction), key=lambda flow: (flow.ports, str(flow.peer))
    )
    return [
        {word: _unique(_peer(flow) for flow in group), "ports": _ports(ports)}
        for ports, group in groupby(chosen, key=lambda flow: flow.ports)
    ]


def _unique(peers: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for peer in peers:
        if peer not in found:
            found.append(peer)
    return found


def _peer(flow: Flow) -> dict[str, Any]:
    match flow.peer:
        case PodPeer(namespace=namespace, pods=pods):
            selectors = {} if namespace is None else {"namespaceSelector": _selector(namespace)}
            # Without a namespace of its own a peer has to select pods, or it would be empty.
            return selectors | ({"podSelector": _selector(pods)} if pods or namespace is None else {})
        case AddressPeer(cidr=cidr, without=without):
            return {"ipBlock": {"cidr": cidr} | ({"except": list(without)} if without else {})}
        case peer:
            raise TypeError(f"{peer} is not for a NetworkPolicy")


def _selector(pairs: Labels) -> dict[str, Any]:
    return {"matchLabels": dict(pairs)} if pairs else {}


def _ports(ports: Iterable[Port]) -> list[dict[str, Any]]:
    return [{"protocol": port.protocol, "port": port.number} for port in ports]
