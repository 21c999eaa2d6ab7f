"""Traces for a collector by OTLP over HTTP. The only use of OpenTelemetry, imported only if configured."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import requests
import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import DEFAULT_ON
from opentelemetry.trace import Span, SpanKind, StatusCode, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from app.telemetry.traces import RequestSpan, Traces

_EXPORT_SECONDS: Final = 2.0
_QUEUE: Final = 2048
_BATCH: Final = 512
_DELAY_MS: Final = 2000
_SERVER_FAULT: Final = 500
_ITS_LOGGER: Final = "opentelemetry.exporter.otlp.proto.http.trace_exporter"

log = structlog.get_logger()


class _OtlpRequestSpan(RequestSpan):
    def __init__(self, span: Span) -> None:
        self._span: Final = span
        self.trace_id = f"{span.get_span_context().trace_id:032x}"

    def annotate(self, method: str, path: str, status: int | None) -> None:
        self._span.update_name(f"{method} {path}")
        self._span.set_attributes({"http.request.method": method, "http.route": path})
        if status is not None:
            self._span.set_attribute("http.response.status_code", status)
        if status is None or status >= _SERVER_FAULT:
            self._span.set_status(StatusCode.ERROR)


class OtlpTraces(Traces):
    """Queue spans for a thread that sends them in batches. A full queue drops spans.

    A span holds names, templates and statuses: no header, no id, no text of an error. No trace context is passed on.
    """

    are_on = True

    def __init__(self, provider: TracerProvider) -> None:
        self._provider: Final = provider
        self._tracer: Final = provider.get_tracer("tallygate")
        self._propagator: Final = TraceContextTextMapPropagator()

    @contextmanager
    def request(self, headers: Iterable[tuple[bytes, bytes]], /) -> Iterator[RequestSpan]:
        """Trace a request."""
        carrier = {name.decode(): value.decode("latin-1") for name, value in headers if name.startswith(b"trace")}
        with self._tracer.start_as_current_span(
            "request",
            self._propagator.extract(carrier),
            SpanKind.SERVER,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            yield _OtlpRequestSpan(span)

    @contextmanager
    def span(self, name: str, /) -> Iterator[None]:
        """Trace a part of a request."""
        if not get_current_span().get_span_context().is_valid:
            yield
            return
        with self._tracer.start_as_current_span(
            name, kind=SpanKind.CLIENT, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield
            except BaseException as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(StatusCode.ERROR)
                raise

    def close(self) -> None:
        """Send the remaining spans."""
        self._provider.shutdown()


class LossReportingExporter(SpanExporter):
    """Send spans by another exporter. Log once when spans are first lost, and once when they arrive again."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter: Final = exporter
        self._is_losing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans."""
        result = self._exporter.export(spans)
        was_losing, self._is_losing = self._is_losing, result is not SpanExportResult.SUCCESS
        if self._is_losing and not was_losing:
            log.warning("traces.lost")
        if was_losing and not self._is_losing:
            log.info("traces.found")
        return result

    def shutdown(self) -> None:
        """Stop sending."""
        self._exporter.shutdown()


def make_otlp_traces(endpoint: str, version: str) -> OtlpTraces:
    """Make traces for the collector at `endpoint`, an origin such as http://collector:4318."""
    logging.getLogger(_ITS_LOGGER).setLevel(logging.CRITICAL)  # it logs an error for each batch; we log the first one
    session = requests.Session()
    session.trust_env = False
    exporter = OTLPSpanExporter(
        f"{endpoint.rstrip('/')}/v1/traces", headers={}, timeout=_EXPORT_SECONDS, session=session
    )
    provider = TracerProvider(
        DEFAULT_ON,
        Resource({"service.name": "tallygate", "service.version": version}),
        shutdown_on_exit=False,
        span_limits=SpanLimits(),
    )
    provider.add_span_processor(
        BatchSpanProcessor(
            LossReportingExporter(exporter), _QUEUE, _DELAY_MS, _BATCH, export_timeout_millis=1000 * _EXPORT_SECONDS
        )
    )
    return OtlpTraces(provider)
