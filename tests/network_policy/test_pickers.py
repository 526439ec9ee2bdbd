"""An endpoint picker: asked by proxies and health checks alone, and asking its server's pods and the API server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.network_policy.evaluator import Outside, OwnNode, Pod, Traffic, allowed
from tests.network_policy.test_plans import STACKS, TGI, VLLM, can
from tests.planning.support import planned

if TYPE_CHECKING:
    from gke_llm_inference.planning import PickerPlan, StackPlan

NAMESPACE = "llm-inference"
KEYS = {"source": "existingSecret", "secretName": "keys"}
GATEWAY = {
    "routing": "inferenceGateway",
    "tls": {"source": "secret", "secretName": "tls"},
    "proxySubnet": {"mode": "existing", "cidr": "10.129.0.0/23"},
}


def plan_of(mode: str, exposure: str) -> StackPlan:
    reached = {"apiKeys": KEYS, "exposure": exposure, "replicas": 2}
    servers = {
        "chat": {**VLLM, **reached, "hostname": "chat.acme.com"},
        "tgi": {**TGI, **reached, "hostname": "tgi.acme.com"},
    }
    return planned({**STACKS[mode](servers), "gateway": GATEWAY})


def picker_of(plan: StackPlan, key: str) -> PickerPlan:
    reached = plan.access.of(key)
    assert reached
    assert reached.picker
    return reached.picker


def picker_can(picker: PickerPlan, traffic: Traffic) -> bool:
    assert picker.network_policy
    metadata = {"name": picker.name, "namespace": NAMESPACE}
    policies: list[dict[str, Any]] = [
        {"kind": "NetworkPolicy", "metadata": metadata, "spec": picker.network_policy.spec}
    ]
    pod = Pod(namespace=NAMESPACE, labels=tuple(picker.labels.items()))
    return allowed(policies, pod, traffic, blocks_match_pods=False)


def pods_of(plan: StackPlan, key: str, namespace: str = NAMESPACE) -> Pod:
    (server,) = (one for one in plan.servers if one.key == key)
    return Pod(namespace=namespace, labels=tuple(server.labels.items()))


@pytest.mark.parametrize("mode", STACKS)
@pytest.mark.parametrize("exposure", ["internal", "external"])
@pytest.mark.parametrize(("key", "port", "other"), [("chat", 8000, "tgi"), ("tgi", 8080, "chat")])
def test_exactly_these_reach_a_picker_and_are_reached_by_it(
    mode: str, exposure: str, key: str, port: int, other: str
) -> None:
    plan = plan_of(mode, exposure)
    picker = picker_of(plan, key)
    incoming: list[tuple[Pod | Outside | OwnNode, int, bool]] = [
        (Outside(address="10.129.1.7"), 9002, True),
        (Outside(address="10.129.1.7"), 9003, False),
        (Outside(address="10.129.2.7"), 9002, False),
        (Outside(address="35.191.3.4"), 9003, True),
        (Outside(address="130.211.1.2"), 9003, True),
        (Outside(address="35.191.3.4"), 9002, False),
        (Outside(address="203.0.113.9"), 9002, False),
        (OwnNode(), 9003, True),
        (Pod(namespace=NAMESPACE), 9002, False),
        (pods_of(plan, key), 9002, False),
        (Pod(namespace="gmp-system", labels=(("app.kubernetes.io/name", "collector"),)), 9090, False),
    ]
    for peer, at, expected in incoming:
        assert picker_can(picker, Traffic(direction="in", peer=peer, port=at)) is expected, (peer, at)
    outgoing: list[tuple[Pod | Outside, int, bool]] = [
        (pods_of(plan, key), port, True),
        (pods_of(plan, key), 22, False),
        (pods_of(plan, key, "elsewhere"), port, False),
        (pods_of(plan, other), port, False),
        (Outside(address="172.16.0.2"), 443, True),
        (Outside(address="172.16.0.2"), 80, False),
        (Outside(address="169.254.169.254"), 80, False),
        (Pod(namespace="kube-system", labels=(("k8s-app", "kube-dns"),)), 53, False),
        (Pod(namespace="elsewhere"), 443, False),
    ]
    for peer, at, expected in outgoing:
        assert picker_can(picker, Traffic(direction="out", peer=peer, port=at)) is expected, (peer, at)


@pytest.mark.parametrize("mode", STACKS)
def test_a_picker_reaches_its_own_server_even_where_nobody_else_of_the_namespace_may(mode: str) -> None:
    raw = {
        **STACKS[mode](
            {
                "chat": {
                    **VLLM,
                    "exposure": "internal",
                    "hostname": "chat.acme.com",
                    "replicas": 2,
                    "networkPolicy": {"allowFrom": []},
                }
            }
        ),
        "gateway": GATEWAY,
    }
    plan = planned(raw)
    picker = Pod(namespace=NAMESPACE, labels=tuple(picker_of(plan, "chat").labels.items()))
    assert can(plan, "chat", Traffic(direction="in", peer=picker, port=8000))
    assert not can(plan, "chat", Traffic(direction="in", peer=Pod(namespace=NAMESPACE), port=8000))
