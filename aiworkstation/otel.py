"""The OpenTelemetry SDK behind `aiworkstation.tracing`: it sends spans as OTLP over HTTP, from a thread of its own.

If the collector is slow or gone, spans wait in a bounded queue, and the oldest are dropped. Work never waits for it.
"""

import atexit
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from django.conf import settings
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from aiworkstation import VERSION
from aiworkstation.tracing import Attributes, Kind

FLUSH_SECONDS = 2.0
EXPORT_SECONDS = 5.0
PARENT = "traceparent"
KINDS = {
    "server": trace.SpanKind.SERVER,
    "producer": trace.SpanKind.PRODUCER,
    "consumer": trace.SpanKind.CONSUMER,
    "client": trace.SpanKind.CLIENT,
    "internal": trace.SpanKind.INTERNAL,
}
_propagator = TraceContextTextMapPropagator()
LOG_SECONDS = 60.0


class OneWarningAMinute(logging.Filter):
    """An unreachable collector would fill the log, and is no error of the application."""

    not_before = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        now = time.monotonic()
        is_due = now >= self.not_before
        if is_due:
            self.not_before = now + LOG_SECONDS
        return is_due


logging.getLogger(OTLPSpanExporter.__module__).addFilter(OneWarningAMinute())


class OtelSpan:
    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def set(self, attributes: Attributes) -> None:
        """Leaves out what is not known."""
        self._span.set_attributes({name: value for name, value in attributes.items() if value is not None})

    def name(self, name: str) -> None:
        self._span.update_name(name)

    def fail(self, code: str) -> None:
        self._span.set_attribute("error.type", code)
        self._span.set_status(trace.StatusCode.ERROR)


@contextmanager
def span(name: str, kind: Kind, attributes: Attributes, parent: str) -> Iterator[OtelSpan]:
    context = _propagator.extract({PARENT: parent}) if parent else None
    # The text of an exception may quote what users, documents or models wrote, or a secret.
    with _tracer().start_as_current_span(
        name, context, KINDS[kind], record_exception=False, set_status_on_exception=False
    ) as started:
        found = OtelSpan(started)
        found.set(attributes)
        try:
            yield found
        # Also the cancellation of a step.
        except BaseException as error:
            found.fail(str(getattr(error, "code", "") or type(error).__name__))
            raise


def traceparent() -> str:
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get(PARENT, "")


def flush() -> None:
    _exports().flush()


class Exports:
    """The provider of tracers, and a thread that flushes: the SDK's own flush waits for the collector without a limit.

    The thread exists before it is needed, because a process that ends cannot start one.
    """

    def __init__(self) -> None:
        self.provider = _provider()
        self._wanted, self._done = threading.Event(), threading.Event()
        threading.Thread(target=self._flush_when_wanted, name="flush of traces", daemon=True).start()
        atexit.register(self.flush)

    def flush(self) -> None:
        self._done.clear()
        self._wanted.set()
        self._done.wait(FLUSH_SECONDS)

    def _flush_when_wanted(self) -> None:
        while self._wanted.wait():
            self._wanted.clear()
            self.provider.force_flush()
            self._done.set()


@cache
def _exports() -> Exports:
    return Exports()


# Threads do not survive a fork: the child makes its own when it has a span.
os.register_at_fork(after_in_child=_exports.cache_clear)


def _tracer() -> trace.Tracer:
    return _exports().provider.get_tracer("aiworkstation", VERSION)


def _provider() -> TracerProvider:
    """The SDK reads the other variables of OpenTelemetry itself, such as OTEL_TRACES_SAMPLER."""
    name = os.environ.get("OTEL_SERVICE_NAME", "aiworkstation")
    provider = TracerProvider(
        resource=Resource.create({"service.name": name, "service.version": VERSION}), shutdown_on_exit=False
    )
    endpoint = f"{settings.CONFIG.otel_exporter_otlp_endpoint.rstrip('/')}/v1/traces"
    exporter = OTLPSpanExporter(endpoint, headers=settings.CONFIG.otel_headers, timeout=EXPORT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider
