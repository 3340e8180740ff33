"""Where the server is, and the token for it."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

import httpx2

from aiworkstation_client.errors import AiwError, BadAnswer, ConfigurationError, ConnectionFailed
from aiworkstation_client.version import __version__

DEFAULT_URL = "http://127.0.0.1:8000"
CONNECT_SECONDS = 10.0
USER_AGENT = f"aiworkstation-client/{__version__}"


@dataclass(frozen=True)
class Connection:
    """`url` has no path `/api` and no slash at its end. `timeout` is in seconds."""

    url: str
    token: str = field(repr=False)
    timeout: float

    @property
    def http_options(self) -> dict[str, Any]:
        """The arguments of httpx2's clients.

        Redirects are not followed: a token goes only to the server that it was given for. Proxies of the environment
        are not used for this machine itself: they would see the token.
        """
        return {
            "headers": {
                "Authorization": f"Bearer {self.token}",
                "Accept": "application/json",
                # A small compressed answer can be huge. So compressed answers are neither asked for nor accepted.
                "Accept-Encoding": "identity",
                "User-Agent": USER_AGENT,
            },
            "timeout": httpx2.Timeout(self.timeout, connect=min(self.timeout, CONNECT_SECONDS)),
            "follow_redirects": False,
            "trust_env": not is_loopback(httpx2.URL(self.url).host),
        }


def make_connection(url: str | None, token: str | None, *, timeout: float, allow_http: bool) -> Connection:
    """Takes what is missing from AIW_URL and AIW_TOKEN. Raises ConfigurationError."""
    url = url or os.environ.get("AIW_URL") or DEFAULT_URL
    token = (token or os.environ.get("AIW_TOKEN") or "").strip()
    if not token:
        raise ConfigurationError("There is no API token. Set AIW_TOKEN, or pass token=….")
    if not re.fullmatch(r"[!-~]+", token):
        raise ConfigurationError("The API token has characters that no token has.")
    if not timeout > 0:
        raise ConfigurationError("timeout must be more than 0 seconds.")
    return Connection(_checked(url, allow_http=allow_http), token, timeout)


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _checked(text: str, *, allow_http: bool) -> str:
    try:
        url = httpx2.URL(text.strip())
    except (httpx2.InvalidURL, ValueError) as error:
        raise ConfigurationError(f"The address of the server (AIW_URL) is not a URL: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigurationError("The address of the server (AIW_URL) must begin with https:// or http://.")
    if url.userinfo or url.query or url.fragment:
        raise ConfigurationError("The address of the server (AIW_URL) has a user, a query or a fragment. Leave it out.")
    if url.scheme == "http" and not is_loopback(url.host) and not allow_http:
        raise ConfigurationError(
            f"http://{url.host} would send the token unencrypted."
            " Use https, or allow it: allow_http=True, or aiw --allow-http."
        )
    return str(url).rstrip("/").removesuffix("/api")


def failure(error: httpx2.HTTPError | httpx2.StreamError, url: str) -> AiwError:
    """Returns our exception for one of httpx2."""
    reason = str(error) or type(error).__name__
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error)):
        return ConnectionFailed(f"The certificate of {url} is not valid: {reason}", was_sent=False, is_lasting=True)
    if isinstance(error, (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)):
        return ConnectionFailed(f"No connection to {url}: {reason}. Is the server running?", was_sent=False)
    if isinstance(error, httpx2.TransportError) and not isinstance(error, httpx2.LocalProtocolError):
        return ConnectionFailed(f"The connection to {url} broke: {reason}", was_sent=True)
    return BadAnswer(f"The exchange with {url} failed: {reason}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
