"""Edge: what holds for every request, around the whole application: ids, size limits, HEAD, metrics, audit, traces."""

from typing import Any, Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send
from msgspec import Struct

from app.access.client_addresses import ClientAddresses
from app.api.context import CONTEXT, RequestContext, render_refusal, send_reply
from app.api.middleware.audit import Audit
from app.api.middleware.cors import Cors
from app.api.reads.account_reads import passed_on, was_judged
from app.api.reads.hot_path import HotPath
from app.api.replies import SAFE, Messages, as_raw
from app.api.requests.hosts import HOST, are_hosts_right
from app.api.requests.paths import route_path
from app.api.requests.request_ids import REQUEST_ID, RequestIds
from app.api.streams.watch import PATH as WATCH
from app.api.streams.watch import OpenStream, Watch
from app.errors import HeadersTooLarge, InvalidRequest, TallygateError, UnknownPath, UriTooLong
from app.resilience.draining import Drain
from app.runtime import Runtime
from app.telemetry.logs import REQUEST_FIELDS
from app.telemetry.metrics import METHODS
from app.telemetry.traces import RequestSpan

MAX_URI_BYTES: Final = 8 * 1024
MAX_HEADER_BYTES: Final = 16 * 1024

_HTTP: Final = ScopeType.HTTP  # bound here, since an enum looks its members up each time

UNMATCHED: Final = "unmatched"
"""The path of requests that match no route, in metrics."""


class Front(Struct, frozen=True):
    """What answers before the application: the hot path, and the paths of streams, each if it is there."""

    hot_path: HotPath | None
    watch: Watch | None


class Identification(Struct, frozen=True):
    """What names a request, and finds the address that it came from."""

    request_ids: RequestIds
    addresses: ClientAddresses


class Edge:
    """Name each request, refuse one that is too large, answer HEAD as GET without a body, and count.

    While draining, each answer closes its connection, so that the next request goes to another replica. Without `cors`
    no web app can read an answer. Where all answers are audited, the hot path gives none.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        front: Front,
        audit: Audit,
        cors: Cors | None,
        drain: Drain,
        identification: Identification,
        runtime: Runtime,
    ) -> None:
        self._app: Final = app
        self._hot_path: Final = None if audit.logs_all else front.hot_path
        self._watch: Final = front.watch
        self._audit: Final = audit
        self._cors: Final = cors
        self._drain: Final = drain
        self._request_ids: Final = identification.request_ids
        self._addresses: Final = identification.addresses
        self._metrics: Final = runtime.metrics
        self._traces: Final = runtime.traces
        self._monotonic: Final = runtime.monotonic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Speak ASGI."""
        began = self._monotonic()
        if scope["type"] != _HTTP:
            await self._app(scope, receive, send)
            return
        if self._cors is not None:
            send = self._cors.wrap(scope, send)
        if not was_judged(scope) and (messages := self._answer_hot(scope, began, None)) is not None:
            start, body = messages
            await send(start)
            await send(body)
            return
        stream = await self._answer(scope, receive, send, began)
        if stream is not None:  # counted and audited already: nothing of the request is kept for its hour
            await stream.run(receive, send, has_body=scope["method"] != "HEAD")
            self._audit.record_end(stream.stream.rights.caller.name, WATCH, self._monotonic() - began)

    def recall(self, request: bytes) -> bytes | None:
        """Return the whole answer to a request of these bytes, if the hot path has it (`app.ingress`)."""
        if self._hot_path is None or self._drain.is_on or self._cors is not None:
            return None
        return self._hot_path.recall(request)

    def answer_now(self, scope: HTTPScope, request: bytes | None) -> Messages | None:
        """Return the hot path's answer, if it has one. `request` has all bytes of the request, if they came alone."""
        messages = self._answer_hot(scope, self._monotonic(), None if self._cors is not None else request)
        if messages is None or self._cors is None:
            return messages
        start, body = messages
        return self._cors.mark(scope, start), body

    def _answer_hot(self, scope: HTTPScope, began: float, request: bytes | None) -> Messages | None:
        if self._hot_path is None or self._drain.is_on:
            return None
        return self._hot_path.answer(scope, began, request)

    async def _answer(self, scope: HTTPScope, receive: Receive, send: Send, began: float) -> OpenStream | None:
        """Answer a request, then count and audit it. Return a stream that has begun with its head."""
        given = next((value for name, value in scope["headers"] if name == REQUEST_ID), None)
        client = scope["client"]
        address = self._addresses.find(client[0] if client else None, scope["headers"])
        context = RequestContext(self._request_ids.name(given).decode(), address=address)
        is_head = scope["method"] == "HEAD"
        inner: HTTPScope = {
            **scope,
            "state": {**scope.get("state", {}), CONTEXT: context},
            "path": route_path(scope["raw_path"], scope["path"]),
            "method": "GET" if is_head else scope["method"],
        }
        finish = _finish_response(send, context, self._drain, has_body=not is_head)
        stream: OpenStream | None = None
        self._metrics.under_way += 1
        with self._traces.request(scope["headers"]) as span:
            fields = REQUEST_FIELDS.set(_ids(context.request_id, span))
            try:
                if passed_on(inner) is None and (refusal := _refuse(inner)):  # the hot path has checked more
                    await send_reply(render_refusal(refusal, inner), finish)
                elif self._watch is not None and inner["path"] == WATCH and inner["method"] == "GET":
                    stream = await self._watch.begin(inner, finish)
                else:
                    await self._app(inner, receive, finish)
            finally:
                self._metrics.under_way -= 1
                if context.release is not None:
                    context.release()
                path = inner.get("path_template", UNMATCHED)
                self._record(context, scope["method"], path, self._monotonic() - began, span)
                REQUEST_FIELDS.reset(fields)
        return stream

    def _record(self, context: RequestContext, method: str, path: str, seconds: float, span: RequestSpan) -> None:
        """Count and audit a request. One whose client left before the answer has no status."""
        span.annotate(method if method in METHODS else "other", path, context.status)
        if context.status is not None:
            self._metrics.request(path, method, context.status, max(0.0, seconds - context.waited_seconds))
            caller = None if context.caller is None else context.caller.name
            self._audit.record(caller, context.status, lambda: _about(context, method, path))
        if context.problem is not None:
            self._metrics.refusals.add(context.problem)


