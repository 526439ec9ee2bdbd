"""A VPC for one cluster: a subnetwork with ranges for pods and Services, and Cloud NAT for private nodes."""

# Postponed annotations: naming the SDKs' modules in them would import these a second before they are needed.
from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from gke_llm_inference.settings import CreatedNetwork

PODS_RANGE = "pods"
SERVICES_RANGE = "services"


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    """What a network needs.

    Attributes:
        settings: address ranges.
        project: Google Cloud project.
        region: region of the subnetwork and of the NAT.

    """

    settings: CreatedNetwork
    project: str
    region: str


class Network(pulumi.ComponentResource):
    """A VPC with one subnetwork; nodes without public addresses reach registries through Cloud NAT."""

    TYPE = "gke-llm-inference:index:Network"

    network: pulumi.Output[str]
    """Id of the VPC."""
    subnetwork: pulumi.Output[str]
    """Id of the subnetwork."""
    pods_range: str
    """Name of the pods' secondary range."""
    services_range: str
    """Name of the Services' secondary range."""
    vpc: gcp.compute.Network
    """The VPC itself."""
    subnet: gcp.compute.Subnetwork
    """The subnetwork itself."""
    router: gcp.compute.Router
    """Carries the NAT."""
    nat: gcp.compute.RouterNat
    """Nodes can pull images only once it exists."""

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(self.TYPE, name, None, opts)
        ranges = args.settings
        self.vpc = vpc = gcp.compute.Network(
            f"{name}-vpc",
            project=args.project,
            auto_create_subnetworks=False,
            routing_mode="REGIONAL",
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.subnet = subnetwork = gcp.compute.Subnetwork(
            f"{name}-subnetwork",
            project=args.project,
            region=args.region,
            network=vpc.id,
            ip_cidr_range=ranges.nodes_cidr,
            private_ip_google_access=True,
            secondary_ip_ranges=[
                gcp.compute.SubnetworkSecondaryIpRangeArgs(range_name=PODS_RANGE, ip_cidr_range=ranges.pods_cidr),
                gcp.compute.SubnetworkSecondaryIpRangeArgs(
                    range_name=SERVICES_RANGE, ip_cidr_range=ranges.services_cidr
                ),
            ],
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.router = router = gcp.compute.Router(
            f"{name}-router",
            project=args.project,
            region=args.region,
            network=vpc.id,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.nat = gcp.compute.RouterNat(
            f"{name}-nat",
            project=args.project,
            region=args.region,
            router=router.name,
            nat_ip_allocate_option="AUTO_ONLY",
            source_subnetwork_ip_ranges_to_nat="ALL_SUBNETWORKS_ALL_IP_RANGES",
            log_config=gcp.compute.RouterNatLogConfigArgs(enable=True, filter="ERRORS_ONLY"),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.network = vpc.id
        self.subnetwork = subnetwork.id
        self.pods_range = PODS_RANGE
        self.services_range = SERVICES_RANGE
        self.register_outputs({"network": self.network, "subnetwork": self.subnetwork})
