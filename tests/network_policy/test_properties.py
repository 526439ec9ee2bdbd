"""The rendered policies allow what the table of flows says, and nothing else, whatever the settings are."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gke_llm_inference.planning.network_policy.flows import AddressPeer, Flow, HostPeer, NodePeer, PodPeer
from tests.network_policy.evaluator import Outside, OwnNode, Peer, Pod, Traffic, allowed
from tests.network_policy.support import NAMESPACE, SERVER, objects, policy

# Few of everything, so that what is drawn for settings and for traffic meets often.
_LABELS = st.dictionaries(st.sampled_from(["app", "example.com/tier"]), st.sampled_from(["web", "db"]), max_size=2)
_NAMESPACE_LABELS = st.dictionaries(
    st.sampled_from(["team", "kubernetes.io/metadata.name"]), st.sampled_from(["search", "kube-system"]), max_size=2
)
_RANGES = st.sampled_from(["0.0.0.0/0", "10.0.0.0/8", "10.200.0.0/24", "203.0.113.7/32", "35.191.0.0/16"])
_PORTS = st.sampled_from([53, 80, 443, 988, 8000, 8443])
_HOSTS = st.sampled_from(["mirror.example.com", "*.example.com", "*.*.example.com", "huggingface.co"])
_PEERS = st.one_of(
    st.fixed_dictionaries({"cidr": _RANGES}),
    st.fixed_dictionaries({"podLabels": _LABELS}),
    st.fixed_dictionaries({"namespaceLabels": _NAMESPACE_LABELS}),
    st.fixed_dictionaries({"namespaceLabels": _NAMESPACE_LABELS, "podLabels": _LABELS}),
)
_DESTINATIONS = st.builds(
    lambda peer, ports: {**peer, "ports": ports},
    st.one_of(_PEERS, st.fixed_dictionaries({"host": _HOSTS})),
    st.lists(_PORTS, min_size=1, max_size=3),
)
_SETTINGS = st.fixed_dictionaries(
    {}, optional={"allowFrom": st.lists(_PEERS, max_size=3), "allowTo": st.lists(_DESTINATIONS, max_size=3)}
)
_FEATURES = st.fixed_dictionaries(
    {
        "storage": st.sampled_from([None, "persistentDisk", "gcsfuse"]),
        "by_name": st.booleans(),
        "proxy_range": st.sampled_from([None, "10.129.0.0/23"]),
    }
)
_ADDRESSES = st.sampled_from(
    [
        *("10.0.0.1", "10.129.1.1", "10.200.0.9", "35.191.3.3", "130.211.0.1", "169.254.169.254", "169.254.169.252"),
        *("169.254.20.10", "203.0.113.7", "203.0.113.8", "8.8.8.8", "192.168.0.1"),
    ]
)
_PODS = st.builds(
    lambda namespace, team, labels: Pod(
        namespace=namespace,
        labels=tuple(labels.items()),
        namespace_labels=(("team", team),) if team else (),
        # Policies are asked for pods of ranges that no block of theirs covers but the widest.
        address="10.16.0.9",
    ),
    st.sampled_from([NAMESPACE, "search", "kube-system", "gmp-system", "gke-gmp-system"]),
    st.sampled_from(["", "search", "other"]),
    st.one_of(
        _LABELS,
        st.sampled_from(
            [{"k8s-app": "kube-dns"}, {"k8s-app": "node-local-dns"}, {"app.kubernetes.io/name": "collector"}]
        ),
    ),
)
_OUTSIDE = st.builds(
    lambda address, host: Outside(address=address, host=host),
    _ADDRESSES,
    st.sampled_from([None, "mirror.example.com", "a.mirror.example.com", "example.com", "huggingface.co", "x.hf.co"]),
)
_TRAFFIC = st.builds(
    lambda direction, peer, port, protocol: Traffic(direction=direction, peer=peer, port=port, protocol=protocol),
    st.sampled_from(["in", "out"]),
    st.one_of(_PODS, _OUTSIDE, st.just(OwnNode())),
    _PORTS,
    st.sampled_from(["TCP", "TCP", "TCP", "UDP"]),
)


def covers(flow: Flow, traffic: Traffic) -> bool:
    """Whether a row of the table is about some traffic, as Dataplane V2 has it: ranges are not about pods."""
    if isinstance(traffic.peer, OwnNode):
        return True
    if flow.direction != traffic.direction:
        return False
    return any((port.protocol, port.number) == (traffic.protocol, traffic.port) for port in flow.ports) and _is_peer(
        flow, traffic.peer
    )


def _is_peer(flow: Flow, peer: Peer) -> bool:
    match flow.peer, peer:
        case PodPeer() as wanted, Pod():
            namespace = (
                peer.namespace == NAMESPACE
                if wanted.namespace is None
                else set(wanted.namespace) <= set(peer.all_namespace_labels.items())
            )
            return namespace and set(wanted.pods) <= set(peer.labels)
        case AddressPeer() as wanted, Outside():
            address = ipaddress.IPv4Address(peer.address)
            return address in ipaddress.IPv4Network(wanted.cidr) and not any(
                address in ipaddress.IPv4Network(one) for one in wanted.without
            )
        case HostPeer() as wanted, Outside(host=str() as host):
            return any(re.fullmatch(one.replace(".", r"\.").replace("*", "[^.]+"), host) for one in wanted.hosts)
        case _:
            return False


def witness(flow: Flow) -> list[Traffic]:
    """Traffic that a row of the table is about, one for each of its ports and hosts."""
    peers: list[Peer] = []
    match flow.peer:
        case PodPeer(namespace=namespace, pods=pods):
            labels = dict(namespace or ())
            name = labels.pop("kubernetes.io/metadata.name", NAMESPACE)
            peers = [Pod(namespace=name, labels=pods, namespace_labels=tuple(labels.items()))]
        case AddressPeer(cidr=cidr):
            peers = [Outside(address=str(ipaddress.IPv4Network(cidr).network_address))]
        case HostPeer(hosts=hosts):
            peers = [Outside(address="192.0.2.1", host=host.replace("*", "some")) for host in hosts]
        case NodePeer():
            peers = [OwnNode()]
    return [
        Traffic(direction=flow.direction, peer=peer, port=port.number, protocol=port.protocol)
        for peer in peers
        for port in flow.ports
    ]


@given(_SETTINGS, _FEATURES, st.lists(_TRAFFIC, min_size=5, max_size=15))
def test_what_is_allowed_is_in_the_table_and_the_other_way_round(
    settings: dict[str, Any], features: dict[str, Any], traffic: list[Traffic]
) -> None:
    plan = policy(settings, **features)
    assert plan is not None
    policies = objects(plan)
    for one in traffic:
        in_table = any(covers(flow, one) for flow in plan.flows)
        assert allowed(policies, SERVER, one, blocks_match_pods=False) is in_table


@given(_SETTINGS, _FEATURES)
def test_every_row_of_the_table_is_allowed(settings: dict[str, Any], features: dict[str, Any]) -> None:
    plan = policy(settings, **features)
    assert plan is not None
    policies = objects(plan)
    for flow in plan.flows:
        for one in witness(flow):
            for blocks_match_pods in (False, True):
                assert allowed(policies, SERVER, one, blocks_match_pods=blocks_match_pods), (flow, one)


@given(_SETTINGS, _FEATURES)
def test_the_order_of_the_settings_changes_nothing(settings: dict[str, Any], features: dict[str, Any]) -> None:
    turned = {key: value[::-1] for key, value in settings.items()}
    assert objects(policy(turned, **features)) == objects(policy(settings, **features))


@given(_SETTINGS, _FEATURES)
def test_the_table_says_why_and_repeats_no_row(settings: dict[str, Any], features: dict[str, Any]) -> None:
    plan = policy(settings, **features)
    assert plan is not None
    assert all(flow.why and flow.ports for flow in plan.flows)
    assert list(plan.flows) == sorted(set(plan.flows), key=lambda flow: flow.key)
