"""How servers are reached from outside of the cluster: exposure, routes, TLS, API keys and limits of rate."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from gke_llm_inference.settings.base import Cidr, DnsLabel, PositiveInt, Settings, refused
from gke_llm_inference.settings.hugging_face import SecretKey, SecretManagerId
from gke_llm_inference.settings.pulumi_keys import API_KEY_NAME

Exposure = Literal["none", "internal", "external"]
Routing = Literal["service", "inferenceGateway"]
MOST_CERTIFICATES = 15
"""Certificates of one load balancer; more take a map of certificates, which is for global ones."""
Hostname = Annotated[
    str,
    StringConstraints(
        pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)+$", max_length=253
    ),
]


def _not_of_compute_engine(value: Any) -> Any:
    if isinstance(value, str) and "sslCertificates" in value.split("/"):
        raise refused(
            "is an SSL certificate of Compute Engine",
            "load balancers of a stack take certificates of Certificate Manager, or one of a Secret",
            "name a regional certificate of Certificate Manager, or have one made with managed: true; or keep it in a "
            "Secret and set source: secret",
        )
    return value


CertificateName = Annotated[
    str,
    StringConstraints(
        pattern=r"^(projects/[a-z0-9:.-]+/locations/[a-z0-9-]+/(certificates|certificateMaps)/)?"
        r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?$"
    ),
    BeforeValidator(_not_of_compute_engine),
]
ApiKeyName = Annotated[str, StringConstraints(pattern=rf"^{API_KEY_NAME}$")]
RoutePath = Annotated[str, StringConstraints(pattern=r"^/([A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*)?$", max_length=500)]


class RouteSettings(Settings):
    """A path of the server that the load balancer lets through, beside those of the OpenAI API."""

    path: RoutePath
    """The exact path, such as /generate."""
    method: Literal["GET", "POST", "PUT", "DELETE"] = "POST"
    """The method."""


class NoApiKeys(Settings):
    """No API key: whoever reaches the server may use it."""

    source: Literal["none"]
    """No API key."""


class ConfigApiKeys(Settings):
    """Encrypted config values; a Kubernetes Secret is made of them."""

    source: Literal["config"]
    """Encrypted values of Pulumi's config."""
    keys: Annotated[tuple[ApiKeyName, ...], Field(strict=False, min_length=1, max_length=2)] = ("apiKey",)
    """Names of the config values, each apiKey and more; while keys change, the new one and then the old one."""


class _ApiKeySecret(Settings):
    secret_key: SecretKey = "api_key"  # noqa: S105 a Secret's key
    """Key of the Kubernetes Secret."""
    content: Literal["key", "vllmConfiguration"] = "key"
    """What stands there: one API key, or a configuration file of vLLM with `api-key: [NEW, OLD]`."""


class ExistingSecretApiKeys(_ApiKeySecret):
    """A Kubernetes Secret that exists already in the stack's namespace."""

    source: Literal["existingSecret"]
    """A Secret that exists already."""
    secret_name: DnsLabel
    """Name of the Secret."""


class SecretManagerApiKeys(_ApiKeySecret):
    """Google Secret Manager; GKE copies the value to a Kubernetes Secret through Workload Identity."""

    source: Literal["secretManager"]
    """Google Secret Manager."""
    secret: SecretManagerId
    """Secret's id, or projects/PROJECT/secrets/ID for one of another project."""
    project_number: Annotated[str, StringConstraints(pattern=r"^[0-9]{6,20}$")]
    """Number, not id, of the cluster's project, by which IAM knows its Kubernetes service accounts."""
    version: Annotated[str, StringConstraints(pattern=r"^(latest|[1-9][0-9]*)$")] = "latest"
    """Version of the secret."""


ApiKeySettings = Annotated[
    NoApiKeys | ConfigApiKeys | ExistingSecretApiKeys | SecretManagerApiKeys, Field(discriminator="source")
]
"""Where a server finds the API keys that it accepts. The keys themselves are never part of the settings."""


class SecretCertificate(Settings):
    """A certificate in a Kubernetes Secret of the stack's namespace."""

    source: Literal["secret"]
    """A Secret of type kubernetes.io/tls."""
    secret_name: DnsLabel
    """Name of the Secret."""


class ManagedCertificates(Settings):
    """Certificates of Certificate Manager, which Google renews."""

    source: Literal["certificateManager"]
    """Certificate Manager."""
    certificates: Annotated[tuple[CertificateName, ...], Field(strict=False, max_length=MOST_CERTIFICATES)] = ()
    """Names of regional certificates that exist already, in the cluster's project and region."""
    managed: bool = False
    """Whether the stack makes one for each hostname, which is issued once a DNS record of yours allows it."""

    @model_validator(mode="after")
    def _one_way(self) -> "ManagedCertificates":
        if self.managed == bool(self.certificates):
            raise refused(
                "names certificates and has them made, too" if self.managed else "has no certificate",
                "a hostname has one certificate, which exists already or is made by the stack",
                "set certificates, or managed: true",
            )
        return self


TlsSettings = Annotated[SecretCertificate | ManagedCertificates, Field(discriminator="source")]


class CreatedProxySubnet(Settings):
    """A proxy-only subnet that the stack makes in the network of the cluster that it makes."""

    mode: Literal["create"]
    """Made by the stack."""
    cidr: Cidr = "10.21.0.0/23"
    """Addresses of the load balancers' proxies."""


class ExistingProxySubnet(Settings):
    """The proxy-only subnet that the network has in the cluster's region already; there can be one only."""

    mode: Literal["existing"]
    """Exists already."""
    cidr: Cidr
    """Its addresses, from which requests reach the servers."""


ProxySubnetSettings = Annotated[CreatedProxySubnet | ExistingProxySubnet, Field(discriminator="mode")]


class GatewayAddresses(Settings):
    """Reserved addresses by exposure. Reserved here means by you, in Google Cloud, in the cluster's region."""

    internal: DnsLabel | None = None
    """Name of an internal address; one that Google picks if absent."""
    external: DnsLabel | None = None
    """Name of an external address; one that the stack reserves if absent."""


class RateLimitSettings(Settings):
    """Most requests of one client address, held by Cloud Armor; what is beyond is answered with 429."""

    requests: PositiveInt
    """Requests in each interval."""
    interval_seconds: Literal[10, 30, 60, 120, 180, 240, 300, 600, 900, 1200, 1800, 2700, 3600] = 60
    """Length of the interval in seconds."""


class GatewaySettings(Settings):
    """Load balancers before the servers: one for each exposure, for all servers that have it."""

    exposure: Exposure = "none"
    """Exposure of servers that state none: not at all, inside of the VPC, or on the internet."""
    hostname: Hostname | None = None
    """Hostname of servers that state none."""
    routing: Routing = "service"
    """How requests find a pod of servers that state nothing: any that is ready, or the one that an endpoint picker
    chooses by queue, KV cache and prefix (GKE's Inference Gateway)."""
    tls: TlsSettings | None = None
    """Certificate for every hostname; plain HTTP inside of the VPC if absent."""
    proxy_subnet: ProxySubnetSettings = CreatedProxySubnet(mode="create")
    """Where the load balancers' proxies have their addresses."""
    addresses: GatewayAddresses = GatewayAddresses()
    """Addresses of the load balancers."""
    rate_limit: RateLimitSettings | None = None
    """Most requests of one client on the internet; no limit if absent."""
