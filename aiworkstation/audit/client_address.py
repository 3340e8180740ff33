"""The address of a client, also behind proxies."""

import ipaddress
from functools import lru_cache

from django.conf import settings
from django.http import HttpRequest

MAX_HOPS = 20


def client_address(request: HttpRequest) -> str:
    """Returns the address of the client.

    A client can write any X-Forwarded-For. The header counts only if TRUSTED_PROXIES lists the address that the
    connection comes from: then its last entry is the address that this proxy saw. If that is a trusted proxy too, the
    entry before it counts, and so on.
    """
    address = str(request.META.get("REMOTE_ADDR", ""))
    hops = [hop.strip() for hop in request.headers.get("X-Forwarded-For", "").split(",")]
    # From the nearest proxy outwards: a client can write anything at the beginning of the header.
    for hop in reversed(hops[-MAX_HOPS:]):
        if not _is_trusted(address) or not _is_address(hop):
            break
        address = hop
    return address


def _is_trusted(address: str) -> bool:
    if not _is_address(address):
        return False
    found = ipaddress.ip_address(address)
    return any(found in network for network in _networks(tuple(settings.CONFIG.trusted_proxies)))


@lru_cache(4)
def _networks(given: tuple[str, ...]) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    return [ipaddress.ip_network(text, strict=False) for text in given]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
