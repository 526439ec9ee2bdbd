"""Certificates that a stack makes: one for each hostname, each with what a DNS record authorizes it by."""

from pathlib import Path

import pytest

from gke_llm_inference.preview.recording import Recording
from tests.support import Recordings, find, names_of, of_type

GATEWAY = "kubernetes:gateway.networking.k8s.io/v1:Gateway"
AUTHORIZATION = "gcp:certificatemanager/dnsAuthorization:DnsAuthorization"
CERTIFICATE = "gcp:certificatemanager/certificate:Certificate"


@pytest.fixture(scope="module")
def sample(recordings: Recordings) -> Recording:
    return recordings.program(Path(__file__).with_name("certificates_sample.py"))


def test_each_hostname_has_a_certificate_of_the_region_that_a_record_authorizes(sample: Recording) -> None:
    for hostname in ("in.example.com", "llm.example.com"):
        authorization = find(sample, AUTHORIZATION, f"gateway-{hostname}-authorization").inputs
        certificate = find(sample, CERTIFICATE, f"gateway-{hostname}-certificate").inputs
        assert authorization["domain"] == hostname
        assert authorization["type"] == "PER_PROJECT_RECORD", "the only type of a region"
        assert certificate["managed"]["domains"] == [hostname]
        assert len(certificate["managed"]["dnsAuthorizations"]) == 1
        for made in (authorization, certificate):
            assert (made["location"], made["project"]) == ("us-central1", "my-project")
    assert len(of_type(sample, CERTIFICATE)) == len(of_type(sample, AUTHORIZATION)) == 2


def test_a_load_balancer_names_those_of_its_own_hostnames_and_comes_after_them(sample: Recording) -> None:
    names = {
        hostname: find(sample, CERTIFICATE, f"gateway-{hostname}-certificate").inputs["name"]
        for hostname in ("in.example.com", "llm.example.com")
    }
    for exposure, hostnames in {
        "external": ["llm.example.com"],
        "internal": ["in.example.com", "llm.example.com"],
    }.items():
        gateway = find(sample, GATEWAY, f"gateway-{exposure}")
        (listener,) = gateway.inputs["spec"]["listeners"]
        assert listener["tls"]["options"] == {
            "networking.gke.io/cert-manager-certs": ",".join(names[one] for one in hostnames)
        }
        certificates = {one for one in names_of(gateway.dependencies) if one.endswith("-certificate")}
        assert certificates == {f"gateway-{one}-certificate" for one in hostnames}


def test_the_records_to_set_are_an_output(sample: Recording) -> None:
    (gateway,) = of_type(sample, "gke-llm-inference:index:Gateway")
    assert gateway.outputs
    assert set(gateway.outputs["certificateRecords"]) == {"in.example.com", "llm.example.com"}
