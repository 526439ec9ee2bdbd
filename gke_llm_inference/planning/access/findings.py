"""What stands against how a stack wants its servers to be reached."""

import ipaddress
from collections.abc import Iterator

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.planning.access.api_keys import api_key_findings, secret_name_findings
from gke_llm_inference.planning.access.certificates import certificate_problems
from gke_llm_inference.planning.access.exposed import (
    allowed_routes,
    asks_for_key,
    exposure_of,
    guarded_paths,
    hostname_of,
)
from gke_llm_inference.planning.access.picker import picker_findings, stack_picker_findings
from gke_llm_inference.planning.plan import ClusterPlan
from gke_llm_inference.planning.versions import full_version
from gke_llm_inference.planning.vulnerabilities import first_version_without, remote_holes
from gke_llm_inference.settings import (
    AutopilotCluster,
    CreatedNetwork,
    CreatedProxySubnet,
    Exposure,
    Finding,
    GatewaySettings,
    ServerSettings,
    StackSettings,
    StandardCluster,
)

# Google's page on proxy-only subnets for Envoy-based load balancers.
_SMALLEST_PROXY_SUBNET = 26


def server_access_findings(
    path: str,
    settings: ServerSettings,
    version: str,
    gateway: GatewaySettings,
    project: str | None,
    catalog: Catalog,
) -> Iterator[Finding]:
    """Problems and warnings of how one server is reached.

    Args:
        path: where the server stands in the configuration.
        settings: the server's settings.
        version: its version.
        gateway: the stack's gateway.
        project: Google Cloud project of the stack, if there is one.
        catalog: the facts to decide by.

    """
    yield from api_key_findings(path, settings, version, project, catalog)
    yield from picker_findings(path, settings, version, gateway, catalog)
    yield from _repeated_routes(path, settings)
    exposure = exposure_of(settings, gateway)
    if exposure == "none":
        yield from _unused(path, settings)
        return
    if hostname_of(settings, gateway) is None:
        yield Finding(
            path=f"{path}.hostname",
            what=f"is missing, while the server's exposure is {exposure}",
            why="a load balancer tells servers apart by the hostname that requests ask for",
            fix="set hostname to the name that clients will use, here or under gateway",
        )
    if exposure == "external":
        yield from _external_problems(path, settings, version, gateway, catalog)
    elif asks_for_key(settings) and gateway.tls is None:
        yield Finding(
            path="gateway.tls",
            what="is missing, while servers have API keys",
            why="keys and prompts cross the VPC unencrypted",
            fix="set gateway.tls",
            severity="warning",
        )
    yield from _open_routes(path, settings, version, exposure, catalog)
    yield from _unguarded_task(path, settings, version, exposure, catalog)


def gateway_findings(settings: StackSettings, cluster: ClusterPlan, catalog: Catalog) -> Iterator[Finding]:
    """Problems and warnings of the load balancers, and of servers that get in one another's way."""
    yield from secret_name_findings(settings, catalog)
    yield from stack_picker_findings(settings, cluster, catalog)
    gateway = settings.gateway
    exposures = {exposure_of(server, gateway) for server in settings.servers.values()} - {"none"}
    if not exposures:
        if gateway != GatewaySettings():
            yield Finding(
                path="gateway",
                what="has no server behind it",
                why="no server has the exposure internal or external, so that no load balancer is made",
                fix="set exposure of a server, or remove gateway",
                severity="warning",
            )
        return
    yield from certificate_problems(settings, cluster)
    yield from _proxy_subnet_problems(gateway, cluster)
    if gateway.rate_limit is not None:
        yield from _rate_limit_problems(cluster, exposures)
    yield from _same_routes(settings, catalog)


def _unused(path: str, settings: ServerSettings) -> Iterator[Finding]:
    for key, given in (("hostname", settings.hostname), ("routes", settings.routes)):
        if given:
            yield Finding(
                path=f"{path}.{key}",
                what="has no effect",
                why="the server's exposure is none, so that no load balancer passes requests on to it",
                fix=f"set exposure, or remove {key}",
                severity="warning",
            )


def _repeated_routes(path: str, settings: ServerSettings) -> Iterator[Finding]:
    for index, route in enumerate(settings.routes):
        first = settings.routes.index(route)
        if first < index:
            yield Finding(
                path=f"{path}.routes[{index}]",
                what=f"is the same as routes[{first}]",
                why=f"{route.method} {route.path} is let through once; one of the two may be meant for another path",
                fix="remove one of them, or correct it",
            )


def _external_problems(
    path: str, settings: ServerSettings, version: str, gateway: GatewaySettings, catalog: Catalog
) -> Iterator[Finding]:
    holes = remote_holes(settings.server, version, catalog)
    if gateway.tls is None:
        yield Finding(
            path="gateway.tls",
            what="is missing, while servers are on the internet",
            why="prompts, answers and API keys would be readable on the way",
            fix="set gateway.tls to a certificate of Certificate Manager or of a Secret",
        )
    if not asks_for_key(settings):
        yield Finding(
            path=f"{path}.apiKeys",
            what="is missing, while the server is on the internet",
            why="anybody could use its GPUs and read what it knows",
            fix="set apiKeys, or use exposure: internal",
        )
    if holes:
        fixed = first_version_without(holes)
        yield Finding(
            path=f"{path}.version",
            what=f"{catalog.servers[settings.server].title} {version} has holes that strangers can use: "
            f"{', '.join(one.id for one in holes)}",
            why="they need no key to make the server run code, stop or answer",
            fix=f"use {fixed} or later, or exposure: internal" if fixed else "use exposure: internal",
        )


