"""Traces, as a collector gets them."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from structlog.testing import capture_logs

from app.redis.embedded import EmbeddedValkey
from app.telemetry.otlp import LossReportingExporter
from sandbox import Sandbox
from tests.support.service import KEYS, run_service

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TEMPLATE = "GET /v1/merchants/{merchantId}/balances"


class Collector:
    """A collector: where it is, and what it got."""

    def __init__(self) -> None:
        self.url = ""
        self.bodies: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            fields = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:-2])
            self.bodies.append(await reader.readexactly(int(fields["content-length"])))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            break
        writer.close()

    def spans(self) -> list[Span]:
        """All spans."""
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        return [s for r in requests for one in r.resource_spans for scope in one.scope_spans for s in scope.spans]

    def named(self, name: str) -> Span:
        """The one span of this name."""
        (span,) = [span for span in self.spans() if span.name == name]
        return span


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """Run a collector."""
    collector = Collector()
    async with await asyncio.start_server(collector.serve, "127.0.0.1", 0) as server:
        collector.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield collector


async def test_a_read_is_traced_from_the_caller_to_the_upstream(upstream: Sandbox, valkey: EmbeddedValkey) -> None:
    async with collecting() as collector:
        async with run_service(upstream, valkey.url, otlp_endpoint=collector.url) as service:
            await service.get("/v1/merchants/12345/balances", traceparent=f"00-{TRACE}-{PARENT}-01")
            with upstream.fault("malformed"), capture_logs() as logs:
                await service.get("/v1/portfolio")
        request, call = collector.named(TEMPLATE), collector.spans()
        assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, PARENT)
        assert request.kind == Span.SPAN_KIND_SERVER
        ours = {span.name: span.parent_span_id for span in call if span.trace_id.hex() == TRACE and span != request}
        assert ours == {"redis.command": request.span_id, "upstream.call": request.span_id}
        failed = [span for span in call if span.name == "upstream.call" and span.trace_id.hex() != TRACE]
        assert [span.attributes[0].value.string_value for span in failed] == ["MalformedAnswer"]
        text = b"".join(collector.bodies)
    assert {line["event"] for line in logs} == {"upstream.failed"}
    assert text.count(b"tallygate") > 0
    for secret in ("canary-token-3d1f", "12345", *KEYS.values()):
        assert secret.encode() not in text


async def test_a_collector_that_is_away_delays_nobody_and_is_logged_in_a_line(
    upstream: Sandbox, valkey: EmbeddedValkey, caplog: pytest.LogCaptureFixture
) -> None:
    with capture_logs() as logs:
        async with run_service(upstream, valkey.url, otlp_endpoint="http://127.0.0.1:9") as service:
            for _ in range(20):
                assert (await service.get("/v1/portfolio")).status_code == 200
    assert [line["log_level"] for line in logs if line["event"] == "traces.lost"] == ["warning"]
    assert caplog.messages == []


def test_lost_spans_are_logged_when_it_begins_and_when_it_ends() -> None:
    lost, found = SpanExportResult.FAILURE, SpanExportResult.SUCCESS
    results = [found, lost, lost, lost, found, found, lost]

    class Exporter(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            return results[len(told)]

    exporter = LossReportingExporter(Exporter())
    told: list[list[str]] = []
    for _ in results:
        with capture_logs() as logs:
            assert exporter.export([]) is results[len(told)]
        told.append([line["event"] for line in logs])
    assert told == [[], ["traces.lost"], [], [], ["traces.found"], [], ["traces.lost"]]


def test_nothing_of_it_is_imported_unless_it_is_wanted() -> None:
    code = "import app.server.workers, sys; print([name for name in sys.modules if name.startswith(('opentelemetry.sdk.trace', 'opentelemetry.exporter', 'requests'))])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"[]\n"
