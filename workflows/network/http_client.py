"""The HTTP client: the only way in which tools reach the network over HTTP.

1. The host's name is resolved once, and all of its addresses must be public (`ssrf_guard.py`).
2. The connection goes to one of these addresses, with the name in `Host` and in TLS. So a name that points elsewhere a
   moment later (DNS rebinding) leads nowhere.
3. Redirects are followed here, each through 1 and 2. The caller's own headers go to their origin only.
4. Secrets are filled in after the host is checked, again for each redirect, and are redacted in the response.
5. The environment's proxies and credentials are not used.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import httpx2
from django.conf import settings

from aiworkstation import strict_json
from workflows.errors import BadArguments, PermanentError, StepError, TryLater
from workflows.network import content_encoding, cooldowns, network_errors, secrets, ssrf_guard

MAX_BYTES = 10 * 1024 * 1024
MAX_REDIRECTS = 5
CONNECT_SECONDS = 10.0
TOTAL_SECONDS = 120.0

DERIVED_HEADERS = {
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "expect",
}
CROSS_ORIGIN_HEADERS = {
    "accept",
    "accept-language",
    "accept-encoding",
    "content-type",
    "user-agent",
    "idempotency-key",
}


@dataclass(frozen=True)
class Request:
    """`trusted` lists `host:port` that may be private without a setting. `sensitive` lists texts that are never shown.

    Without `follows` a redirect is a response like any other. Without `fills_secrets`, which needs a body in bytes,
    placeholders of secrets are text like any other. `sign` returns headers that sign the complete body.
    """

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    json: Any = None
    timeout: float = TOTAL_SECONDS
    trusted: frozenset[str] = frozenset()
    sensitive: frozenset[str] = frozenset()
    follows: bool = True
    fills_secrets: bool = True
    sign: Callable[[bytes], dict[str, str]] | None = None
    is_redirected: bool = False
    """The URL comes from another server, so no secret is filled in there."""


@dataclass(frozen=True)
class Response:
    """`headers` have lower-case names. Secrets are redacted, but not in `body`: use `text` or `json`."""

    status: int
    headers: dict[str, str]
    body: bytes
    host: str
    sensitive: frozenset[str] = frozenset()

    @property
    def is_json(self) -> bool:
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        return kind == "application/json" or kind.endswith("+json")

    @property
    def text(self) -> str:
        charset = httpx2.Response(200, headers={"content-type": self.headers.get("content-type", "")}).charset_encoding
        try:
            text = self.body.decode(charset or "utf-8", errors="replace")
        except LookupError:
            text = self.body.decode(errors="replace")
        return str(secrets.redact(text.replace("\0", "\ufffd"), self.sensitive))

    def json(self) -> Any:
        """Raises strict_json.BadJson, a ValueError."""
        return secrets.redact(strict_json.loads(self.body), self.sensitive)


_only_to: ContextVar[frozenset[str] | None] = ContextVar("only_to", default=None)


@contextmanager
def only_to(hosts: frozenset[str] | None) -> Iterator[None]:
    """Lets the running task reach these `host:port` only, also through redirects. None lifts the limit."""
    token = _only_to.set(hosts)
    try:
        yield
    finally:
        _only_to.reset(token)


async def send(request: Request) -> Response:
    """Returns the response, whatever its status. Cancelling closes the connection.

    Raises PermanentError (`address_not_allowed`, `response_too_large`, `too_many_redirects`, `secret_not_granted`),
    BadArguments, NotConfigured (a missing secret), TryLater (a refused connection) or a StepError to be retried. Their
    messages hold no secrets.
    """
    headers = {name.lower(): value for name, value in request.headers.items()}
    headers = {"user-agent": "aiworkstation", "accept": "*/*", **headers, "accept-encoding": "gzip"}
    if request.json is not None:
        headers.setdefault("content-type", "application/json")
    try:
        async with asyncio.timeout(request.timeout):
            response = await _follow(replace(request, headers=headers))
    except TimeoutError as error:
        raise StepError(f"No complete answer within {request.timeout:g} seconds.", code="timed_out") from error
    except StepError as error:
        error.args = (secrets.redact(error.message, _hidden(request)),)
        raise
    hidden = _hidden(request)
    return replace(response, headers=secrets.redact(response.headers, hidden), sensitive=hidden)


def _hidden(request: Request) -> frozenset[str]:
    return request.sensitive | secrets.in_use()


def raise_for_status(response: Response, *, also_busy: Collection[int] = ()) -> None:
    """429, 503 and `also_busy` are waits. 408, 425 and other 5xx are retried. Other 4xx are permanent."""
    status = response.status
    if status < 400:
        return
    message = f"{response.host} answered {status}: {' '.join(response.text[:2000].split())[:300]}"
    if status in (429, 503) or status in also_busy:
        raise busy(response, message, f"http_{status}")
    kind = StepError if status >= 500 or status in (408, 425) else PermanentError
    raise kind(message, code=f"http_{status}")


def busy(response: Response, message: str, code: str) -> TryLater:
    """Returns an error that makes every worker leave the server alone for its delay."""
    delay = network_errors.retry_after(response.headers)
    return TryLater(message, code=code, delay=delay, cooldown=cooldowns.key_for("http", response.host))


def host_and_port(url: str) -> str:
    """The URL's `host:port`, as in HTTP_ALLOWED_PRIVATE_HOSTS."""
    return _host_and_port(_parsed(url))


