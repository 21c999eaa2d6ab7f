"""What connections of callers share: the application that answers, the loop, and who keeps them."""

import asyncio
from typing import Any, Protocol

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


class Connections(Protocol):
    """What all connections of a listener share."""

    @property
    def app(self) -> Application:
        """What answers."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop."""

    @property
    def tasks(self) -> set[asyncio.Task[None]]:
        """The exchanges that run."""

    def add(self, connection: Any) -> None:
        """Take note of a new connection."""

    def remove(self, connection: Any) -> None:
        """Take note of the end of one."""
