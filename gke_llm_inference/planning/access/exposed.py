"""What a server's settings, those of the gateway and the facts of its version say of access together."""

from collections.abc import Iterable

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.access_facts import AccessFacts, GuardedPaths, ServerRoute
from gke_llm_inference.planning.access.plan import AllowedRoute
from gke_llm_inference.planning.versions import version_parts
from gke_llm_inference.settings import Exposure, GatewaySettings, NoApiKeys, Routing, ServerSettings

_NOTHING_GUARDED = GuardedPaths(since="0")


def exposure_of(server: ServerSettings, gateway: GatewaySettings) -> Exposure:
    """By whom a server is reached."""
    return server.exposure or gateway.exposure


def routing_of(server: ServerSettings, gateway: GatewaySettings) -> Routing:
    """How requests find a pod of a server; only what a load balancer leads to can have an endpoint picker."""
    if server.pools or exposure_of(server, gateway) == "none":
        return "service"
    return server.routing or gateway.routing


def hostname_of(server: ServerSettings, gateway: GatewaySettings) -> str | None:
    """The hostname that a server is reached by; None where nothing states one."""
    return server.hostname or gateway.hostname


def asks_for_key(server: ServerSettings) -> bool:
    """Whether a server has API keys."""
    return not isinstance(server.api_keys, NoApiKeys)


def guarded_paths(version: str, facts: AccessFacts) -> GuardedPaths:
    """Which paths of a version need its API key, where it has one."""
    known = [one for one in facts.guarded if _has(version, one.since)]
    return known[-1] if known else _NOTHING_GUARDED


def allowed_routes(
    server: ServerSettings, version: str, gateway: GatewaySettings, catalog: Catalog
) -> tuple[AllowedRoute, ...]:
    """What a load balancer lets through to a server, sorted.

    These are the paths that its version has for its task and what the server's settings add. On the internet, and
    where the server has API keys, paths that no key guards are left out.
    """
    facts = catalog.access[server.server]
    routes = [AllowedRoute(path=one.path, method=one.method) for one in facts.routes if _serves(server, version, one)]
    if exposure_of(server, gateway) == "external" or asks_for_key(server):
        guarded = guarded_paths(version, facts)
        routes = [one for one in routes if guarded.guards(one.path, one.method)]
    return tuple(sorted({*routes, *own_routes(server)}))


def own_routes(server: ServerSettings) -> Iterable[AllowedRoute]:
    """What a server's settings add."""
    return (AllowedRoute(path=one.path, method=one.method) for one in server.routes)


def _serves(server: ServerSettings, version: str, route: ServerRoute) -> bool:
    return server.task in route.tasks and _has(version, route.since)


def _has(version: str, since: str) -> bool:
    return version_parts(since) <= version_parts(version)
