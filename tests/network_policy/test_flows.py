"""What the rendered policies allow and deny, for every combination of features, against a list written by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from tests.network_policy.evaluator import Outside, OwnNode, Pod, Traffic, allowed
from tests.network_policy.support import NAMESPACE, SERVER, objects, policy

if TYPE_CHECKING:
    from collections.abc import Iterator

PROXIES = "10.129.0.0/23"
CALLERS: dict[str, Any] = {
    "default": {},
    "nobody": {"allowFrom": []},
    "web": {"allowFrom": [{"podLabels": {"app": "web"}}]},
    "team": {"allowFrom": [{"namespaceLabels": {"team": "search"}}]},
    "web of the team": {"allowFrom": [{"namespaceLabels": {"team": "search"}, "podLabels": {"app": "web"}}]},
    "cluster": {"allowFrom": [{"namespaceLabels": {}}]},
    "office": {"allowFrom": [{"cidr": "203.0.113.0/24"}]},
}
OPENED: dict[str, Any] = {
    "nothing": {},
    "collector": {
        "allowTo": [
            {
                "namespaceLabels": {"kubernetes.io/metadata.name": "telemetry"},
                "podLabels": {"app": "otel"},
                "ports": [4317, 4318],
            }
        ]
    },
    "traces": {},
    "mirror": {"allowTo": [{"cidr": "10.200.0.7/32", "ports": [8443]}]},
    "host": {"allowTo": [{"host": "*.mirror.example.com", "ports": [443]}]},
}
TRACES = {
    "endpoint": "http://spans.tracing.svc.cluster.local:80",
    "collectorLabels": {"app": "spans"},
    "collectorPort": 4317,
}
STORAGES = (None, "persistentDisk", "hyperdiskMl", "filestore", "gcsfuse")


@dataclass(frozen=True)
class Features:
    """What is in use."""

    callers: str
    opened: str
    storage: str | None
    by_name: bool
    gateway: bool
    metrics: bool

    @property
    def downloads(self) -> bool:
        return self.storage is None

    @property
    def bucket(self) -> bool:
        return self.storage == "gcsfuse"

    @property
    def internet(self) -> bool:
        """Whether 443 of the whole internet is open, as no host can be named."""
        return (self.downloads or self.bucket) and not self.by_name


Expected = Callable[[Features], bool]


def always(_: Features) -> bool:
    return True


def never(_: Features) -> bool:
    return False


def collected(features: Features) -> bool:
    """A collector calls a server whose metrics are collected, or one that the whole cluster may call."""
    return features.metrics or features.callers == "cluster"


def called_by(*callers: str) -> Expected:
    return lambda features: features.callers in callers


def pod(namespace: str, address: str = "10.16.3.7", team: str = "", **labels: str) -> Pod:
    return Pod(
        namespace=namespace,
        labels=tuple((key.replace("__", "/").replace("_", "-"), value) for key, value in labels.items()),
        namespace_labels=(("team", team),) if team else (),
        address=address,
    )


COLLECTOR = {"app.kubernetes.io/name": "collector"}
HUB = ("huggingface.co", "cdn-lfs.huggingface.co", "cdn-lfs-us-1.hf.co", "cas-bridge.xethub.hf.co", "us.aws.cdn.hf.co")


def collector(namespace: str, name: str = "collector") -> Pod:
    return Pod(namespace=namespace, labels=(("app.kubernetes.io/name", name),), address="10.16.9.9")


def incoming(port: int) -> Iterator[tuple[str, Traffic, Expected]]:
    """Who may try to call a server, at which port, and when that is allowed."""
    own, web = pod(NAMESPACE), pod(NAMESPACE, app="web")
    team, team_web = pod("search", team="search"), pod("search", team="search", app="web")
    stranger = pod("other", app="web")
    peers: dict[str, tuple[Pod | Outside, Expected]] = {
        "a pod of the namespace": (own, called_by("default", "cluster")),
        "the web pod of the namespace": (web, called_by("default", "web", "cluster")),
        "another server of the stack": (
            Pod(namespace=NAMESPACE, labels=(("app.kubernetes.io/component", "inference-server"),)),
            called_by("default", "cluster"),
        ),
        "a pod of the team": (team, called_by("team", "cluster")),
        "the web pod of the team": (team_web, called_by("team", "web of the team", "cluster")),
        "a web pod elsewhere": (stranger, called_by("cluster")),
        "a collector on Standard": (collector("gmp-system"), collected),
        "a collector on Autopilot": (collector("gke-gmp-system"), collected),
        "the collectors' operator": (collector("gmp-system", "gmp-operator"), called_by("cluster")),
        "one that calls itself a collector": (collector("other"), called_by("cluster")),
        "a proxy of the Gateway": (Outside(address="10.129.1.7"), lambda features: features.gateway),
        "beside the proxies": (Outside(address="10.129.2.7"), never),
        "a health check": (Outside(address="35.191.12.1"), lambda features: features.gateway),
        "another health check": (Outside(address="130.211.3.255"), lambda features: features.gateway),
        "the office": (Outside(address="203.0.113.77"), called_by("office")),
        "the internet": (Outside(address="8.8.8.8"), never),
        "the VPC": (Outside(address="10.0.0.5"), never),
        "the metadata server": (Outside(address="169.254.169.254"), never),
    }
    for name, (peer, expected) in peers.items():
        yield f"in: {name}", Traffic(direction="in", peer=peer, port=port), expected
        for other in {8000, 8001, 8080, 22, 29500} - {port}:
            yield f"in: {name} at {other}", Traffic(direction="in", peer=peer, port=other), never
        yield f"in: {name} by UDP", Traffic(direction="in", peer=peer, port=port, protocol="UDP"), never
    yield "in: the kubelet", Traffic(direction="in", peer=OwnNode(), port=port), always


def outgoing() -> Iterator[tuple[str, Traffic, Expected]]:
    """Whom a server may try to call, at which port, and when that is allowed."""

    def out(peer: Pod | Outside | OwnNode, at: int, protocol: str = "TCP") -> Traffic:
        return Traffic(direction="out", peer=peer, port=at, protocol=protocol)

    names: dict[str, tuple[Pod | Outside, Expected]] = {
        "kube-dns": (pod("kube-system", k8s_app="kube-dns"), always),
        "NodeLocal DNSCache of Dataplane V2": (pod("kube-system", k8s_app="node-local-dns"), always),
        "NodeLocal DNSCache": (Outside(address="169.254.20.10"), always),
        "Cloud DNS": (Outside(address="169.254.169.254"), always),
        "a pod that calls itself kube-dns": (pod("other", k8s_app="kube-dns"), never),
        "another pod of kube-system": (pod("kube-system", k8s_app="metrics-server"), never),
        "a resolver of the internet": (Outside(address="8.8.8.8"), never),
        "a resolver of the VPC": (Outside(address="10.0.0.2"), never),
    }
    for name, (peer, expected) in names.items():
        yield f"out: {name}", out(peer, 53), expected
        yield f"out: {name} by UDP", out(peer, 53, "UDP"), expected
        yield f"out: {name} at 5353", out(peer, 5353, "UDP"), never
    for at in (80, 8080):
        yield f"out: metadata at {at}", out(Outside(address="169.254.169.254"), at), lambda features: features.bucket
    for at in (987, 988):
        yield f"out: metadata at {at}", out(Outside(address="169.254.169.252"), at), lambda features: features.bucket
    for address, at in (("169.254.169.254", 443), ("169.254.169.254", 988), ("169.254.169.252", 80)):
        yield f"out: {address} at {at}", out(Outside(address=address), at), never
    for host in HUB:
        peer = Outside(address="18.164.174.1", host=host)
        yield f"out: {host}", out(peer, 443), lambda features: features.downloads or features.internet
        yield f"out: {host} at 80", out(peer, 80), never
        yield f"out: {host} by UDP", out(peer, 443, "UDP"), never
    bucket = Outside(address="142.250.1.1", host="storage.googleapis.com")
    yield "out: the bucket", out(bucket, 443), lambda features: features.bucket or features.internet
    for host in ("evil.example.com", "huggingface.co.example.com", "a.b.huggingface.co", "hf.co", "stats.vllm.ai"):
        peer = Outside(address="198.51.99.1", host=host)
        yield f"out: {host}", out(peer, 443), lambda features: features.internet
    yield "out: an address of the internet", out(Outside(address="1.1.1.1"), 443), lambda features: features.internet
    for address in ("10.0.0.2", "172.16.0.2", "172.31.9.9", "192.168.1.1", "100.64.0.1", "240.0.0.1", "198.18.0.1"):
        yield f"out: {address}", out(Outside(address=address), 443), never
    mirror = Outside(address="10.200.0.7")
    yield "out: the mirror", out(mirror, 8443), lambda features: features.opened == "mirror"
    yield "out: the mirror at 443", out(mirror, 443), never
    telemetry = pod("telemetry", app="otel")
    for at in (4317, 4318):
        yield f"out: telemetry at {at}", out(telemetry, at), lambda features: features.opened == "collector"
    yield "out: telemetry at 443", out(telemetry, 443), never
    spans = pod("tracing", app="spans")
    yield "out: the collector of traces", out(spans, 4317), lambda features: features.opened == "traces"
    yield "out: the port of its Service", out(spans, 80), never
    yield "out: a pod beside it", out(pod("tracing", app="db"), 4317), never
    yield "out: one that calls itself so", out(pod("other", app="spans"), 4317), never
    yield "out: its neighbor", out(pod("telemetry", app="db"), 4317), never
    named = Outside(address="198.51.99.2", host="eu.mirror.example.com")
    yield "out: the host", out(named, 443), lambda features: features.opened == "host" or features.internet
    yield "out: the host at 8443", out(named, 8443), never
    for at in (443, 8000):
        yield f"out: a pod of the namespace at {at}", out(pod(NAMESPACE), at), never
        yield f"out: a pod elsewhere at {at}", out(pod("other"), at), never
    yield "out: its node", out(OwnNode(), 10250), always


COMBINATIONS = [
    Features(*one)
    for one in product(CALLERS, OPENED, STORAGES, *[(False, True)] * 3)
    # Where policies cannot name hosts, a host among the settings is refused.
    if one[1] != "host" or one[3]
]


def policies_of(features: Features, port: int) -> list[dict[str, Any]]:
    return objects(
        policy(
            CALLERS[features.callers] | OPENED[features.opened],
            storage=features.storage,
            by_name=features.by_name,
            collects_metrics=features.metrics,
            proxy_range=PROXIES if features.gateway else None,
            tracing=TRACES if features.opened == "traces" else None,
            port=port,
        )
    )


@pytest.mark.parametrize("port", [8000, 8080], ids=["vllm", "tgi"])
@pytest.mark.parametrize("callers", CALLERS)
def test_exactly_the_listed_flows_are_allowed(callers: str, port: int) -> None:
    listed = [*incoming(port), *(outgoing() if port == 8000 else ())]
    seen: Counter[bool] = Counter()
    for features in COMBINATIONS:
        if features.callers != callers:
            continue
        policies = policies_of(features, port)
        for name, traffic, expected in listed:
            is_allowed = expected(features)
            seen[is_allowed] += 1
            for blocks_match_pods in (False, True):
                found = allowed(policies, SERVER, traffic, blocks_match_pods=blocks_match_pods)
                assert found is is_allowed, f"{name} with {features}"
    assert min(seen[True], seen[False]) > 200


def test_every_flow_of_the_list_is_allowed_somewhere_and_denied_elsewhere() -> None:
    for _, _, expected in (*incoming(8000), *outgoing()):
        found = {expected(features) for features in COMBINATIONS}
        assert expected in (always, never) or found == {True, False}


def test_without_policies_everything_is_allowed() -> None:
    assert policy({"enabled": False}) is None
    for _, traffic, _ in (*incoming(8000), *outgoing()):
        assert allowed([], SERVER, traffic, blocks_match_pods=False)


def test_pods_of_others_are_not_touched() -> None:
    other = Pod(namespace=NAMESPACE, labels=(("app.kubernetes.io/component", "inference-server"),))
    elsewhere = Pod(namespace="other", labels=SERVER.labels)
    policies = objects(policy({"allowFrom": []}, by_name=True))
    for _, traffic, _ in (*incoming(8000), *outgoing()):
        for one in (other, elsewhere):
            assert allowed(policies, one, traffic, blocks_match_pods=True)
