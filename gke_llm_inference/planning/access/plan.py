"""What a plan says of access: load balancers, what they let through to which server, and where API keys are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gke_llm_inference.planning.network_policy.decide import NetworkPolicyPlan
from gke_llm_inference.settings import ApiKeySettings, Exposure, Routing

GatewayClass = Literal["gke-l7-rilb", "gke-l7-regional-external-managed"]


@dataclass(frozen=True, kw_only=True, order=True)
class AllowedRoute:
    """An exact path and a method that a load balancer lets through."""

    path: str
    method: str


@dataclass(frozen=True, kw_only=True)
class ApiKeyPlan:
    """How a server gets the API keys that it accepts; no key is part of a plan.

    Attributes:
        settings: where the keys come from.
        secret_name: the Kubernetes Secret that holds them.
        secret_key: what they stand under in the Secret.
        count: how many keys there are; None where this stack does not learn of it.
        variable: environment variable that the server reads its key from; None where it reads a file.
        file: where the file with the keys is mounted; None where the server reads the variable.
        reader_name: Kubernetes service account that reads Secret Manager.
        project: Google Cloud project of the stack.
        file_key: what a file with all keys stands under in a Secret that the stack makes; None where it makes none, and
            where the server's version reads no file.

    """

    settings: ApiKeySettings
    secret_name: str
    secret_key: str
    count: int | None
    variable: str | None
    file: str | None
    reader_name: str
    project: str | None
    file_key: str | None = None

    @property
    def made(self) -> bool:
        """Whether the stack makes the Secret itself, and so learns of new keys."""
        return self.settings.source == "config"


@dataclass(frozen=True, kw_only=True)
class PickerPlan:
    """An endpoint picker: the load balancer asks it which pod of a server gets a request.

    Attributes:
        name: name of its Kubernetes objects.
        pool: name of the InferencePool, and of the policies that hold for it.
        image: its image, by tag and digest.
        arguments: what it is started with.
        config_directory: where its configuration is mounted.
        config_file: name of the file there.
        configuration: what the file says.
        scorers: what it goes by, each with its weight.
        labels: labels of its objects.
        selector: labels of its pods, and of no others.
        server_selector: labels of the pods that it chooses from.
        user: user id that it runs as.
        picks_port: where the load balancer asks it.
        health_port: where it says whether it is well.
        cpu_millicores: what it requests, 1000 for one vCPU.
        memory_mib: what it requests and may use at most, in MiB.
        limits_cpu: whether its CPU is limited, too.
        grace_seconds: how long it may take to end.
        network_policy: who may talk to it, and whom it may talk to; None where the server has no policy either.

    """

    name: str
    pool: str
    image: str
    arguments: tuple[str, ...]
    config_directory: str
    config_file: str
    configuration: Mapping[str, Any]
    scorers: tuple[tuple[str, int], ...]
    labels: Mapping[str, str]
    selector: Mapping[str, str]
    server_selector: Mapping[str, str]
    user: int
    picks_port: int
    health_port: int
    cpu_millicores: int
    memory_mib: int
    limits_cpu: bool
    grace_seconds: int
    network_policy: NetworkPolicyPlan | None


@dataclass(frozen=True, kw_only=True)
class ServerAccess:
    """How a server is reached from outside of the cluster.

    Attributes:
        server: its name in the configuration.
        name: name of its Kubernetes objects, the Service among them.
        exposure: by whom.
        hostname: the name that requests have to ask for.
        routes: what is let through, sorted; everything else is answered with 404.
        authenticated: whether the server asks for a key.
        service_port: port of the Service.
        health_path: what the load balancer asks for to see whether a pod is well.
        pod_port: port of the pods, where it asks.
        timeout_seconds: after how long the load balancer gives up on an answer.
        draining_seconds: how long running answers may go on when a pod leaves.
        picker: what chooses the pod of a request; None where the Service does.

    """

    server: str
    name: str
    exposure: Exposure
    hostname: str
    routes: tuple[AllowedRoute, ...]
    authenticated: bool
    service_port: int
    health_path: str
    pod_port: int
    timeout_seconds: int
    draining_seconds: int
    picker: PickerPlan | None = None

    @property
    def routing(self) -> Routing:
        """How requests find a pod."""
        return "inferenceGateway" if self.picker else "service"


@dataclass(frozen=True, kw_only=True)
class GatewayPlan:
    """A load balancer.

    Attributes:
        exposure: who reaches it: internal or external.
        name: name of its Kubernetes object.
        class_name: GKE's class of it.
        port: where it listens.
        certificates: regional certificates of Certificate Manager, by name.
        certificate_secret: Secret with the certificate; None where there is none, or certificates have names.
        address: name of its address in Google Cloud; None for one that Google picks.
        reserves_address: whether the stack reserves that address.
        hostnames: the hostnames of its servers, sorted.

    """

    exposure: Exposure
    name: str
    class_name: GatewayClass
    port: int
    certificates: tuple[str, ...]
    certificate_secret: str | None
    address: str | None
    reserves_address: bool
    hostnames: tuple[str, ...]

    @property
    def encrypted(self) -> bool:
        """Whether it speaks TLS."""
        return bool(self.certificates or self.certificate_secret)


@dataclass(frozen=True, kw_only=True, order=True)
class CertificatePlan:
    """A certificate of Certificate Manager that the stack makes; a DNS record lets Google issue it.

    Attributes:
        hostname: what it is for.
        name: its name in Google Cloud, and that of the authorization that the record belongs to.

    """

    hostname: str
    name: str


@dataclass(frozen=True, kw_only=True)
class RateLimitPlan:
    """Most requests of one client address to each server on the internet.

    Attributes:
        name: name of the security policy in Google Cloud.
        requests: requests in each interval.
        interval_seconds: length of the interval.

    """

    name: str
    requests: int
    interval_seconds: int


@dataclass(frozen=True, kw_only=True)
class AccessPlan:
    """How the servers of a stack are reached from outside of the cluster.

    Attributes:
        gateways: the load balancers, external first.
        servers: the servers that are reached, sorted by name.
        proxy_cidr: addresses that requests come from, those of the load balancers' proxies; None without one.
        makes_proxy_subnet: whether the stack makes the subnet of those addresses.
        certificates: the certificates that the stack makes, sorted by hostname.
        rate_limit: the limit of rate on the internet; None without one.
        project: Google Cloud project of what is made there.
        region: its region.

    """

    gateways: tuple[GatewayPlan, ...] = ()
    servers: tuple[ServerAccess, ...] = ()
    proxy_cidr: str | None = None
    makes_proxy_subnet: bool = False
    certificates: tuple[CertificatePlan, ...] = ()
    rate_limit: RateLimitPlan | None = None
    project: str | None = None
    region: str | None = None

    def url_of(self, server: ServerAccess) -> str:
        """Where clients find a server's OpenAI API."""
        gateway = next(one for one in self.gateways if one.exposure == server.exposure)
        return f"{'https' if gateway.encrypted else 'http'}://{server.hostname}/v1"

    def of(self, server: str) -> ServerAccess | None:
        """How a server is reached, by its name in the configuration; None where it is not."""
        return next((one for one in self.servers if one.server == server), None)
