"""Request deadline: a request that takes longer ends with a problem."""

import asyncio
from typing import Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPReceiveMessage, Receive, Scope, Send, WebSocketReceiveMessage

from app.api.context import context_of, render_refusal, send_reply
from app.errors import BodyTooSlow, DeadlinePassed
from app.resilience.time_limit import TimeLimit

_HTTP: Final = ScopeType.HTTP  # bound here, since an enum looks its members up each time


class CallerLeft(asyncio.CancelledError):
    """The caller went away before its request was whole. As a cancellation, it ends the request without an answer."""


class RequestDeadline:
    """Give an application so many seconds to begin its answer. An answer that has begun is not cut off.

    After that it is cancelled; loads shared with other requests go on. A missing body is the caller's fault (408),
    anything else ours (504).
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app: Final = app
        self._seconds: Final = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Speak ASGI."""
        if scope["type"] != _HTTP:
            await self._app(scope, receive, send)
            return
        context, body, limit = context_of(scope), _Body(receive), TimeLimit(self._seconds)
        context.on_begin = limit.lift
        try:
            with limit:
                await self._app(scope, body.receive, send)
        except CallerLeft:
            return
        except TimeoutError:
            if not limit.is_over:
                raise
            if context.status is None:
                await send_reply(render_refusal(self._timeout_error(body), scope), send)

    def _timeout_error(self, body: "_Body") -> BodyTooSlow | DeadlinePassed:
        if body.is_awaited:
            return BodyTooSlow(f"The body was not here within {self._seconds:g} s.")
        return DeadlinePassed(f"No answer was there within {self._seconds:g} s.")


class _Body:
    """The progress of one request's body."""

    def __init__(self, receive: Receive) -> None:
        self._receive: Final = receive
        self._is_whole = False
        self.is_awaited = False

    async def receive(self) -> HTTPReceiveMessage | WebSocketReceiveMessage:
        """Receive the next part of the body. After a whole body, a call does not count as waiting for it.

        Raises `CallerLeft`.
        """
        self.is_awaited = not self._is_whole
        message = await self._receive()
        if message["type"] == "http.disconnect" and not self._is_whole:
            raise CallerLeft
        self._is_whole |= message["type"] == "http.request" and not message["more_body"]
        self.is_awaited = False
        return message
