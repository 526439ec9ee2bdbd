"""Who a server on GKE has to talk to: addresses, hosts, and labels of namespaces and pods."""

from pydantic import Field

from gke_llm_inference.catalog.facts import Facts


class NameServers(Facts):
    """What answers DNS queries, in every form that GKE has."""

    namespace: str
    pods: tuple[dict[str, str], ...]
    """Labels of pods that answer, each set alone."""
    addresses: tuple[str, ...]
    """Addresses that answer and are no pod's."""
    port: int = Field(gt=0)


class AddressPorts(Facts):
    """A range and TCP ports of it."""

    cidr: str
    ports: tuple[int, ...]


class Collectors(Facts):
    """The pods of Managed Service for Prometheus that read metrics."""

    namespaces: tuple[str, ...]
    """Their namespace on Standard and on Autopilot."""
    pods: dict[str, str]
    """Their labels."""


class NetworkFacts(Facts):
    """Who a server on GKE has to talk to."""

    source: str
    date: str
    dns: NameServers
    metadata_server: tuple[AddressPorts, ...]
    """Where pods reach the metadata server, with Calico and with Dataplane V2."""
    collectors: Collectors
    health_check_ranges: tuple[str, ...]
    """Where Google's load balancers check the health of backends from."""
    private_ranges: tuple[str, ...]
    """Ranges that a VPC may use: whoever is in them is not on the internet."""
    hugging_face_hosts: tuple[str, ...]
    """Hosts that models are downloaded from; a star stands for one label."""
    bucket_hosts: tuple[str, ...]
    """Hosts of Cloud Storage."""
