"""A collector of OpenTelemetry: it takes traces as OTLP over HTTP, in protobuf, and keeps their spans."""

import gzip
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.servers.local import Handler, LocalServer


@dataclass(frozen=True)
class CollectedSpan:
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    attributes: dict[str, Any]
    is_error: bool
    service: str


class Collector(LocalServer):
    def __init__(self) -> None:
        super().__init__(CollectorHandler)
        self.spans: list[CollectedSpan] = []
        self.raw = b""
        """Everything that arrived, to look for what must not."""

    def named(self, beginning: str) -> CollectedSpan:
        (found,) = [span for span in self.spans if span.name.startswith(beginning)]
        return found


class CollectorHandler(Handler):
    server: Collector

    def do_POST(self) -> None:
        self.read_request()
        is_packed = self.headers.get("content-encoding") == "gzip"
        body = gzip.decompress(self.raw) if is_packed else self.raw
        assert self.path == "/v1/traces"
        assert self.headers["content-type"] == "application/x-protobuf"
        request = ExportTraceServiceRequest.FromString(body)
        self.server.raw += body
        for of_resource in request.resource_spans:
            service = _values(of_resource.resource.attributes)["service.name"]
            for of_scope in of_resource.scope_spans:
                self.server.spans += [_collected(span, service) for span in of_scope.spans]
        self.answer(200, b"", {"content-type": "application/x-protobuf"})


def _collected(span: Any, service: str) -> CollectedSpan:
    return CollectedSpan(
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        kind=span.kind,
        attributes=_values(span.attributes),
        is_error=span.status.code == 2,
        service=service,
    )


def _values(attributes: Any) -> dict[str, Any]:
    found = {}
    for each in attributes:
        kind = each.value.WhichOneof("value")
        value = getattr(each.value, kind)
        found[each.key] = [item.string_value for item in value.values] if kind == "array_value" else value
    return found