def _open_routes(
    path: str, settings: ServerSettings, version: str, exposure: str, catalog: Catalog
) -> Iterator[Finding]:
    """Paths of one's own that the server answers without a key."""
    guarded = guarded_paths(version, catalog.access[settings.server])
    external = exposure == "external"
    for index, route in enumerate(settings.routes):
        if guarded.guards(route.path, route.method) or not (external or asks_for_key(settings)):
            continue
        yield Finding(
            path=f"{path}.routes[{index}]",
            what=f"{catalog.servers[settings.server].title} {version} answers {route.method} {route.path} without an "
            "API key",
            why="the key guards some of its paths only" + (", and this server is on the internet" if external else ""),
            fix="remove the route" + (", or use exposure: internal" if external else ""),
            severity="problem" if external else "warning",
        )


def _unguarded_task(
    path: str, settings: ServerSettings, version: str, exposure: str, catalog: Catalog
) -> Iterator[Finding]:
    """A server whose own paths are all left out, as no key guards them."""
    if settings.server != "vllm" or exposure == "none" or not (exposure == "external" or asks_for_key(settings)):
        return
    facts = catalog.access[settings.server]
    guarded = guarded_paths(version, facts)
    own = [one for one in facts.routes if settings.task in one.tasks]
    if own and not any(guarded.guards(one.path, one.method) for one in own):
        yield Finding(
            path=f"{path}.exposure",
            what=f"vLLM {version} answers {', '.join(one.path for one in own)} without an API key",
            why="whoever reaches the load balancer would use the server, keys or not",
            fix="use exposure: none, or internal without apiKeys",
        )


def _proxy_subnet_problems(gateway: GatewaySettings, cluster: ClusterPlan) -> Iterator[Finding]:
    subnet, made = gateway.proxy_subnet, cluster.settings
    network = ipaddress.IPv4Network(subnet.cidr)
    if network.prefixlen > _SMALLEST_PROXY_SUBNET:
        yield Finding(
            path="gateway.proxySubnet.cidr",
            what=f"{subnet.cidr} is too small",
            why="Google wants 64 addresses for proxies at least, and recommends 512",
            fix=f"use a range of /{_SMALLEST_PROXY_SUBNET} or wider, such as /23",
        )
    if not isinstance(made, AutopilotCluster | StandardCluster):
        if isinstance(subnet, CreatedProxySubnet):
            yield Finding(
                path="gateway.proxySubnet",
                what="is to be made, in the network of a cluster that exists already",
                why="a network has one proxy-only subnet in a region, and whether this one has is not known here",
                fix="set mode: existing and its cidr; docs/access.md shows how to make one",
            )
        return
    if not isinstance(made.network, CreatedNetwork):
        return
    ranges = {
        "nodesCidr": made.network.nodes_cidr,
        "podsCidr": made.network.pods_cidr,
        "servicesCidr": made.network.services_cidr,
    }
    for name, cidr in ranges.items():
        if network.overlaps(ipaddress.IPv4Network(cidr)):
            yield Finding(
                path="gateway.proxySubnet.cidr",
                what=f"{subnet.cidr} overlaps cluster.network.{name} {cidr}",
                why="proxies, nodes, pods and Services need addresses of their own",
                fix="move it to a free range",
            )


def _rate_limit_problems(cluster: ClusterPlan, exposures: set[Exposure]) -> Iterator[Finding]:
    if "external" not in exposures:
        yield Finding(
            path="gateway.rateLimit",
            what="has no server on the internet to hold for",
            why="it is a policy of Cloud Armor for external load balancers",
            fix="remove it",
        )
    elif cluster.region is None:
        yield Finding(
            path="gateway.rateLimit",
            what="needs the cluster's region",
            why="its policy is made in Google Cloud, beside the load balancer",
            fix="identify the cluster by name and location, or remove the limit",
        )


def _same_routes(settings: StackSettings, catalog: Catalog) -> Iterator[Finding]:
    """Two servers of one load balancer that answer the same requests."""
    taken: dict[tuple[str, str, str, str], str] = {}
    for key, server in sorted(settings.servers.items()):
        exposure, hostname = exposure_of(server, settings.gateway), hostname_of(server, settings.gateway)
        if exposure == "none" or hostname is None:
            continue
        version = full_version(server.version or catalog.servers[server.server].default_version)
        clashing = {
            taken[one]: f"{route.method} {route.path}"
            for route in reversed(allowed_routes(server, version, settings.gateway, catalog))
            if taken.setdefault(one := (exposure, hostname, route.path, route.method), key) != key
        }
        for other, request in sorted(clashing.items()):
            yield Finding(
                path=f"servers.{key}.hostname",
                what=f"{hostname} is the hostname of servers.{other} too, and both answer {request}",
                why="only one of the two would ever get the request",
                fix="give each of them a hostname of its own",
            )
