"""The network policy of an endpoint picker: load balancers ask it for a pod, and it asks pods and the API server."""

from collections.abc import Iterator, Mapping

from gke_llm_inference.catalog.network_facts import NetworkFacts
from gke_llm_inference.catalog.picker_facts import PickerPorts
from gke_llm_inference.planning.network_policy.decide import NetworkPolicyPlan, is_enforced
from gke_llm_inference.planning.network_policy.flows import AddressPeer, Flow, NodePeer, PodPeer, labels, tcp
from gke_llm_inference.settings import ClusterSettings

_HTTPS = 443
_EVERYWHERE = "0.0.0.0/0"


def plan_picker_policy(
    facts: NetworkFacts,
    *,
    selector: Mapping[str, str],
    ports: PickerPorts,
    server: Mapping[str, str],
    server_port: int,
    proxy_range: str,
    cluster: ClusterSettings,
) -> NetworkPolicyPlan:
    """The policy of an endpoint picker.

    Args:
        facts: where health checks come from.
        selector: labels of its pods.
        ports: where it listens.
        server: labels of the server's pods.
        server_port: where those answer.
        proxy_range: range of the proxy-only subnet.
        cluster: the cluster, which says whether it enforces policies.

    """
    flows = [*_incoming(facts, ports, proxy_range), *_outgoing(server, server_port)]
    return NetworkPolicyPlan(
        flows=tuple(sorted(flows, key=lambda flow: flow.key)), selector=selector, enforced=is_enforced(cluster)
    )


def _incoming(facts: NetworkFacts, ports: PickerPorts, proxy_range: str) -> Iterator[Flow]:
    yield Flow(
        direction="in",
        peer=NodePeer(),
        ports=tcp(ports.health),
        feature="probes",
        why="kubelet probes; a node reaches its own pods whatever a policy says",
    )
    yield Flow(
        direction="in",
        peer=AddressPeer(cidr=proxy_range),
        ports=tcp(ports.picks),
        feature="gateway",
        why="the Gateway's proxies, which ask for a pod",
    )
    for one in facts.health_check_ranges:
        yield Flow(
            direction="in",
            peer=AddressPeer(cidr=one),
            ports=tcp(ports.health),
            feature="gateway",
            why="Google's health checks of the endpoint picker",
        )


def _outgoing(server: Mapping[str, str], server_port: int) -> Iterator[Flow]:
    yield Flow(
        direction="out",
        peer=PodPeer(pods=labels(server)),
        ports=tcp(server_port),
        feature="servers",
        why="reads the metrics of the server's pods",
    )
    # A policy judges the control plane's own address, not that of the Service kubernetes, and no setting tells it.
    yield Flow(
        direction="out",
        peer=AddressPeer(cidr=_EVERYWHERE),
        ports=tcp(_HTTPS),
        feature="control",
        why="the API server, which tells it the pods; its address is not known before",
    )
