"""A server behind a load balancer lets in its proxies and health checks; the others do not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.network_policy.evaluator import Outside, Traffic
from tests.network_policy.test_plans import STACKS, VLLM, call, can
from tests.planning.support import planned

if TYPE_CHECKING:
    from tests.settings.support import Raw

TLS = {"source": "certificateManager", "certificates": ["llm"]}
KEYS = {"source": "existingSecret", "secretName": "keys"}
TGI = {"server": "tgi", "model": "Qwen/Qwen2.5-7B-Instruct", "maxModelLen": 4096, "allowUnfit": True, "apiKeys": KEYS}
OTHER_SUBNET = {"mode": "existing", "cidr": "10.129.0.0/23"}


def stack(mode: str, exposure: str, **gateway: Any) -> Raw:
    """A server that is reached, and one that is not."""
    servers = {
        "reached": {**VLLM, "apiKeys": KEYS, "exposure": exposure, "hostname": "llm.acme.com"},
        "tgi": {**TGI, "exposure": exposure, "hostname": "tgi.acme.com"},
        "inside": {**VLLM, "networkPolicy": {"allowFrom": []}},
    }
    return {**STACKS[mode](servers), "gateway": {"tls": TLS, **gateway}}


def from_address(address: str, port: int) -> Traffic:
    return Traffic(direction="in", peer=Outside(address=address), port=port)


@pytest.mark.parametrize("mode", ["autopilot", "standard"])
@pytest.mark.parametrize("exposure", ["none", "internal", "external"])
@pytest.mark.parametrize(
    ("gateway", "proxy", "beside"),
    [({}, "10.21.1.7", "10.21.2.7"), ({"proxySubnet": OTHER_SUBNET}, "10.129.1.7", "10.21.1.7")],
    ids=["made", "existing"],
)
def test_proxies_and_health_checks_reach_what_is_exposed(
    mode: str, exposure: str, gateway: Raw, proxy: str, beside: str
) -> None:
    plan = planned(stack(mode, exposure, **(gateway if exposure != "none" else {})))
    is_exposed = exposure != "none"
    for key, port in (("reached", 8000), ("tgi", 8080)):
        for address in (proxy, "35.191.3.4", "130.211.1.2"):
            assert can(plan, key, from_address(address, port)) is is_exposed
            assert not can(plan, key, from_address(address, 9999))
        assert not can(plan, key, from_address(beside, port))
        # A client never reaches a pod past the load balancer.
        assert not can(plan, key, from_address("203.0.113.9", port))
    for address in (proxy, "35.191.3.4"):
        assert not can(plan, "inside", from_address(address, 8000))
    assert not can(plan, "inside", call(8000))


def test_the_range_is_the_one_that_the_gateway_has() -> None:
    plan = planned(stack("autopilot", "internal"))
    (server,) = (one for one in plan.servers if one.key == "reached")
    assert server.network_policy
    peers = [str(flow.peer) for flow in server.network_policy.flows if flow.feature == "gateway"]
    assert peers == ["10.21.0.0/23", "130.211.0.0/22", "35.191.0.0/16"]
    assert plan.access.proxy_cidr == peers[0]