def _about(context: RequestContext, method: str, path: str) -> dict[str, Any]:
    """Return the fields of an audit line besides caller and status. Of the path it has only the template."""
    fields = {
        "merchant": context.account_id,
        "merchants": context.merchants,
        "age": context.age,
        "problem": context.problem,
        "invalid_key_of": context.refused_key,
        "address": context.address if context.caller is None else None,
    }
    known = {name: value for name, value in fields.items() if value is not None}
    return {"method": method if method in METHODS else "other", "path": path, **known}


def _ids(request_id: str, span: RequestSpan) -> dict[str, str]:
    """Return the fields of every log line about a request."""
    if span.trace_id is None:
        return {"request_id": request_id}
    return {"request_id": request_id, "trace_id": span.trace_id}


def _refuse(scope: HTTPScope) -> TallygateError | None:
    if len(scope["raw_path"]) + len(scope["query_string"]) > MAX_URI_BYTES:
        return UriTooLong(f"Path and query together may have {MAX_URI_BYTES} bytes.")
    size, announces_body, hosts = 0, False, list[bytes]()
    for name, value in scope["headers"]:
        size += len(name) + len(value)
        if name == HOST:
            hosts.append(value)
        announces_body |= name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0") != b"")
    if size > MAX_HEADER_BYTES:
        return HeadersTooLarge(f"The headers together may have {MAX_HEADER_BYTES} bytes.")
    if not are_hosts_right(hosts, scope["http_version"]):
        return InvalidRequest("A request takes exactly one Host header, with the name or address of a host.")
    if "//" in scope["path"] or (scope["path"].endswith("/") and scope["path"] != "/"):
        return UnknownPath("Nothing is served at this path.")
    if announces_body and scope["method"] == "GET":
        return InvalidRequest("A GET or HEAD request takes no body.")
    return None


def _finish_response(send: Send, context: RequestContext, drain: Drain, *, has_body: bool) -> Send:
    """Wrap `send` with the headers of every answer, and record status and age. Where it drains, the connection ends."""

    async def finish(message: Message) -> None:
        if message["type"] == "http.response.start":
            context.begin(message["status"])
            headers = [*message["headers"], *SAFE]
            values = dict(headers)
            if b"age" in values:
                context.age = int(values[b"age"])
            if b"allow" in values:
                headers = [(name, _with_head(value) if name == b"allow" else value) for name, value in headers]
            if context.limits is not None:
                headers += as_raw(context.limits())
            headers.append((REQUEST_ID, context.request_id.encode()))
            message["headers"] = [*headers, (b"connection", b"close")] if drain.is_on else headers
        elif message["type"] == "http.response.body" and not has_body:
            message["body"] = b""
        await send(message)

    return finish


def _with_head(allow: bytes) -> bytes:
    """Add HEAD wherever GET is allowed."""
    return allow.replace(b"GET", b"GET, HEAD")
