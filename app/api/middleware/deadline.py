"""Request deadline: a request that takes longer ends with a problem."""

from typing import Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPReceiveMessage, Message, Receive, Scope, Send, WebSocketReceiveMessage

from app.api.context import render_refusal, send_reply
from app.errors import BodyTooSlow, DeadlinePassed
from app.resilience.time_limit import TimeLimit

_HTTP: Final = ScopeType.HTTP  # bound here, since an enum looks its members up each time


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
        exchange = _Exchange(receive, send, TimeLimit(self._seconds))
        try:
            with exchange.limit:
                await self._app(scope, exchange.receive, exchange.send)
        except TimeoutError:
            if not exchange.limit.is_over:
                raise
            if not exchange.is_being_answered:
                await send_reply(render_refusal(self._timeout_error(exchange), scope), send)

    def _timeout_error(self, exchange: "_Exchange") -> BodyTooSlow | DeadlinePassed:
        if exchange.awaits_body:
            return BodyTooSlow(f"The body was not here within {self._seconds:g} s.")
        return DeadlinePassed(f"No answer was there within {self._seconds:g} s.")


class _Exchange:
    """The progress of one request and its answer."""

    def __init__(self, receive: Receive, send: Send, limit: TimeLimit) -> None:
        self._receive: Final = receive
        self._send: Final = send
        self.limit: Final = limit
        self._has_body = False
        self.awaits_body = False
        self.is_being_answered = False

    async def receive(self) -> HTTPReceiveMessage | WebSocketReceiveMessage:
        """Receive the next part of the body. After a whole body, a call does not count as waiting for it."""
        self.awaits_body = not self._has_body
        message = await self._receive()
        self._has_body |= message["type"] == "http.request" and not message["more_body"]
        self.awaits_body = False
        return message

    async def send(self, message: Message) -> None:
        """Send a part of the answer. The first part ends the time limit."""
        if not self.is_being_answered:
            self.is_being_answered = True
            self.limit.lift()
        await self._send(message)
