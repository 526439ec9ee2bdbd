"""Who on the internet can reach a cluster, as its inputs say: pure functions over the provider's property names.

Reviews and policies ask the same: what is not known, whatever stands for it, opens nothing.
"""

import ipaddress
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final

WIDEST_IPV4: Final = 16
"""Shortest prefix of a range of public IPv4 addresses that is not yet the internet: 65,536 addresses."""
WIDEST_IPV6: Final = 32
"""Likewise for IPv6: what one provider has."""

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# Nobody outside of a network, and of those that are joined to it, has these addresses.
_PRIVATE: tuple[_Network, ...] = tuple(
    map(
        ipaddress.ip_network,
        (
            *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
            *("fc00::/7", "fe80::/10", "::1/128"),
        ),
    )
)
# IPv6 addresses that stand for all of IPv4.
_MAPPED: tuple[ipaddress.IPv6Network, ...] = tuple(map(ipaddress.IPv6Network, ("::ffff:0:0/96", "64:ff9b::/96")))


def wide_ranges(
    ranges: Iterable[Any], widest_ipv4: int = WIDEST_IPV4, widest_ipv6: int = WIDEST_IPV6
) -> tuple[str, ...]:
    """Those of the ranges that let in the internet, sorted; neighbors count as the range that they are together.

    Args:
        ranges: as `address/prefix`; what is not a range is left out.
        widest_ipv4: shortest prefix of public IPv4 addresses that is allowed.
        widest_ipv6: likewise for IPv6.

    """
    networks = {one: network for one in ranges if isinstance(one, str) and (network := _network(one)) is not None}

    def is_wide(network: _Network) -> bool:
        widest = widest_ipv4 if network.version == 4 else widest_ipv6
        return network.prefixlen < widest and not any(_within(network, private) for private in _PRIVATE)

    alone = {one for one, network in networks.items() if is_wide(network)}
    together = [network for network in _collapsed(networks.values()) if is_wide(network)]
    parts = {
        one
        for one, network in networks.items()
        if any(_within(network, other) for other in together)
        and not any(_within(network, networks[other]) for other in alone)
    }
    return tuple(sorted(alone | parts))


def control_plane_openings(
    cluster: Any, widest_ipv4: int = WIDEST_IPV4, widest_ipv6: int = WIDEST_IPV6
) -> tuple[str, ...]:
    """Why everybody can reach the control plane of a cluster by its address; empty if not everybody can.

    Args:
        cluster: inputs of a `gcp.container.Cluster`.
        widest_ipv4: shortest prefix of public IPv4 addresses that is allowed.
        widest_ipv6: likewise for IPv6.

    """
    if not has_public_address(cluster):
        return ()
    networks = _at(cluster, "masterAuthorizedNetworksConfig")
    if networks is None:
        return ("it has no authorized networks",)
    blocks = _at(networks, "cidrBlocks")
    ranges = [_at(block, "cidrBlock") for block in blocks] if isinstance(blocks, list) else []
    found = [f"{one} is among its authorized networks" for one in wide_ranges(ranges, widest_ipv4, widest_ipv6)]
    if _at(networks, "gcpPublicCidrsAccessEnabled") is True:
        found.append("gcpPublicCidrsAccessEnabled lets in every machine of Google Cloud")
    return tuple(found)


def has_public_address(cluster: Any) -> bool:
    """Whether the control plane has an address outside of its network, as it has by Google's default."""
    endpoints = ("controlPlaneEndpointsConfig", "ipEndpointsConfig")
    enabled = _at(cluster, *endpoints, "enabled")
    return (
        enabled in (None, True)
        and _at(cluster, *endpoints, "enablePublicEndpoint") in (None, True)
        and _at(cluster, "privateClusterConfig", "enablePrivateEndpoint") in (None, False)
    )


def _network(text: str) -> _Network | None:
    try:
        network = ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        return None
    for mapped in _MAPPED:
        if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(mapped):
            address = int(network.network_address) - int(mapped.network_address)
            return ipaddress.IPv4Network((address, network.prefixlen - mapped.prefixlen))
    return network


def _collapsed(networks: Collection[_Network]) -> Iterator[_Network]:
    yield from ipaddress.collapse_addresses(one for one in networks if isinstance(one, ipaddress.IPv4Network))
    yield from ipaddress.collapse_addresses(one for one in networks if isinstance(one, ipaddress.IPv6Network))


def _within(network: _Network, other: _Network) -> bool:
    if isinstance(network, ipaddress.IPv4Network):
        return isinstance(other, ipaddress.IPv4Network) and network.subnet_of(other)
    return isinstance(other, ipaddress.IPv6Network) and network.subnet_of(other)


def _at(value: Any, *keys: str) -> Any:
    """What stands at a path: None if nothing does, and what stands for an unknown on the way as it is."""
    for key in keys:
        if value is None:
            return None
        if not isinstance(value, dict):
            return value
        value = value.get(key)
    return value
