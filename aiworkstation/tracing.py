"""Traces for OpenTelemetry: from a request to the job that it starts, to its steps in other processes, to models.

Without OTEL_EXPORTER_OTLP_ENDPOINT, nothing is imported, and a span does nothing. Attributes have names, ids, counts
and codes, and never what users, documents or models wrote.
"""

import importlib
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, Protocol

from django.conf import settings

Kind = Literal["server", "producer", "consumer", "client", "internal"]
Attributes = Mapping[str, Any]


class Span(Protocol):
    """Something that takes time. An exception that ends it is noted with its code or its class, without its text."""

    def set(self, attributes: Attributes) -> None: ...

    def name(self, name: str) -> None: ...

    def fail(self, code: str) -> None:
        """Notes that it failed, with a short code."""


class _NoSpan:
    def set(self, attributes: Attributes) -> None:
        pass

    def name(self, name: str) -> None:
        pass

    def fail(self, code: str) -> None:
        pass


_OFF = nullcontext(_NoSpan())


def is_on() -> bool:
    return bool(settings.CONFIG.otel_exporter_otlp_endpoint)


def span(
    name: str, kind: Kind = "internal", attributes: Attributes | None = None, *, parent: str = ""
) -> AbstractContextManager[Span]:
    """A span inside the current one, or inside `parent`: a `traceparent` as W3C Trace Context writes it."""
    if not is_on():
        return _OFF
    found: AbstractContextManager[Span] = _otel().span(name, kind, attributes or {}, parent)
    return found


def traceparent() -> str:
    """Returns the current span as a text that another process can have as a parent. Empty without one."""
    return str(_otel().traceparent()) if is_on() else ""


def flush() -> None:
    """Sends what is left, for at most two seconds. Call it before a process ends without its exit handlers."""
    if is_on():
        _otel().flush()


def _otel() -> Any:
    """Imports the SDK with the first span of a process, so that processes without spans do not pay for it."""
    return importlib.import_module("aiworkstation.otel")
