"""What to say of the network policies that a stack asks for."""

import ipaddress
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from gke_llm_inference.settings import Finding, NetworkDestination, ServerSettings, StackSettings
from gke_llm_inference.settings.network_policy import policy_of

# Variables that send downloads elsewhere: huggingface_hub's, and those that every HTTP client reads.
_ELSEWHERE = ("HF_ENDPOINT", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
_NOT_PUBLIC = (".local", ".internal", ".svc")


def network_policy_findings(settings: StackSettings) -> Iterator[Finding]:
    """Problems and warnings of the network policies that a stack asks for."""
    own = {key: server.network_policy for key, server in settings.servers.items() if server.network_policy}
    stack = settings.network_policy
    if not stack.enabled and any(key not in own or own[key].enabled is None for key in settings.servers):
        yield _off("networkPolicy")
    for key, policy in own.items():
        if policy.enabled is False:
            yield _off(f"servers.{key}.networkPolicy")
    for key, server in settings.servers.items():
        if policy_of(stack, server.network_policy).enabled:
            yield from _elsewhere(key, server, settings)
    if settings.cluster.fqdn_network_policy:
        return
    yield from _hosts("networkPolicy", stack.allow_to)
    for key, policy in own.items():
        yield from _hosts(f"servers.{key}.networkPolicy", policy.allow_to or ())


def _off(path: str) -> Finding:
    return Finding(
        path=f"{path}.enabled",
        what=f"leaves {'servers' if path == 'networkPolicy' else 'the server'} without a network policy",
        why="every pod of the cluster can then call a server, and a server that was broken into can call everybody",
        fix="remove it, and open what is missing with allowFrom and allowTo",
        severity="warning",
    )


def _hosts(path: str, destinations: Sequence[NetworkDestination]) -> Iterator[Finding]:
    for index, one in enumerate(destinations):
        if one.host is not None:
            yield Finding(
                path=f"{path}.allowTo[{index}].host",
                what="needs a cluster whose network policies can name hosts",
                why="a NetworkPolicy knows pods and addresses alone, and the cluster is not said to serve "
                "FQDNNetworkPolicy",
                fix="set cluster.fqdnNetworkPolicy: true, or give the host's addresses as cidr",
            )


def _elsewhere(key: str, server: ServerSettings, settings: StackSettings) -> Iterator[Finding]:
    """Warnings of variables that send downloads to where a server's policy lets it not go."""
    policy = policy_of(settings.network_policy, server.network_policy)
    if not server.downloads or policy.allow_to:
        return
    by_name = settings.cluster.fqdn_network_policy
    for name in _ELSEWHERE:
        if name in server.extra_env and (by_name or not _is_public(server.extra_env[name])):
            yield Finding(
                path=f"servers.{key}.extraEnv.{name}",
                what="sends downloads to where the server's network policy lets it not go",
                why="allowed is port 443 of "
                + ("Hugging Face's hosts" if by_name else "the internet, without any private range"),
                fix="name the host, the addresses or the pods under networkPolicy.allowTo",
                severity="warning",
            )


def _is_public(url: str) -> bool:
    """Whether a URL leads to port 443 of the internet, as far as it says."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    if (port or {"https": 443}.get(parts.scheme)) != 443:
        return False
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith(_NOT_PUBLIC)
