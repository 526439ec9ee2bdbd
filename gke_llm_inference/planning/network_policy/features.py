"""The flows that each feature needs; together they are everything that a server's policies allow."""

from collections.abc import Iterator, Mapping, Sequence

from gke_llm_inference.catalog.network_facts import NetworkFacts
from gke_llm_inference.planning.model_source.source import Reads
from gke_llm_inference.planning.network_policy.flows import (
    DIRECTIONS,
    NAMESPACE_NAME,
    AddressPeer,
    Flow,
    HostPeer,
    Labels,
    NodePeer,
    Peer,
    PodPeer,
    Port,
    labels,
    tcp,
)
from gke_llm_inference.settings import NetworkDestination, NetworkPeer, TracingSettings

_HTTPS = 443


def calls(allowed: Sequence[NetworkPeer] | None, port: int) -> Iterator[Flow]:
    """Who may call the server: what the settings say, or the pods of its namespace."""
    if allowed is None:
        yield Flow(
            direction="in",
            peer=PodPeer(),
            ports=tcp(port),
            feature="calls",
            why="clients of the Service; networkPolicy.allowFrom names others",
        )
        return
    for one in allowed:
        yield Flow(
            direction="in",
            peer=_peer(one),
            ports=tcp(port),
            feature="calls",
            why="clients that networkPolicy.allowFrom names",
        )


def probes(port: int) -> Iterator[Flow]:
    """The kubelet's probes, which come from the pod's own node."""
    yield Flow(
        direction="in",
        peer=NodePeer(),
        ports=tcp(port),
        feature="probes",
        why="kubelet probes; a node reaches its own pods whatever a policy says",
    )


def load(port: int) -> Iterator[Flow]:
    """GKE's own agent, a pod of the node's network, which reads what a native autoscaler follows."""
    yield Flow(
        direction="in",
        peer=NodePeer(),
        ports=tcp(port),
        feature="load",
        why="GKE's agent on the node reads what the autoscaler follows; no rule stands for it",
    )


def metrics(facts: NetworkFacts, port: int) -> Iterator[Flow]:
    """The collectors of Managed Service for Prometheus, in the namespaces of both cluster modes."""
    for namespace in facts.collectors.namespaces:
        yield Flow(
            direction="in",
            peer=PodPeer(namespace=_named(namespace), pods=labels(facts.collectors.pods)),
            ports=tcp(port),
            feature="metrics",
            why="collectors of Managed Service for Prometheus",
        )


def gateway(facts: NetworkFacts, proxy_range: str, port: int) -> Iterator[Flow]:
    """A Gateway of the region: its proxies, and the health checks of its backends.

    Args:
        facts: where health checks come from.
        proxy_range: range of the proxy-only subnet, which the proxies have their addresses from.
        port: the server's.

    """
    yield Flow(
        direction="in",
        peer=AddressPeer(cidr=proxy_range),
        ports=tcp(port),
        feature="gateway",
        why="the Gateway's proxies, from the proxy-only subnet",
    )
    for one in facts.health_check_ranges:
        yield Flow(
            direction="in",
            peer=AddressPeer(cidr=one),
            ports=tcp(port),
            feature="gateway",
            why="Google's health checks of the Gateway's backends",
        )


def holder(namespace: str, pods: Mapping[str, str], port: int) -> Iterator[Flow]:
    """The proxy that holds requests while there is no pod.

    Args:
        namespace: its namespace.
        pods: labels of its pods.
        port: the server's.

    """
    yield Flow(
        direction="in",
        peer=PodPeer(namespace=_named(namespace), pods=labels(pods)),
        ports=tcp(port),
        feature="holder",
        why="interceptors of KEDA's HTTP add-on, which hold requests while there is no pod",
    )


def picker(selector: Mapping[str, str], port: int) -> Iterator[Flow]:
    """The server's endpoint picker, which chooses by what the pods say of themselves.

    Args:
        selector: labels of the picker's pods.
        port: the server's.

    """
    yield Flow(
        direction="in",
        peer=PodPeer(pods=labels(selector)),
        ports=tcp(port),
        feature="picker",
        why="the endpoint picker, which reads the server's metrics",
    )


def dns(facts: NetworkFacts) -> Iterator[Flow]:
    """Names, in every form that GKE answers them: which one it is depends on the cluster."""
    servers = facts.dns
    ports = tuple(Port(protocol=protocol, number=servers.port) for protocol in ("TCP", "UDP"))
    namespace = _named(servers.namespace)
    peers: list[Peer] = [PodPeer(namespace=namespace, pods=labels(pods)) for pods in servers.pods]
    peers += [AddressPeer(cidr=address) for address in servers.addresses]
    for peer in peers:
        yield Flow(
            direction="out",
            peer=peer,
            ports=ports,
            feature="dns",
            why="kube-dns, NodeLocal DNSCache or Cloud DNS",
        )


