"""The edge: what holds for every request whatever it asks, around the whole application."""

import time
from collections.abc import Callable
from typing import Any, Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from app.api.context import render_refusal, send_reply
from app.api.middleware.audit import Audit
from app.api.middleware.cors import Cors
from app.api.middleware.eager_start import ensure_task
from app.api.reads.hot_path import HotPath
from app.api.replies import SAFE
from app.api.requests.request_ids import REQUEST_ID, RequestIds
from app.errors import HeadersTooLarge, InvalidRequest, TallygateError, UnknownPath, UriTooLong
from app.resilience.draining import Drain
from app.telemetry.metrics import METHODS, Metrics
from app.telemetry.traces import RequestSpan, Traces

MAX_URI_BYTES: Final = 8 * 1024
MAX_HEADER_BYTES: Final = 16 * 1024

_HTTP: Final = ScopeType.HTTP  # found here at once: an enum looks its members up each time

UNMATCHED: Final = "unmatched"
"""Stands in metrics for every path that nothing is served at."""


class Edge:
    """Give each request its id, refuse what is too large, answer HEAD as GET without a body, and count.

    While it drains, each answer ends its connection, so that the next request goes elsewhere. `monotonic` gives seconds.
    Without `browsers` no page of a web app can read an answer. Where all is audited, nothing is answered by `front`.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        drain: Drain,
        request_ids: RequestIds,
        *,
        hot_path: HotPath | None = None,
        audit: Audit | None = None,
        cors: Cors | None = None,
        traces: Traces | None = None,
        monotonic: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._traces: Final = traces or Traces()
        self._app: Final = app
        self._drain: Final = drain
        self._audit: Final = audit or Audit(monotonic, refusals=False)
        self._hot_path: Final = None if self._audit.logs_all else hot_path
        self._cors: Final = cors
        self._request_ids: Final = request_ids
        self._metrics: Final = metrics
        self._monotonic: Final = monotonic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Speak ASGI."""
        began = self._monotonic()
        if scope["type"] != _HTTP:
            await self._app(scope, receive, send)
            return
        if self._cors is not None:
            send = self._cors.wrap(scope, send)
        hot_path = None if self._drain.is_on else self._hot_path
        if hot_path is not None and (messages := hot_path.answer(scope, began)) is not None:
            start, body = messages
            await send(start)
            await send(body)
            return
        await ensure_task()
        given = next((value for name, value in scope["headers"] if name == REQUEST_ID), None)
        request_id = self._request_ids.name(given).decode()
        is_head = scope["method"] == "HEAD"
        state = {**scope.get("state", {}), "request_id": request_id}
        ends = self._drain.is_on and scope["http_version"].startswith("1")
        finish = _finish_response(send, request_id, state, bodiless=is_head, ends=ends)
        inner: HTTPScope = {**scope, "state": state, "method": "GET" if is_head else scope["method"]}
        self._metrics.under_way += 1
        with self._traces.request(scope["headers"]) as span, bound_contextvars(**_ids(request_id, span)):
            try:
                if refusal := _refuse(scope):
                    await send_reply(render_refusal(refusal, inner), finish)
                else:
                    await self._app(inner, receive, finish)
            finally:
                self._metrics.under_way -= 1
                if leave := state.get("leave"):
                    leave()
                self._record(scope["method"], inner, self._monotonic() - began, span)

    def _record(self, method: str, scope: HTTPScope, seconds: float, span: RequestSpan) -> None:
        """Count a request by what was noted of it on its way; one that went away before its answer has no status."""
        state = scope["state"]
        path = scope.get("path_template", UNMATCHED)
        span.annotate(method if method in METHODS else "other", path, state.get("status"))
        if "status" in state:
            self._metrics.request(path, method, state["status"], seconds)
            self._audit.record(
                state["caller"].name if "caller" in state else None, state["status"], _about(method, path, scope)
            )
        if "problem" in state:
            self._metrics.refusals.add(state["problem"])


def _about(method: str, path: str, scope: HTTPScope) -> dict[str, Any]:
    """Give what the audit says of a request besides who and how it ended: nothing of its path but the template."""
    state = scope["state"]
    address = scope["client"][0] if scope["client"] and "caller" not in state else None
    told = {name: state.get(name) for name in ("merchant", "merchants", "age", "problem")} | {"address": address}
    kept = {name: value for name, value in told.items() if value is not None}
    return {"method": method if method in METHODS else "other", "path": path, **kept}


def _ids(request_id: str, span: RequestSpan) -> dict[str, str]:
    """Give what each log line about a request says of it."""
    return {"request_id": request_id} | ({} if span.trace_id is None else {"trace_id": span.trace_id})


def _refuse(scope: HTTPScope) -> TallygateError | None:
    if len(scope["raw_path"]) + len(scope["query_string"]) > MAX_URI_BYTES:
        return UriTooLong(f"Path and query together may have {MAX_URI_BYTES} bytes.")
    size, announces_body = 0, False
    for name, value in scope["headers"]:
        size += len(name) + len(value)
        announces_body |= name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0") != b"")
    if size > MAX_HEADER_BYTES:
        return HeadersTooLarge(f"The headers together may have {MAX_HEADER_BYTES} bytes.")
    if "//" in scope["path"] or (scope["path"].endswith("/") and scope["path"] != "/"):
        return UnknownPath("Nothing is served at this path.")
    if announces_body and scope["method"] in {"GET", "HEAD"}:
        return InvalidRequest("A GET or HEAD request takes no body.")
    return None


def _finish_response(send: Send, request_id: str, state: dict[str, Any], *, bodiless: bool, ends: bool) -> Send:
    async def finish(message: Message) -> None:
        if message["type"] == "http.response.start":
            state["status"] = message["status"]
            state["age"] = next((int(value) for name, value in message["headers"] if name == b"age"), None)
            headers = [(name, _with_head(value) if name == b"allow" else value) for name, value in message["headers"]]
            headers += SAFE
            limits = state["limits"]() if "limits" in state else ()
            headers += [(name.lower().encode(), value.encode()) for name, value in limits]
            headers.append((REQUEST_ID, request_id.encode()))
            message["headers"] = [*headers, (b"connection", b"close")] if ends else headers
        elif message["type"] == "http.response.body" and bodiless:
            message["body"] = b""
        await send(message)

    return finish


def _with_head(allow: bytes) -> bytes:
    """Say that HEAD goes wherever GET does."""
    return allow.replace(b"GET", b"GET, HEAD")
