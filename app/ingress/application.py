"""Application: what answers the requests of connections."""

from typing import Protocol

from litestar.types import HTTPResponseBodyEvent, HTTPResponseStartEvent, HTTPScope, Receive, Scope, Send

Answer = tuple[HTTPResponseStartEvent, HTTPResponseBodyEvent]


class Application(Protocol):
    """An ASGI application that can answer some requests immediately, before they get a task."""

    def recall(self, request: bytes) -> bytes | None:
        """Return the whole answer to a request of these bytes, if such a one was answered before; else None."""

    def answer_now(self, scope: HTTPScope, request: bytes | None) -> Answer | None:
        """Return an answer with its length, or None. `request` has all bytes of the request, if they came alone."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Speak ASGI."""