def model(facts: NetworkFacts, reads: Reads, *, by_name: bool) -> Iterator[Flow]:
    """Where the weights come from: Hugging Face, a bucket, or a disk that the node attaches.

    Args:
        facts: the hosts.
        reads: whom the pod itself calls for its model.
        by_name: whether the cluster's policies can name hosts.

    """
    if reads == "hub":
        yield from _internet(facts, facts.hugging_face_hosts, "downloads the model from Hugging Face", by_name=by_name)
    elif reads == "bucket":
        yield from _internet(facts, facts.bucket_hosts, "reads the model from its bucket", by_name=by_name)


def identity(facts: NetworkFacts, reads: Reads) -> Iterator[Flow]:
    """The metadata server, for pods that act as a Google identity: those that read a bucket."""
    if reads != "bucket":
        return
    yield from _metadata_server(facts, "tokens of Workload Identity, to read the bucket")


def compile_cache(facts: NetworkFacts, *, by_name: bool) -> Iterator[Flow]:
    """What a pod needs that keeps what it compiled in a bucket: the bucket, and the identity that may write there.

    Args:
        facts: the hosts.
        by_name: whether the cluster's policies can name hosts.

    """
    yield from _internet(facts, facts.bucket_hosts, "keeps what it compiled in its bucket", by_name=by_name)
    yield from _metadata_server(facts, "tokens of Workload Identity, to write to the bucket")


def model_copy(facts: NetworkFacts, *, by_name: bool) -> Iterator[Flow]:
    """What a pod needs that copies models: Hugging Face, the bucket, and the identity that may write there.

    Args:
        facts: the hosts.
        by_name: whether the cluster's policies can name hosts.

    """
    hosts = (*facts.hugging_face_hosts, *facts.bucket_hosts)
    yield from _internet(facts, hosts, "copies models from Hugging Face to the bucket", by_name=by_name)
    yield from _metadata_server(facts, "tokens of Workload Identity, to write to the bucket")


def tracing(settings: TracingSettings | None) -> Iterator[Flow]:
    """The collector of traces, where a server sends any."""
    if settings is None:
        return
    yield Flow(
        direction="out",
        peer=PodPeer(namespace=_named(settings.namespace), pods=labels(settings.collector_labels)),
        ports=tcp(settings.port),
        feature="tracing",
        why="the collector that observability.tracing names",
    )


def group(selector: Mapping[str, str]) -> Iterator[Flow]:
    """The pods of a replica that spans machines, among themselves.

    Args:
        selector: labels of the server's pods.

    """
    for direction in DIRECTIONS:
        yield Flow(
            direction=direction,
            peer=PodPeer(pods=labels(selector)),
            ports=tcp(0),
            feature="group",
            why="the pods of the same group, which compute together at ports of their own choice",
        )


def opened(destinations: Sequence[NetworkDestination]) -> Iterator[Flow]:
    """Whom the settings let the server call besides."""
    for one in destinations:
        yield Flow(
            direction="out",
            peer=HostPeer(hosts=(one.host,)) if one.host else _peer(one),
            ports=tcp(*one.ports),
            feature="opened",
            why="networkPolicy.allowTo names it",
        )


def _metadata_server(facts: NetworkFacts, why: str) -> Iterator[Flow]:
    for one in facts.metadata_server:
        yield Flow(
            direction="out",
            peer=AddressPeer(cidr=one.cidr),
            ports=tcp(*one.ports),
            feature="identity",
            why=why,
        )


def _internet(facts: NetworkFacts, hosts: Sequence[str], why: str, *, by_name: bool) -> Iterator[Flow]:
    if by_name:
        peer: Peer = HostPeer(hosts=tuple(sorted(hosts)))
    else:
        peer, why = (
            AddressPeer(cidr="0.0.0.0/0", without=facts.private_ranges),
            f"{why}; the policy cannot name its hosts",
        )
    yield Flow(direction="out", peer=peer, ports=tcp(_HTTPS), feature="model", why=why)


def _peer(peer: NetworkPeer) -> Peer:
    if peer.cidr is not None:
        return AddressPeer(cidr=peer.cidr)
    return PodPeer(
        namespace=None if peer.namespace_labels is None else labels(peer.namespace_labels),
        pods=labels(peer.pod_labels or {}),
    )


def _named(namespace: str) -> Labels:
    return ((NAMESPACE_NAME, namespace),)
