"""What an operation asks of its client, and the rules for trying again. No input or output happens here.

An operation is a generator. It yields effects, gets their results, and returns its own result. `Client` carries the
effects out one after another, `AsyncClient` awaits them. So each call of the API is written once, for both.
"""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, BinaryIO, TypeVar

from aiworkstation_client.decoding import parse
from aiworkstation_client.errors import (
    ApiError,
    BadAnswer,
    ConnectionFailed,
    ErrorItem,
    class_for,
    shorten,
)

T = TypeVar("T")

logger = logging.getLogger("aiworkstation_client")

MAX_JSON = 256 * 1024 * 1024
MAX_ERROR = 1024 * 1024
"""Bytes of an answer."""
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
MOST_PATIENCE = 300.0
"""Seconds. A server that asks for a longer pause with Retry-After gets no further request."""
SAFE = {"GET", "HEAD", "PUT", "DELETE"}
BUSY = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
OVERLOADED = BUSY | {HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT}


@dataclass(frozen=True)
class Form:
    """A file to upload, and the fields beside it. `open` returns the file from its beginning, for each attempt."""

    filename: str
    open: Callable[[], BinaryIO]
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """Send this, again if that is safe. The result is an Answer whose status is below 400.

    `is_repeatable` marks a POST that the server carries out once, however often it arrives. `open_target` returns a
    file that takes the bytes of the answer.
    """

    method: str
    path: str
    query: Sequence[tuple[str, str]] = ()
    json: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    form: Form | None = None
    is_repeatable: bool = False
    retries: int | None = None
    open_target: Callable[[], BinaryIO] | None = None


@dataclass(frozen=True)
class SendOnce:
    """Send the request once. The result is an Answer of any status. Raises ConnectionFailed."""

    request: Request


@dataclass(frozen=True)
class Pause:
    seconds: float


@dataclass(frozen=True)
class InThread:
    """Call a function that takes long. The result is what it returns."""

    function: Callable[[], Any]


@dataclass(frozen=True)
class Tell:
    """Call a function of the caller. If it returns an awaitable, `AsyncClient` awaits it."""

    function: Callable[[Any], Any]
    value: Any


@dataclass(frozen=True)
class Together:
    """Carry operations out, at most `limit` at the same time. The result is the list of their results, in order.

    The first exception stops the others.
    """

    operations: Iterable[Operation[Any]]
    limit: int


Effect = Request | SendOnce | Pause | InThread | Tell | Together
Operation = Generator[Effect, Any, T]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Raises BadAnswer."""
        return parse(self.body)


class Inbox:
    """Takes an answer in chunks, and refuses one that is too large or takes too long."""

    def __init__(self, request: Request, status: int, headers: Mapping[str, str], seconds: float) -> None:
        if headers.get("content-encoding", "identity") != "identity":
            raise BadAnswer(
                f"The answer is compressed ({headers['content-encoding']!r}), although this was not asked for."
            )
        self.status = status
        self.headers = headers
        self._file = request.open_target() if request.open_target and status == HTTPStatus.OK else None
        self._limit = MAX_JSON if status < HTTPStatus.BAD_REQUEST else MAX_ERROR
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds
        self._body = bytearray()

    def add(self, chunk: bytes) -> None:
        if self._file:
            self._file.write(chunk)
            return
        self._body += chunk
        if len(self._body) > self._limit:
            raise BadAnswer(f"The answer ({self.status}) has more than {self._limit // 1024**2} MB.")
        if time.monotonic() > self._deadline:
            raise ConnectionFailed(f"The answer is not complete after {self._seconds:g} seconds.", was_sent=True)

    def close(self) -> None:
        if self._file:
            self._file.close()

    def answer(self) -> Answer:
        return Answer(self.status, self.headers, bytes(self._body))


def attempts(request: Request, retries: int) -> Operation[Answer]:
    """Sends a request until the server carries it out or refuses it. Raises the error of the last attempt."""
    retries = retries if request.retries is None else request.retries
    for attempt in range(1, retries + 2):
        try:
            answer: Answer = yield SendOnce(request)
            if answer.status < HTTPStatus.BAD_REQUEST:
                return _not_redirected(answer)
            raise error_of(answer, attempt)
        except (ConnectionFailed, ApiError) as error:
            pause = pause_before_next(request, error, attempt) if attempt <= retries else None
            if pause is None:
                raise
            logger.info("%s Trying again in %.1f seconds (attempt %d).", error, pause, attempt + 1)
        yield Pause(pause)
    raise AssertionError("the last attempt returns or raises")


def pause_before_next(request: Request, error: ConnectionFailed | ApiError, attempt: int) -> float | None:
    """Returns the seconds until the next attempt. None: another attempt is not safe, or of no use."""
    if not _may_repeat(request, error):
        return None
    asked = error.retry_after if isinstance(error, ApiError) else None
    if asked is not None:
        return asked if asked <= MOST_PATIENCE else None
    longest: float = min(FIRST_PAUSE * 2 ** min(attempt - 1, 10), LONGEST_PAUSE)
    return longest * random.uniform(0.5, 1)  # noqa: S311  (so that many clients do not come back at the same moment)


def _may_repeat(request: Request, error: ConnectionFailed | ApiError) -> bool:
    """A request that the server may have carried out is repeated only if carrying it out twice does no harm."""
    is_safe = request.method in SAFE or request.is_repeatable
    if isinstance(error, ConnectionFailed):
        return not error.is_lasting and (is_safe or not error.was_sent)
    return error.status in OVERLOADED if is_safe else error.status == HTTPStatus.TOO_MANY_REQUESTS


def _not_redirected(answer: Answer) -> Answer:
    if answer.status < HTTPStatus.MULTIPLE_CHOICES or answer.status == HTTPStatus.NOT_MODIFIED:
        return answer
    target = shorten(answer.headers.get("location", "another address"))
    raise BadAnswer(
        f"The server redirects to {target!r}. The token is not sent there. If that is the right server, set AIW_URL."
    )


def error_of(answer: Answer, attempt: int = 1) -> ApiError:
    """Returns the exception for an answer of 400 or more, whether the application or a proxy sent it."""
    return class_for(answer.status)(
        answer.status,
        _error_items(answer) or [ErrorItem(f"http_{answer.status}", _visible_text(answer))],
        retry_after=retry_after(answer.headers.get("retry-after", "")),
        request_id=answer.headers.get("x-request-id"),
        attempt=attempt,
    )


def _error_items(answer: Answer) -> list[ErrorItem]:
    """Returns nothing if the body does not have the shape of the API's errors."""
    try:
        items = answer.json()["errors"]
        return [ErrorItem(str(item["code"]), str(item["detail"]), _text_or_none(item.get("attr"))) for item in items]
    except (BadAnswer, KeyError, TypeError, AttributeError, IndexError):
        return []


def _text_or_none(value: Any) -> str | None:
    return None if value is None else str(value)


def _visible_text(answer: Answer) -> str:
    text = re.sub(r"<[^>]*>|\s+", " ", answer.body[:4000].decode(errors="replace"))
    return shorten(" ".join(text.split())) or "The server gave no reason."


def retry_after(value: str) -> float | None:
    """Seconds, from seconds or from an HTTP date (RFC 9110 10.2.3). None for anything else."""
    value = value.strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
        return float(value)
    with suppress(ValueError, OverflowError):
        moment = parsedate_to_datetime(value)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max((moment - datetime.now(UTC)).total_seconds(), 0.0)
    return None
