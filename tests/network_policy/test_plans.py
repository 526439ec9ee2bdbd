"""From a stack file to policies: which server gets which, and what is said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.network_policy.evaluator import Outside, Pod, Traffic, allowed
from tests.network_policy.support import objects
from tests.planning.support import QWEN, existing_stack, only_problem, planned, standard_stack

if TYPE_CHECKING:
    from gke_llm_inference.planning import StackPlan
    from tests.settings.support import Raw

VLLM = {**QWEN, "maxModelLen": 4096}
TGI = {"server": "tgi", "model": "Qwen/Qwen2.5-7B-Instruct", "maxModelLen": 4096, "allowUnfit": True}
STACKS = {
    "autopilot": lambda servers, **cluster: {
        "cluster": {"mode": "autopilot", "location": "us-central1", **cluster},
        "servers": servers,
    },
    "standard": lambda servers, **cluster: standard_stack({"l4": {"maxNodes": 4}}, servers, **cluster),
    "existing": lambda servers, **cluster: existing_stack(servers, kubeconfigContext="local", **cluster),
}


def can(plan: StackPlan, key: str, traffic: Traffic) -> bool:
    """Whether a server of the plan can talk like this."""
    (server,) = (one for one in plan.servers if one.key == key)
    own = [
        {**one, "metadata": {"name": server.name, "namespace": server.namespace}}
        for one in objects(server.network_policy)
    ]
    pod = Pod(namespace=server.namespace, labels=tuple(server.labels.items()))
    return allowed(own, pod, traffic, blocks_match_pods=False)


def call(port: int, namespace: str = "llm-inference") -> Traffic:
    return Traffic(direction="in", peer=Pod(namespace=namespace), port=port)


def download(host: str = "huggingface.co") -> Traffic:
    return Traffic(direction="out", peer=Outside(address="18.164.174.1", host=host), port=443)


@pytest.mark.parametrize("mode", STACKS)
@pytest.mark.parametrize("fqdn", [False, True], ids=["addresses", "hosts"])
def test_every_server_is_called_at_its_own_port_and_downloads_its_model(mode: str, fqdn: bool) -> None:
    plan = planned(STACKS[mode]({"vllm": VLLM, "tgi": TGI}, **({"fqdnNetworkPolicy": True} if fqdn else {})))
    for key, port, other in (("vllm", 8000, 8080), ("tgi", 8080, 8000)):
        assert can(plan, key, call(port))
        assert not can(plan, key, call(other))
        assert not can(plan, key, call(port, "other"))
        assert can(plan, key, download())
        assert can(plan, key, download("other.example.com")) is not fqdn
    assert all(
        (server.network_policy.fqdn_spec is not None) is fqdn for server in plan.servers if server.network_policy
    )


@pytest.mark.parametrize("mode", STACKS)
@pytest.mark.parametrize(
    ("storage", "downloads"),
    [("persistentDisk", False), ("hyperdiskMl", False), ("filestore", False), ("gcsfuse", True)],
)
def test_a_model_on_a_volume_needs_no_hub(mode: str, storage: str, downloads: bool) -> None:
    volume = {"claim": "weights", "storage": storage}
    plan = planned(STACKS[mode]({"gemma": {**VLLM, "modelVolume": volume}}, fqdnNetworkPolicy=True))
    assert not can(plan, "gemma", download())
    assert can(plan, "gemma", download("storage.googleapis.com")) is downloads
    token = Traffic(direction="out", peer=Outside(address="169.254.169.254"), port=80)
    assert can(plan, "gemma", token) is downloads


def test_a_server_states_only_what_differs_from_the_stack() -> None:
    stack = {"allowFrom": [{"namespaceLabels": {"kubernetes.io/metadata.name": "web"}}]}
    plan = planned(
        {
            **STACKS["autopilot"](
                {
                    "as-the-stack": VLLM,
                    "nobody": {**VLLM, "networkPolicy": {"allowFrom": []}},
                    "egress": {**VLLM, "networkPolicy": {"allowTo": [{"cidr": "10.9.0.0/16", "ports": [8443]}]}},
                    "off": {**VLLM, "networkPolicy": {"enabled": False}},
                }
            ),
            "networkPolicy": stack,
        }
    )
    mirror = Traffic(direction="out", peer=Outside(address="10.9.1.1"), port=8443)
    expected = {
        "as-the-stack": (True, False, False),
        "nobody": (False, False, False),
        "egress": (True, False, True),
        "off": (True, True, True),
    }
    assert {
        key: (can(plan, key, call(8000, "web")), can(plan, key, call(8000)), can(plan, key, mirror)) for key in expected
    } == expected


def warned(raw: Raw) -> list[tuple[str, str]]:
    return [(one.path, one.what) for one in planned(raw).warnings]


@pytest.mark.parametrize(
    ("stack", "server", "expected"),
    [
        ({}, None, []),
        ({"enabled": False}, None, [("networkPolicy.enabled", "leaves servers without a network policy")]),
        ({"enabled": False}, {"enabled": True}, []),
        (
            {},
            {"enabled": False},
            [("servers.gemma.networkPolicy.enabled", "leaves the server without a network policy")],
        ),
        (
            {"enabled": False},
            {"enabled": False},
            [("servers.gemma.networkPolicy.enabled", "leaves the server without a network policy")],
        ),
    ],
)
def test_turning_policies_off_is_warned_of(stack: Raw, server: Raw | None, expected: list[Any]) -> None:
    own = {} if server is None else {"networkPolicy": server}
    raw = {**STACKS["autopilot"]({"gemma": {**VLLM, **own}}), "networkPolicy": stack}
    assert [one for one in warned(raw) if "etworkPolicy" in one[0]] == expected


@pytest.mark.parametrize("mode", STACKS)
def test_a_host_needs_a_cluster_whose_policies_name_hosts(mode: str) -> None:
    hosts = {"allowTo": [{"cidr": "10.9.0.0/16", "ports": [1]}, {"host": "mirror.example.com", "ports": [443]}]}
    on_stack = {**STACKS[mode]({"gemma": VLLM}), "networkPolicy": hosts}
    problem = only_problem(on_stack)
    assert problem.path == "networkPolicy.allowTo[1].host"
    assert problem.fix == "set cluster.fqdnNetworkPolicy: true, or give the host's addresses as cidr"
    on_server = STACKS[mode]({"gemma": {**VLLM, "networkPolicy": hosts}})
    assert only_problem(on_server).path == "servers.gemma.networkPolicy.allowTo[1].host"
    plan = planned(STACKS[mode]({"gemma": {**VLLM, "networkPolicy": hosts}}, fqdnNetworkPolicy=True))
    assert can(plan, "gemma", download("mirror.example.com"))


@pytest.mark.parametrize(
    ("cluster", "known"),
    [
        ({"kubeconfigContext": "local"}, False),
        ({"stackReference": "acme/platform/prod"}, False),
        ({"name": "shared", "location": "us-central1", "profile": "standard"}, False),
        ({"name": "shared", "location": "us-central1", "profile": "autopilot"}, True),
    ],
)
def test_an_existing_standard_cluster_may_enforce_nothing(cluster: Raw, known: bool) -> None:
    (server,) = planned(existing_stack({"qwen": VLLM}, **cluster)).servers
    assert server.network_policy
    assert server.network_policy.enforced is known


@pytest.mark.parametrize("mode", ["autopilot", "standard"])
def test_a_cluster_that_is_made_enforces_policies(mode: str) -> None:
    (server,) = planned(STACKS[mode]({"qwen": VLLM})).servers
    assert server.network_policy
    assert server.network_policy.enforced


@pytest.mark.parametrize(
    ("url", "by_addresses", "by_hosts"),
    [
        ("https://hf-mirror.com", False, True),
        ("https://hub.example.com:443/base", False, True),
        ("https://hub.example.com:8443", True, True),
        ("http://hub.example.com", True, True),
        ("http://hub.mirror.svc.cluster.local", True, True),
        ("https://hub.mirror.svc", True, True),
        ("https://hub", True, True),
        ("https://10.0.0.9", True, True),
        ("https://1.1.1.1", False, True),
        ("https://hub.example.com:port", True, True),
    ],
)
def test_a_hub_elsewhere_that_is_not_allowed_is_warned_of(url: str, by_addresses: bool, by_hosts: bool) -> None:
    path = "servers.gemma.extraEnv.HF_ENDPOINT"
    server = {**VLLM, "extraEnv": {"HF_ENDPOINT": url}}
    opened = {"allowTo": [{"cidr": "10.9.0.0/16", "ports": [443]}]}
    volume = {"claim": "weights", "storage": "filestore"}
    for fqdn, expected in ((False, by_addresses), (True, by_hosts)):

        def is_warned_of(fqdn: bool = fqdn, **more: Any) -> bool:
            raw = STACKS["autopilot"]({"gemma": {**server, **more}}, fqdnNetworkPolicy=fqdn)
            return path in [where for where, _ in warned(raw)]

        assert is_warned_of() is expected
        assert not is_warned_of(networkPolicy=opened)
        assert not is_warned_of(networkPolicy={"enabled": False})
        assert not is_warned_of(modelVolume=volume)
