"""Settings of the GKE cluster: Autopilot, Standard, or one that exists already."""

import ipaddress
from itertools import combinations
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from gke_llm_inference.settings.base import (
    Cidr,
    Labels,
    Location,
    NonEmpty,
    PositiveInt,
    Region,
    Settings,
    Zones,
    refused,
)

ClusterName = Annotated[str, StringConstraints(pattern=r"^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$")]
KmsKey = Annotated[
    str,
    StringConstraints(
        pattern=r"^projects/[a-z][a-z0-9:.-]{4,62}/locations/[a-z0-9-]+/keyRings/[A-Za-z0-9_-]{1,63}"
        r"/cryptoKeys/[A-Za-z0-9_-]{1,63}$"
    ),
]
ServiceAccountEmail = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9-]+@[a-z0-9.-]+\.gserviceaccount\.com$", max_length=320)
]
StackName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,100}(/[A-Za-z0-9_.-]{1,100}){2}$")]
GkeVersion = Annotated[str, StringConstraints(pattern=r"^1\.[0-9]{1,3}(\.[0-9]{1,4}(-gke\.[0-9]{1,9})?)?$")]
Weekday = Literal["MO", "TU", "WE", "TH", "FR", "SA", "SU"]


class CreatedNetwork(Settings):
    """A VPC of the cluster's own, with Cloud NAT for the private nodes."""

    mode: Literal["create"]
    """A network of the cluster's own."""
    nodes_cidr: Cidr = "10.0.0.0/20"
    """Addresses of the nodes."""
    pods_cidr: Cidr = "10.16.0.0/14"
    """Addresses of the pods; cannot change without replacing the cluster."""
    services_cidr: Cidr = "10.20.0.0/20"
    """Addresses of the Services; cannot change without replacing the cluster."""

    @model_validator(mode="after")
    def _disjoint(self) -> "CreatedNetwork":
        ranges = {
            "nodesCidr": self.nodes_cidr,
            "podsCidr": self.pods_cidr,
            "servicesCidr": self.services_cidr,
        }
        for (one, first), (other, second) in combinations(ranges.items(), 2):
            if ipaddress.IPv4Network(first).overlaps(ipaddress.IPv4Network(second)):
                raise refused(
                    f"{one} {first} overlaps {other} {second}",
                    "nodes, pods and Services of a VPC-native cluster need addresses of their own",
                    f"move {other} to a free range",
                )
        return self


class ExistingNetwork(Settings):
    """A VPC that exists already; its subnetwork needs Private Google Access and a NAT for image downloads."""

    mode: Literal["existing"]
    """A network that exists already."""
    network: NonEmpty
    """Name or self link of the VPC."""
    subnetwork: NonEmpty
    """Name or self link of the subnetwork in the cluster's region."""
    pods_range: NonEmpty
    """Name of the secondary range for pods."""
    services_range: NonEmpty
    """Name of the secondary range for Services."""


NetworkSettings = Annotated[CreatedNetwork | ExistingNetwork, Field(discriminator="mode")]


class AuthorizedNetwork(Settings):
    """A range of addresses that may reach the control plane by IP."""

    cidr: Cidr
    """The range."""
    name: str = ""
    """Shown in the console."""


class DatabaseEncryption(Settings):
    """A key of Cloud KMS that GKE encrypts Secrets with before they reach the cluster's database.

    GKE's service agent of the project must be allowed to encrypt and decrypt with it first. Removing the setting does
    not decrypt: the cluster stays as it is until somebody turns encryption off in Google Cloud.
    """

    key: KmsKey
    """Full name, as projects/PROJECT/locations/REGION/keyRings/RING/cryptoKeys/KEY, in the cluster's region."""

    @property
    def location(self) -> str:
        """Where the key is."""
        return self.key.split("/")[3]


class Maintenance(Settings):
    """When GKE may upgrade the cluster, in UTC."""

    start_time: Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")] = "02:00"
    """Start of the window, HH:MM."""
    duration_hours: Annotated[int, Field(ge=4, le=24)] = 6
    """Length of the window in hours; GKE wants at least 4."""
    days: Annotated[tuple[Weekday, ...], Field(strict=False, min_length=1)] = ("SA", "SU")
    """Days of the week on which the window opens."""

    @model_validator(mode="after")
    def _long_enough(self) -> "Maintenance":
        hours = self.duration_hours * len(set(self.days)) * 4
        if hours < 48:
            raise refused(
                f"allows {hours} hours of maintenance in four weeks",
                "GKE rejects a window of less than 48 hours in 32 days",
                "add a day or lengthen durationHours",
            )
        return self


