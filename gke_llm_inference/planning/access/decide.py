"""Decides on load balancers, and on what they let through to each server."""

import math
from collections.abc import Callable, Sequence

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.planning.access.certificates import made_certificates
from gke_llm_inference.planning.access.exposed import (
    allowed_routes,
    asks_for_key,
    exposure_of,
    hostname_of,
    routing_of,
)
from gke_llm_inference.planning.access.picker import plan_picker
from gke_llm_inference.planning.access.plan import (
    AccessPlan,
    CertificatePlan,
    GatewayClass,
    GatewayPlan,
    RateLimitPlan,
    ServerAccess,
)
from gke_llm_inference.planning.names import dns_label
from gke_llm_inference.planning.plan import ClusterPlan, ServerPlan
from gke_llm_inference.settings import (
    CreatedProxySubnet,
    Exposure,
    GatewaySettings,
    ManagedCertificates,
    SecretCertificate,
    ServerSettings,
    StackSettings,
)

GATEWAY_CLASSES: dict[Exposure, GatewayClass] = {
    "external": "gke-l7-regional-external-managed",
    "internal": "gke-l7-rilb",
}
"""GKE's classes: both regional, with proxies in the same subnet."""
_QUEUE_SECONDS = 30
"""What a request may wait for its turn: the timeout that Google's load balancers have by themselves."""
_STEP_SECONDS = 30
_LONGEST_DRAINING = 3600
"""Bound of connectionDraining in the definition of GCPBackendPolicy."""


def plan_access(
    settings: StackSettings,
    cluster: ClusterPlan,
    servers: Sequence[ServerPlan],
    catalog: Catalog,
    *,
    name: str,
    image: Callable[[str], str],
) -> AccessPlan:
    """How the servers of a stack are reached; empty where none is.

    Args:
        settings: the stack's settings, without problems.
        cluster: the cluster's plan.
        servers: the servers' plans.
        catalog: the facts to decide by.
        name: what names in Google Cloud begin with.
        image: the name by which pods run an image.

    """
    gateway = settings.gateway
    reached = tuple(
        _server(planned, settings.servers[planned.key], gateway, cluster, catalog, image)
        for planned in servers
        if exposure_of(settings.servers[planned.key], gateway) != "none"
    )
    if not reached:
        return AccessPlan()
    certificates = made_certificates(gateway, {one.hostname for one in reached}, name)
    gateways = tuple(
        _gateway(exposure, [one for one in reached if one.exposure == exposure], gateway, cluster, certificates, name)
        for exposure in GATEWAY_CLASSES
        if any(one.exposure == exposure for one in reached)
    )
    limit = gateway.rate_limit
    return AccessPlan(
        gateways=gateways,
        servers=reached,
        proxy_cidr=gateway.proxy_subnet.cidr,
        makes_proxy_subnet=isinstance(gateway.proxy_subnet, CreatedProxySubnet),
        certificates=certificates,
        rate_limit=RateLimitPlan(
            name=dns_label(f"{name}-rate"), requests=limit.requests, interval_seconds=limit.interval_seconds
        )
        if limit
        else None,
        project=cluster.project,
        region=cluster.region,
    )


def _gateway(
    exposure: Exposure,
    servers: Sequence[ServerAccess],
    gateway: GatewaySettings,
    cluster: ClusterPlan,
    made: Sequence[CertificatePlan],
    name: str,
) -> GatewayPlan:
    tls = gateway.tls
    hostnames = {one.hostname for one in servers}
    stated = gateway.addresses.external if exposure == "external" else gateway.addresses.internal
    reserves = exposure == "external" and stated is None and cluster.region is not None
    return GatewayPlan(
        exposure=exposure,
        name=f"llm-{exposure}",
        class_name=GATEWAY_CLASSES[exposure],
        port=80 if tls is None else 443,
        certificates=(
            *(one.rpartition("/")[2] for one in tls.certificates),
            *(one.name for one in made if one.hostname in hostnames),
        )
        if isinstance(tls, ManagedCertificates)
        else (),
        certificate_secret=tls.secret_name if isinstance(tls, SecretCertificate) else None,
        address=dns_label(f"{name}-{exposure}") if reserves else stated,
        reserves_address=reserves,
        hostnames=tuple(sorted(hostnames)),
    )


def _server(
    planned: ServerPlan,
    settings: ServerSettings,
    gateway: GatewaySettings,
    cluster: ClusterPlan,
    catalog: Catalog,
    image: Callable[[str], str],
) -> ServerAccess:
    longest = planned.shutdown.longest.seconds
    draining = min(_rounded(longest), _LONGEST_DRAINING)
    return ServerAccess(
        server=planned.key,
        name=planned.name,
        exposure=exposure_of(settings, gateway),
        hostname=hostname_of(settings, gateway) or "",
        routes=allowed_routes(settings, planned.version, gateway, catalog),
        authenticated=asks_for_key(settings),
        service_port=planned.service_port,
        health_path=planned.probes.path,
        pod_port=planned.port,
        timeout_seconds=_rounded(longest + _QUEUE_SECONDS),
        draining_seconds=draining,
        picker=plan_picker(planned, gateway, cluster, catalog, drain_seconds=draining, image=image)
        if routing_of(settings, gateway) == "inferenceGateway"
        else None,
    )


def _rounded(seconds: int) -> int:
    """Coarse, so that a better prediction changes no load balancer."""
    return math.ceil(seconds / _STEP_SECONDS) * _STEP_SECONDS
