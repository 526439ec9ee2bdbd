"""Certificates of load balancers: those that are named, and those that the stack makes."""

from collections.abc import Iterable, Iterator

from gke_llm_inference.planning.access.exposed import exposure_of, hostname_of
from gke_llm_inference.planning.access.plan import CertificatePlan
from gke_llm_inference.planning.names import dns_label
from gke_llm_inference.planning.plan import ClusterPlan
from gke_llm_inference.settings import Exposure, Finding, GatewaySettings, ManagedCertificates, StackSettings
from gke_llm_inference.settings.access import MOST_CERTIFICATES

# Names that the public DNS never has: RFC 6761 and 6762, and ICANN's resolution 2024.07.29.06.
_NOT_PUBLIC = ("example", "internal", "invalid", "local", "localhost", "test")


def made_certificates(gateway: GatewaySettings, hostnames: Iterable[str], name: str) -> tuple[CertificatePlan, ...]:
    """The certificates that a stack makes, sorted by hostname.

    One for each hostname: a certificate cannot change its names, so that one for all would be made anew, and not yet be
    issued, with every server that comes or goes.

    Args:
        gateway: the stack's gateway.
        hostnames: the hostnames of servers that are reached.
        name: what names in Google Cloud begin with.

    """
    if not (isinstance(gateway.tls, ManagedCertificates) and gateway.tls.managed):
        return ()
    return tuple(CertificatePlan(hostname=one, name=dns_label(f"{name}-{one}")) for one in sorted(set(hostnames)))


def certificate_problems(settings: StackSettings, cluster: ClusterPlan) -> Iterator[Finding]:
    """Problems of the certificates that a stack names, or has made."""
    tls = settings.gateway.tls
    if isinstance(tls, ManagedCertificates):
        yield from _made_problems(settings, cluster) if tls.managed else _named_problems(tls, cluster)


def _made_problems(settings: StackSettings, cluster: ClusterPlan) -> Iterator[Finding]:
    path, gateway = "gateway.tls.managed", settings.gateway
    hostnames: dict[Exposure, set[str]] = {"internal": set(), "external": set()}
    for server in settings.servers.values():
        exposure, hostname = exposure_of(server, gateway), hostname_of(server, gateway)
        if exposure != "none" and hostname is not None:
            hostnames[exposure].add(hostname)
    if cluster.region is None:
        yield Finding(
            path=path,
            what="needs the cluster's region",
            why="a certificate of a regional load balancer is made in the region of that",
            fix="identify the cluster by name and location, or name certificates under certificates",
        )
    for hostname in sorted(hostnames["internal"] | hostnames["external"]):
        if hostname.rpartition(".")[2] in _NOT_PUBLIC:
            yield Finding(
                path=path,
                what=f"cannot have a certificate made for {hostname}",
                why="Google issues certificates for names of the public DNS alone, where it looks for a record",
                fix="use a name of a domain of yours, or a certificate of your own: source: secret",
            )
    for exposure, names in hostnames.items():
        if len(names) > MOST_CERTIFICATES:
            yield Finding(
                path=path,
                what=f"makes {len(names)} certificates for the {exposure} load balancer, one for each hostname",
                why=f"a regional load balancer takes {MOST_CERTIFICATES} at most",
                fix="use fewer hostnames, or name certificates with several hostnames each",
            )


def _named_problems(tls: ManagedCertificates, cluster: ClusterPlan) -> Iterator[Finding]:
    for index, name in enumerate(tls.certificates):
        parts = name.split("/")
        where = f"gateway.tls.certificates[{index}]"
        if "certificateMaps" in parts:
            yield Finding(
                path=where,
                what="is a certificate map",
                why="only load balancers that are global take one, and those of this stack are regional",
                fix="name regional certificates themselves",
            )
        elif len(parts) > 1 and cluster.region is not None and parts[3] != cluster.region:
            yield Finding(
                path=where,
                what=f"is a certificate of {parts[3]}, and the load balancer is in {cluster.region}",
                why="a regional load balancer takes certificates of its own region only",
                fix=f"make a certificate with the location {cluster.region}",
            )
        elif len(parts) > 1 and cluster.project is not None and parts[1] != cluster.project:
            yield Finding(
                path=where,
                what=f"is a certificate of the project {parts[1]}, and the load balancer is in {cluster.project}",
                why="GKE looks for certificates in the cluster's own project",
                fix=f"make the certificate in {cluster.project}",
            )
