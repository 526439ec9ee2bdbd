"""Certificates that a stack makes: for whom, by which names, and where none can be had."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gke_llm_inference.planning import CertificatePlan
from tests.planning.support import UNFIT, only_problem, planned

if TYPE_CHECKING:
    from tests.settings.support import Raw

VLLM = {"server": "vllm", "model": "Qwen/Qwen2.5-7B-Instruct", "maxModelLen": 4096, **UNFIT}
KEYS = {"source": "existingSecret", "secretName": "keys"}
MADE = {"source": "certificateManager", "managed": True}


def server(exposure: str, hostname: str) -> Raw:
    return {**VLLM, "exposure": exposure, "hostname": hostname, "apiKeys": KEYS}


def stack(servers: Raw, tls: Raw | None = None, **cluster: Any) -> Raw:
    return {
        "cluster": cluster or {"mode": "autopilot", "location": "us-central1"},
        "gateway": {
            "tls": tls or MADE,
            **({"proxySubnet": {"mode": "existing", "cidr": "10.99.0.0/23"}} if cluster else {}),
        },
        "servers": servers,
    }


def test_each_hostname_has_one_and_a_load_balancer_has_those_of_its_own() -> None:
    servers = {
        "a": server("external", "b.example.com"),
        "b": server("external", "a.example.com"),
        "c": server("internal", "a.example.com"),
        "d": VLLM,
    }
    access = planned(stack(servers)).access
    of_a, of_b = access.certificates
    assert [of_a.hostname, of_b.hostname] == ["a.example.com", "b.example.com"]
    assert of_a == CertificatePlan(hostname="a.example.com", name="gke-llm-inference-test-a-example-com-53c10dbd")
    external, internal = access.gateways
    assert (external.certificates, internal.certificates) == ((of_a.name, of_b.name), (of_a.name,))
    assert all(one.encrypted and one.certificate_secret is None for one in access.gateways)


def test_another_server_leaves_a_certificate_as_it_is() -> None:
    one = planned(stack({"a": server("external", "a.example.com")})).access.certificates
    two = planned(
        stack({"a": server("external", "a.example.com"), "b": server("external", "b.example.com")})
    ).access.certificates
    assert two[:1] == one


def test_without_a_server_that_is_reached_none_is_made() -> None:
    assert planned(stack({"a": VLLM})).access.certificates == ()


def test_certificates_that_are_named_are_not_made() -> None:
    tls = {"source": "certificateManager", "certificates": ["mine"]}
    access = planned(stack({"a": server("external", "a.example.com")}, tls)).access
    assert (access.certificates, access.gateways[0].certificates) == ((), ("mine",))


@pytest.mark.parametrize(
    ("raw", "what", "fix"),
    [
        (
            stack({"a": server("internal", "llm.corp.internal")}),
            "cannot have a certificate made for llm.corp.internal",
            "use a name of a domain of yours, or a certificate of your own: source: secret",
        ),
        (
            stack({"a": server("internal", "a.example.com")}, None, mode="existing", kubeconfigContext="local"),
            "needs the cluster's region",
            "identify the cluster by name and location, or name certificates under certificates",
        ),
        (
            stack({f"s{index}": server("external", f"s{index}.example.com") for index in range(16)}),
            "makes 16 certificates for the external load balancer, one for each hostname",
            "use fewer hostnames, or name certificates with several hostnames each",
        ),
    ],
)
def test_what_cannot_be_had_is_refused(raw: Raw, what: str, fix: str) -> None:
    problem = only_problem(raw)
    assert (problem.path, problem.what, problem.fix) == ("gateway.tls.managed", what, fix)
    assert problem.why