def check_url(url: str) -> None:
    """Checks what is known of a URL before a name server is asked. Raises BadArguments or `address_not_allowed`."""
    parsed = _parsed(url)
    place, host = _host_and_port(parsed), parsed.raw_host.decode("ascii").lower().strip("[]").rstrip(".")
    is_local = host == "localhost" or host.endswith(".localhost")
    is_private = ssrf_guard.is_ip_address(host) and not ssrf_guard.is_public(host)
    if (is_local or is_private) and not _is_allowed_private(place):
        raise _not_allowed(place)


async def _complete(request: Request, host: str) -> Request:
    """The request as it goes to this host: with its secrets, its body as bytes, signed."""
    if not request.fills_secrets:
        return _signed(request, dict(request.headers), request.body)
    url = "" if request.is_redirected else request.url
    text = (request.body or b"").decode("utf-8", errors="surrogateescape")
    filler = await secrets.Filler.for_request(host, [request.headers, url, request.json, text])
    body = request.body and filler.text(text).encode("utf-8", errors="surrogateescape")
    if request.json is not None:
        body = json.dumps(filler.json(request.json)).encode()
    filled = replace(request, url=filler.url(url) if url else request.url)
    return _signed(filled, filler.headers(request.headers), body)


def _signed(request: Request, headers: dict[str, str], body: bytes | None) -> Request:
    if request.sign:
        headers |= request.sign(body or b"")
    for name, value in headers.items():
        _check_header(name, value)
    return replace(request, headers=headers, body=body, json=None)


def _check_header(name: str, value: str) -> None:
    is_sendable = name.isascii() and value.isascii() and value.isprintable()
    if not is_sendable or not name.replace("-", "").replace("_", "").isalnum():
        raise BadArguments(f"The header {name!r} has characters that headers must not have.")
    if name in DERIVED_HEADERS or name.startswith("proxy-"):
        raise BadArguments(f"The header {name!r} cannot be set, because it is derived from the request.")


async def _follow(request: Request) -> Response:
    for _ in range(MAX_REDIRECTS + 1):
        response = await _exchange(request)
        location = response.headers.get("location")
        if response.status not in (301, 302, 303, 307, 308) or not location or not request.follows:
            return response
        request = _redirected(request, response.status, location)
    raise PermanentError(f"More than {MAX_REDIRECTS} redirects.", code="too_many_redirects")


def _redirected(request: Request, status: int, location: str) -> Request:
    """The next request, as RFC 9110 15.4 says. Another origin does not get the caller's own headers."""
    old = _parsed(request.url)
    new = _parsed(str(old.join(location)))
    becomes_get = status == 303 or (status in (301, 302) and request.method == "POST")
    method = "GET" if becomes_get and request.method != "HEAD" else request.method
    if becomes_get:
        request = replace(request, body=None, json=None)
    has_body = request.body is not None or request.json is not None
    headers = {name: value for name, value in request.headers.items() if has_body or name != "content-type"}
    if (old.scheme, old.host, _port(old)) != (new.scheme, new.host, _port(new)):
        # Only what is known to be harmless goes along: a header of the caller may hold a credential under any name.
        headers = {name: value for name, value in headers.items() if name in CROSS_ORIGIN_HEADERS}
    return replace(request, method=method, url=str(new), headers=headers, is_redirected=True)


async def _exchange(request: Request) -> Response:
    """Sends one request to an address that was checked, and returns its response."""
    url = _parsed(request.url)
    place = _host_and_port(url)
    # Asked for each request and not once before the first: a redirect leads to another host.
    if (allowed := _only_to.get()) is not None and place not in allowed:
        raise PermanentError(
            f"The request was redirected to {place}, but a model chose its arguments and nobody has named this host."
            " Name it in the step's description, in its mode or in MODEL_ALLOWED_HOSTS.",
            code="host_not_named",
        )
    failure: Exception | None = None
    try:
        addresses = await _allowed_addresses(url, request.trusted)
        # After the address was checked: a secret is not even read for a host that may not be reached.
        filled = await _complete(request, _safe_host(url))
        for address in addresses:
            try:
                return await _exchange_with(address, _parsed(filled.url), filled)
            # Only a failed connection leads to the next address: a request that was sent must not be sent twice.
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                failure = error
        raise failure or StepError(f"{place} has no address.")
    except (httpx2.RequestError, httpx2.InvalidURL) as error:
        raise _network_error(error, place) from None  # the client's own message may show the URL, with its secrets


