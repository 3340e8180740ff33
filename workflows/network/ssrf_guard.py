"""The SSRF guard: steps may reach public network addresses only."""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from workflows.errors import StepError

RESOLVE_SECONDS = 10.0
RESOLVERS = 16
"""How many threads wait for name servers and do nothing else, so that slow lookups delay no other work."""
NAT64 = ip_network("64:ff9b::/96")
# Networks that `ipaddress` calls global, at least in some Python versions, although they are not.
NOT_PUBLIC = [
    ip_network("192.0.0.0/24"),  # IETF's own; Oracle Cloud's metadata
    ip_network("192.88.99.0/24"),  # 6to4 relays
    ip_network("168.63.129.16/32"),  # Azure's metadata
    ip_network("64:ff9b:1::/48"),  # NAT64 inside one network
    ip_network("2001::/23"),  # Teredo and others
    ip_network("3fff::/20"),  # documentation
]


class UnknownHost(StepError):
    """No name server knows the host."""


async def resolve(host: str, port: int) -> list[str]:
    """Returns the host's addresses, in the resolver's order. Raises StepError, `unknown_host`."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            found = await loop.run_in_executor(_resolvers(), partial(_look_up, host, port))
    except (socket.gaierror, UnicodeError) as error:
        raise UnknownHost(f"The host {host} is not known.", code="unknown_host") from error
    except TimeoutError as error:
        raise StepError(f"The name server did not answer for {host}.", code="unknown_host") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@cache
def _resolvers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(RESOLVERS, thread_name_prefix="resolver")


def _look_up(host: str, port: int) -> list[Any]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


def is_public(address: str) -> bool:
    """Returns False for an address in a private network, also for an IPv4 address inside an IPv6 address."""
    return _is_public(ip_address(address.partition("%")[0]))


def is_ip_address(host: str) -> bool:
    """Whether a URL's host is an IP address instead of a name."""
    try:
        return bool(ip_address(host))
    except ValueError:
        return False


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    inner = _embedded(address)
    if inner is not None:
        return _is_public(inner)
    is_special = address.is_multicast or address.is_reserved or address.is_link_local or address.is_unspecified
    is_local = isinstance(address, IPv6Address) and address.is_site_local
    is_listed = any(address in network for network in NOT_PUBLIC)
    return address.is_global and not (is_special or is_local or is_listed)


def _embedded(address: IPv4Address | IPv6Address) -> IPv4Address | None:
    """The IPv4 address inside an IPv6 address: mapped, 6to4 or NAT64."""
    if isinstance(address, IPv4Address):
        return None
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