class _CreatedCluster(Settings):
    name: ClusterName | None = None
    """Name in Google Cloud; project and stack name if absent. Changing it replaces the cluster."""
    network: NetworkSettings = CreatedNetwork(mode="create")
    """The VPC; changing it replaces the cluster."""
    authorized_networks: Annotated[tuple[AuthorizedNetwork, ...], Field(strict=False)] = ()
    """Ranges that may reach the control plane by IP; none: only by its DNS name, guarded by IAM."""
    release_channel: Literal["RAPID", "REGULAR", "STABLE", "EXTENDED"] = "REGULAR"
    """How soon GKE versions arrive."""
    gke_version: GkeVersion | None = None
    """Version that the cluster has at least, such as 1.35.0-gke.1171000; not known if absent. It is not sent to Google:
    what needs a later one is refused."""
    maintenance: Maintenance = Maintenance()
    """When GKE may upgrade the cluster."""
    deletion_protection: bool = True
    """Whether Pulumi and Google refuse to delete or replace the cluster, and Pulumi its namespace."""
    database_encryption: DatabaseEncryption | None = None
    """Key for Secrets in the cluster's database; Google's own encryption at rest alone if absent."""
    labels: Labels = {}
    """Labels of the cluster and its nodes in Google Cloud, for billing and search."""
    fqdn_network_policy: bool = False
    """Whether network policies may name hosts (FQDNNetworkPolicy); turning it off again replaces the cluster."""


class AutopilotCluster(_CreatedCluster):
    """A GKE Autopilot cluster: Google runs the nodes, pods are billed by their requests."""

    mode: Literal["autopilot"]
    """Google makes nodes for the pods."""
    location: Region
    """Region; changing it replaces the cluster."""


class SystemPool(Settings):
    """The CPU node pool of a Standard cluster; it must exist before any GPU pool, so that GKE taints those."""

    machine_type: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*-[a-z]+-[0-9]+$")] = "e2-standard-4"
    """Machine type of the nodes."""
    min_nodes: PositiveInt = 2
    """Fewest nodes over all zones."""
    max_nodes: PositiveInt = 6
    """Most nodes over all zones."""
    disk_size_gb: Annotated[int, Field(ge=20)] = 100
    """Boot disk in GB."""

    @model_validator(mode="after")
    def _ordered(self) -> "SystemPool":
        if self.min_nodes > self.max_nodes:
            raise refused(
                f"minNodes {self.min_nodes} exceeds maxNodes {self.max_nodes}",
                "the autoscaler needs a range",
                "raise maxNodes",
            )
        return self


class StandardCluster(_CreatedCluster):
    """A GKE Standard cluster: node pools are yours, GPU pools are under `nodePools`."""

    mode: Literal["standard"]
    """Nodes come from node pools."""
    location: Location
    """Region, or a zone for a cheaper control plane without high availability; changing it replaces the cluster."""
    zones: Zones = ()
    """Zones of the system pool; all of the region if empty."""
    system_pool: SystemPool = SystemPool()
    """The pool for everything without a GPU."""


class ExistingCluster(Settings):
    """A cluster that exists already: a GKE cluster by name and location, one of another stack, or a kubeconfig's."""

    mode: Literal["existing"]
    """The cluster exists already."""
    profile: Literal["autopilot", "standard"] = "standard"
    """How its nodes come about, which decides what a pod may ask for."""
    name: NonEmpty | None = None
    """Name of a GKE cluster in the project."""
    stack_reference: StackName | None = None
    """Stack that made the cluster, as organization/project/stack; its outputs clusterName and kubeconfig are used."""
    location: Location | None = None
    """Its region or zone; with stackReference only where nodePools need it."""
    node_service_account: ServiceAccountEmail | None = None
    """Email of the service account that nodes of nodePools run as; with stackReference, the other stack's if absent."""
    gke_version: GkeVersion | None = None
    """Version that the cluster has at least, such as 1.35.0-gke.1171000; not known if absent. It is not sent to Google:
    what needs a later one is refused."""
    kubeconfig_context: NonEmpty | None = None
    """A context of the kubeconfig that the machine running Pulumi uses."""
    fqdn_network_policy: bool = False
    """Whether the cluster serves FQDNNetworkPolicy, by which network policies name hosts."""
    managed_prometheus: bool = True
    """Whether the cluster has managed collection of Managed Service for Prometheus, as GKE's have unless it is off."""

    @model_validator(mode="after")
    def _one_way(self) -> "ExistingCluster":
        by_reference = self.stack_reference is not None
        by_name = self.name is not None or (self.location is not None and not by_reference)
        ways = [by_name, by_reference, self.kubeconfig_context is not None]
        if sum(ways) != 1:
            raise refused(
                "names " + ("two clusters" if any(ways) else "no cluster"),
                "an existing cluster is found in Google Cloud, by another stack's outputs or in a kubeconfig",
                "give name and location, or stackReference, or kubeconfigContext alone",
            )
        if by_name and (self.name is None or self.location is None):
            raise refused(
                "lacks " + ("name" if self.name is None else "location"),
                "a GKE cluster is identified by both",
                "give name and location",
            )
        if self.node_service_account is not None and (self.location is None or self.profile == "autopilot"):
            raise refused(
                "has a nodeServiceAccount that nothing uses",
                "it is for nodes of nodePools, which such a cluster cannot have here",
                "remove it",
            )
        return self


ClusterSettings = Annotated[AutopilotCluster | StandardCluster | ExistingCluster, Field(discriminator="mode")]
"""The cluster of a stack."""