async def _exchange_with(address: str, url: httpx2.URL, request: Request) -> Response:
    async with _opened(address, url, request) as answer:
        raw = bytearray()
        async for chunk in answer.aiter_raw():
            raw += chunk
            # Counted while it arrives. Content-Length may be missing, or a lie.
            if len(raw) > MAX_BYTES:
                raise _too_large()
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Response(answer.status_code, headers, _decoded(bytes(raw), headers), _host_and_port(url))


@asynccontextmanager
async def _opened(address: str, url: httpx2.URL, request: Request) -> AsyncIterator[httpx2.Response]:
    """Uses the bare transport: a client would log the URL, use the environment's proxies and keep cookies."""
    timeout = {"connect": CONNECT_SECONDS, "read": request.timeout, "write": request.timeout, "pool": None}
    sent = httpx2.Request(
        request.method, url, headers=request.headers, content=request.body, extensions={"timeout": timeout}
    )
    # The address that was checked, and no second look-up: the name may lead elsewhere by now. `Host` and the name in
    # TLS stay those of the URL.
    sent.url = url.copy_with(host=address)
    if url.scheme == "https" and not ssrf_guard.is_ip_address(url.host):
        sent.extensions["sni_hostname"] = url.raw_host.decode("ascii")
    async with httpx2.AsyncHTTPTransport(verify=_ssl_context(), trust_env=False) as transport:
        answer = await transport.handle_async_request(sent)
        try:
            yield answer
        finally:
            await answer.aclose()


@cache
def _ssl_context() -> ssl.SSLContext:
    return httpx2.create_ssl_context(trust_env=False)


def _safe_host(url: httpx2.URL) -> str:
    """The `host:port` that grants name. A public host over plain HTTP gets a scheme, which no grant has."""
    place = _host_and_port(url)
    return place if url.scheme == "https" or _is_allowed_private(place) else f"http://{place}"


def _is_allowed_private(place: str) -> bool:
    return place in {allowed.lower() for allowed in settings.CONFIG.http_allowed_private_hosts}


async def _allowed_addresses(url: httpx2.URL, trusted: frozenset[str]) -> list[str]:
    """Addresses to connect to, in the resolver's order. Raises `address_not_allowed` if any of them is private."""
    place = _host_and_port(url)
    is_allowed = place in trusted or _is_allowed_private(place)
    try:
        found = await ssrf_guard.resolve(url.raw_host.decode("ascii").strip("[]"), _port(url))
    except ssrf_guard.UnknownHost:
        if is_allowed:
            raise
        found = []
    if is_allowed or (found and all(ssrf_guard.is_public(address) for address in found)):
        return found
    raise _not_allowed(place)


def _not_allowed(place: str) -> PermanentError:
    """Says the same about an unknown name. Otherwise, it would show which names the private network has."""
    return PermanentError(
        f"{place} is unknown, or a private address, which steps may not reach."
        f" To allow a private address, set HTTP_ALLOWED_PRIVATE_HOSTS={place}",
        code="address_not_allowed",
    )


def _parsed(url: str) -> httpx2.URL:
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, ValueError, TypeError):
        raise BadArguments("This is not a URL.") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise BadArguments("A URL must begin with http:// or https:// and name a host.")
    if parsed.userinfo:
        raise BadArguments("A URL must not contain a user and password: use the header Authorization.")
    return parsed


def _port(url: httpx2.URL) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


def _host_and_port(url: httpx2.URL) -> str:
    return f"{url.raw_host.decode('ascii').lower()}:{_port(url)}"


def _decoded(raw: bytes, headers: dict[str, str]) -> bytes:
    try:
        return content_encoding.decode(raw, headers.get("content-encoding", ""), MAX_BYTES)
    except content_encoding.TooLarge:
        raise _too_large() from None


def _too_large() -> PermanentError:
    return PermanentError(f"The answer is larger than {MAX_BYTES // 2**20} MB.", code="response_too_large")


def _network_error(error: Exception, place: str) -> StepError:
    if network_errors.is_refused(error):
        return TryLater(
            f"Nothing answers at {place}.", code="connection_refused", cooldown=cooldowns.key_for("http", place)
        )
    if network_errors.is_bad_certificate(error):
        return PermanentError(f"The certificate of {place} is not trusted.", code="bad_certificate")
    if isinstance(error, httpx2.TimeoutException):
        return StepError(f"{place} did not answer in time.", code="timed_out")
    return StepError(f"The connection to {place} failed ({type(error).__name__}).", code="connection_cut")
