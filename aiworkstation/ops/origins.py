"""Origins of pages, as settings list them and as browsers send them: `https://app.example.com:8443`."""

import ipaddress
import re
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}
_LABEL = "[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_NUMERIC = re.compile(r"(.*\.)?(\d+|0x[0-9a-f]*)")
REMEDY = "write each as scheme, host and port only, such as https://app.example.com"


def browser_origin(text: str) -> str:
    """Returns the origin as browsers write it: lower case, no default port, no slash at the end.

    Raises ValueError if the text is no origin, or more than one, such as `*` or `null`.
    """
    if "*" in text:
        raise ValueError(f"list every origin: there are no wildcards, so {text} is refused")
    try:
        parts = urlsplit(text.removesuffix("/"))
        port = parts.port
    except ValueError:
        raise ValueError(f"{REMEDY}, not {text}") from None
    has_more = (
        parts.path or parts.query or parts.fragment or "@" in parts.netloc or text.endswith(("?", "#", ":", ":/"))
    )
    if parts.scheme not in DEFAULT_PORTS or has_more or port == 0:
        raise ValueError(f"{REMEDY}, not {text}")
    # The host ends up in a header with a syntax of its own, so nothing but a host may pass.
    host = _host(parts.netloc, parts.hostname or "", text)
    shown = "" if port in (None, DEFAULT_PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{host}{shown}"


def _host(netloc: str, name: str, text: str) -> str:
    """Returns the host as browsers write it."""
    try:
        if netloc.startswith("[") and "%" not in name:
            return f"[{ipaddress.IPv6Address(name)}]"
        host = name if name.isascii() else name.encode("idna").decode()
        if _NUMERIC.fullmatch(host):  # browsers read it as an address
            return str(ipaddress.IPv4Address(host))
    except ValueError:
        raise ValueError(f"{REMEDY}, not {text}") from None
    if not _HOST.fullmatch(host):
        raise ValueError(f"{REMEDY}, not {text}")
    return host
