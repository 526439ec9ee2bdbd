"""Whether one environment's servers are reached by no more, and no less safely, than those of another."""

from collections.abc import Iterator

from gke_llm_inference.settings.access import Exposure
from gke_llm_inference.settings.findings import Finding
from gke_llm_inference.settings.servers import ServerSettings
from gke_llm_inference.settings.stack import StackSettings

_EXPOSURES: tuple[Exposure, ...] = ("none", "internal", "external")
"""Strongest first."""
_KEY_SOURCES = ("none", "config", "existingSecret", "secretManager")
"""Weakest first, as for the Hugging Face token."""


def exposure_of_servers(settings: StackSettings, than: StackSettings, name: str, other: str) -> Iterator[Finding]:
    """Servers that more can reach; one that the other stack does not have is held against its most open one."""
    most = max((_exposure(one, than) for one in than.servers.values()), key=_EXPOSURES.index, default="none")
    for key, server in sorted(settings.servers.items()):
        ours = _exposure(server, settings)
        theirs = _exposure(than.servers[key], than) if key in than.servers else most
        if _EXPOSURES.index(ours) > _EXPOSURES.index(theirs):
            yield Finding(
                path=f"servers.{key}.exposure",
                what=f"is {ours} in {name} and {theirs} in {other}",
                why="whoever reaches a server can try new exploits on it, with a key or without",
                fix=f"use exposure: {theirs} in {name}, or try it in {other} first",
            )


def encryption(settings: StackSettings, than: StackSettings, name: str, other: str) -> Iterator[Finding]:
    """TLS that only the other stack has."""
    if _reached(settings) and _reached(than) and than.gateway.tls and not settings.gateway.tls:
        yield Finding(
            path="gateway.tls",
            what=f"is set in {other}, but not in {name}",
            why="API keys, prompts and answers cross the network in clear",
            fix=f"give {name} a certificate of its own",
        )


def api_keys(settings: StackSettings, than: StackSettings, name: str, other: str) -> Iterator[Finding]:
    """Servers that ask for no key, or keep it where more can read it."""
    for key in sorted(settings.servers.keys() & than.servers.keys()):
        ours, theirs = settings.servers[key].api_keys.source, than.servers[key].api_keys.source
        if _KEY_SOURCES.index(ours) < _KEY_SOURCES.index(theirs):
            yield Finding(
                path=f"servers.{key}.apiKeys",
                what=f"is {ours} in {name} and {theirs} in {other}",
                why="whoever reaches the server may use it"
                if ours == "none"
                else "from weak to strong: config keeps keys in Pulumi's state too, existingSecret in the cluster "
                "alone, secretManager behind IAM with versions and an audit log",
                fix=f"use {theirs} in {name}",
            )


def routes(settings: StackSettings, than: StackSettings, name: str, other: str) -> Iterator[Finding]:
    """Paths that only this stack lets through, beside those of the OpenAI API."""
    for key in sorted(settings.servers.keys() & than.servers.keys()):
        known = set(than.servers[key].routes)
        for index, route in enumerate(settings.servers[key].routes):
            if route not in known:
                yield Finding(
                    path=f"servers.{key}.routes[{index}]",
                    what=f"{route.method} {route.path} is let through in {name}, but not in {other}",
                    why="each path more is one more way into the server",
                    fix=f"remove it from {name}, or try it in {other} first",
                )


def rate_limit(settings: StackSettings, than: StackSettings, name: str, other: str) -> Iterator[Finding]:
    """A limit of rate that only the other stack has."""
    if _reached(settings, "external") and than.gateway.rate_limit and not settings.gateway.rate_limit:
        yield Finding(
            path="gateway.rateLimit",
            what=f"is set in {other}, but not in {name}",
            why="one client can fill the queue of every server on the internet, and try keys as fast as it likes",
            fix=f"set it in {name}",
        )


def _exposure(server: ServerSettings, settings: StackSettings) -> Exposure:
    return server.exposure or settings.gateway.exposure


def _reached(settings: StackSettings, *exposures: Exposure) -> bool:
    wanted = exposures or ("internal", "external")
    return any(_exposure(server, settings) in wanted for server in settings.servers.values())
