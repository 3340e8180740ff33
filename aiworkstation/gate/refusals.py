"""The gate's own answers to requests that never reach Django."""

import asyncio
import html
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

API_PREFIX = "/api/"
LINGER_SECONDS = 20.0
"""How long the rest of a refused body is read and dropped."""
LINGER_RATE = 50 * 1024 * 1024
"""Bytes a second that are dropped for all clients together, so that endless bodies cost little."""
LINGER_SILENCE = 0.5
"""Seconds without a byte after which the client is taken to have read the answer."""


class Disconnected(Exception):
    """The client went away before its request was complete."""


class Refusal(Exception):
    """The request is refused with this status, code and text."""

    def __init__(self, status: HTTPStatus, code: str, detail: str, *, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after = retry_after

    def answer(self, path: str, extras: Mapping[str, Any]) -> tuple[list[tuple[bytes, bytes]], bytes]:
        """Returns headers and body: the API's error shape under /api/, a plain page elsewhere."""
        if path.startswith(API_PREFIX):
            kind = "server_error" if self.status >= HTTPStatus.INTERNAL_SERVER_ERROR else "client_error"
            error = {"code": self.code, "detail": self.detail, "attr": None}
            content_type, body = "application/json", json.dumps({"type": kind, "errors": [error], **extras})
        else:
            title = f"{self.status.value} {self.status.phrase}"
            content_type = "text/html; charset=utf-8"
            body = f"<!doctype html><title>{title}</title><h1>{title}</h1><p>{html.escape(self.detail)}</p>"
        headers = [
            (b"content-type", content_type.encode()),
            (b"content-length", str(len(body.encode())).encode()),
            (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
            (b"x-content-type-options", b"nosniff"),
            (b"cache-control", b"no-store"),
            (b"connection", b"close"),
        ]
        if self.retry_after is not None:
            headers.append((b"retry-after", str(self.retry_after).encode()))
        return headers, body.encode()


class TooSlow(Refusal):
    def __init__(self) -> None:
        super().__init__(HTTPStatus.REQUEST_TIMEOUT, "request_timeout", "The body arrived too slowly. Send it again.")


class TooLarge(Refusal):
    def __init__(self, limit: int) -> None:
        size = f"{limit / 1024 / 1024:,.0f} MB" if limit >= 1024 * 1024 else f"{limit // 1024:,} kB"
        detail = f"The body is too large: at most {size}."
        super().__init__(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "payload_too_large", detail)


class NoFilesHere(Refusal):
    def __init__(self) -> None:
        detail = "This address accepts no multipart forms and no files."
        super().__init__(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)


class Busy(Refusal):
    """Too many requests of this kind, or of this client, are being answered."""

    def __init__(self, seconds: int) -> None:
        detail = f"Too many requests like this one are being answered. Try again in {seconds} seconds."
        super().__init__(HTTPStatus.TOO_MANY_REQUESTS, "throttled", detail, retry_after=seconds)


class NoSpace(Refusal):
    def __init__(self) -> None:
        detail = "The server has no disk space left for this body. Try again later."
        super().__init__(HTTPStatus.SERVICE_UNAVAILABLE, "no_space", detail, retry_after=60)


async def refuse(
    refusal: Refusal,
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    extras: Mapping[str, Any] | None = None,
    more_headers: Sequence[tuple[bytes, bytes]] = (),
) -> None:
    """Answers, with `extras` in a JSON error, then drops the rest of the body before the connection ends.

    If the connection ended at once, a client that writes its whole body first would see a reset, not the answer.
    """
    headers, body = refusal.answer(scope["path"], extras or {})
    start = {"type": "http.response.start", "status": refusal.status.value, "headers": [*headers, *more_headers]}
    await send(start)
    await send({"type": "http.response.body", "body": body, "more_body": True})
    # A client that is too slow gets no more time.
    if not isinstance(refusal, TooSlow):
        await drop_body(receive)
    await send({"type": "http.response.body", "body": b""})


class DropRate:
    """Spreads what all connections drop over time."""

    def __init__(self) -> None:
        self._next = 0.0

    async def wait(self, size: int) -> None:
        now = asyncio.get_running_loop().time()
        # Each block reserves the next span of time. No await in between, so no other connection gets the same one.
        # `max`: time in which nothing was dropped is not saved up.
        self._next = max(now, self._next) + size / LINGER_RATE
        await asyncio.sleep(self._next - now)


_drop_rate = DropRate()


async def drop_body(receive: Receive) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            while (block := await _next_block(receive)) is not None:
                await _drop_rate.wait(len(block))


async def _next_block(receive: Receive) -> bytes | None:
    """Returns None at the end of the body. Raises TimeoutError after a silence."""
    async with asyncio.timeout(LINGER_SILENCE):
        event = await receive()
    has_more = event["type"] == "http.request" and event.get("more_body")
    return event.get("body", b"") if has_more else None
