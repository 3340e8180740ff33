"""What a failed network call means, for the model client and the HTTP client."""

import errno
import re
import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from socket import gaierror


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from `retry-after-ms` or `Retry-After` (seconds or an HTTP date, RFC 9110 10.2.3)."""
    milliseconds = _nonnegative_number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after", "").strip()
    seconds = _nonnegative_number(value)
    return seconds if seconds is not None else _seconds_until(value)


def is_refused(error: BaseException) -> bool:
    """Whether nobody listens at the address or no route leads there. The request was then never sent."""
    causes = list(_causes(error))
    if any(isinstance(cause, gaierror | ssl.SSLError) for cause in causes):
        return False
    return any(isinstance(cause, ConnectionRefusedError) or _is_unreachable(cause) for cause in causes)


def is_unknown_host(error: BaseException) -> bool:
    return any(isinstance(cause, gaierror) for cause in _causes(error))


def is_bad_certificate(error: BaseException) -> bool:
    return any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error))


def _nonnegative_number(value: str) -> float | None:
    return float(value) if re.fullmatch(r"\d{1,9}(\.\d+)?", value) else None


def _seconds_until(date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max((moment - datetime.now(UTC)).total_seconds(), 0.0)


def _is_unreachable(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, its causes, and the members of groups, because clients wrap the socket's own error."""
    waiting, seen = [error], set[int]()
    while waiting:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        waiting += [cause for cause in (current.__cause__, current.__context__) if cause is not None]
        if isinstance(current, BaseExceptionGroup):
            waiting += current.exceptions
