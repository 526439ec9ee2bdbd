from typing import Any

import pytest

from gke_llm_inference.preview.recording import Recording
from tests.support import NETWORK, find, names_of, shape

VPC = "gcp:compute/network:Network"
SUBNETWORK = "gcp:compute/subnetwork:Subnetwork"
ROUTER = "gcp:compute/router:Router"
NAT = "gcp:compute/routerNat:RouterNat"

DEFAULT_RANGES = ("10.0.0.0/20", "10.16.0.0/14", "10.20.0.0/20")
CHOSEN_RANGES = ("10.1.0.0/20", "10.32.0.0/14", "10.36.0.0/20")


def test_a_network_is_a_vpc_with_one_subnetwork_a_router_and_a_nat(gallery: Recording) -> None:
    assert shape(gallery, find(gallery, NETWORK, "autopilot-network")) == {
        (VPC, "autopilot-network-vpc"),
        (SUBNETWORK, "autopilot-network-subnetwork"),
        (ROUTER, "autopilot-network-router"),
        (NAT, "autopilot-network-nat"),
    }


@pytest.mark.parametrize(
    ("network", "ranges"), [("autopilot-network", DEFAULT_RANGES), ("standard-full-network", CHOSEN_RANGES)]
)
def test_the_subnetwork_has_ranges_for_nodes_pods_and_services(
    gallery: Recording, network: str, ranges: tuple[str, str, str]
) -> None:
    nodes, pods, services = ranges
    assert find(gallery, SUBNETWORK, f"{network}-subnetwork").inputs == {
        "ipCidrRange": nodes,
        "network": "[unknown]",
        "privateIpGoogleAccess": True,
        "project": "my-project",
        "region": "us-central1",
        "secondaryIpRanges": [
            {"ipCidrRange": pods, "rangeName": "pods"},
            {"ipCidrRange": services, "rangeName": "services"},
        ],
    }


@pytest.mark.parametrize(
    ("type_", "suffix", "inputs", "dependencies"),
    [
        (VPC, "vpc", {"autoCreateSubnetworks": False, "routingMode": "REGIONAL"}, []),
        (ROUTER, "router", {"network": "[unknown]", "region": "us-central1"}, ["autopilot-network-vpc"]),
        (
            NAT,
            "nat",
            {
                "logConfig": {"enable": True, "filter": "ERRORS_ONLY"},
                "natIpAllocateOption": "AUTO_ONLY",
                "region": "us-central1",
                "router": "[unknown]",
                "sourceSubnetworkIpRangesToNat": "ALL_SUBNETWORKS_ALL_IP_RANGES",
            },
            ["autopilot-network-router"],
        ),
    ],
)
def test_private_nodes_reach_registries_through_cloud_nat(
    gallery: Recording, type_: str, suffix: str, inputs: dict[str, Any], dependencies: list[str]
) -> None:
    resource = find(gallery, type_, f"autopilot-network-{suffix}")
    assert resource.inputs == {**inputs, "project": "my-project"}
    assert names_of(resource.dependencies) == dependencies


def test_a_network_registers_its_ids(gallery: Recording) -> None:
    assert find(gallery, NETWORK, "autopilot-network").outputs == {"network": "[unknown]", "subnetwork": "[unknown]"}
