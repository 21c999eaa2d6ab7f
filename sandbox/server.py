"""HTTP/1.1 server over asyncio, framed by h11, with control over every byte."""

import asyncio
import socket
import struct
from collections.abc import Callable, Coroutine, Iterable
from email.utils import formatdate
from http import HTTPStatus
from http.client import responses
from typing import Any, cast
from urllib.parse import parse_qs

import h11

from sandbox.messages import Answer, Request, refusal

Serve = Callable[[Request, "Connection"], None]
"""Answers a request: directly with `Connection.send`, or later from a coroutine given to `Connection.run`."""

_BODILESS = (204, 304)
_LINGER_NOT = struct.pack("ii", 1, 0)
"""SO_LINGER on, for no time at all: closing then sends RST instead of FIN."""


class Server:
    """Listen on one port and end everything that began there."""

    def __init__(self, serve: Serve, clock: Callable[[], float], connected: Callable[[], None] = lambda: None) -> None:
        self.serve = serve
        self.connected = connected
        self.date = _Date(clock)
        self.connections: set[Connection] = set()
        self.closing = False
        self._listener: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> str:
        """Listen and return the URL to reach it by; port 0 takes any free one. Raise OSError when it is taken."""
        self._listener = await asyncio.get_running_loop().create_server(lambda: Connection(self), host, port)
        bound = self._listener.sockets[0].getsockname()[1]
        return f"http://[{host}]:{bound}" if ":" in host else f"http://{host}:{bound}"

    async def close(self) -> None:
        """Stop listening and cut every connection, whatever it is doing; return when all of them are gone."""
        self.closing = True
        if self._listener is not None:
            self._listener.close()
        await asyncio.gather(*(connection.cut() for connection in self.connections))
        if self._listener is not None:
            await self._listener.wait_closed()


class Connection(asyncio.Protocol):
    """Speak HTTP/1.1 with one client, one request after another.

    A request whose client leaves is cancelled. What is sent breaks the protocol only when `serve` wants it to.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._http = h11.Connection(h11.SERVER)
        self._head: h11.Request | None = None
        self._body = b""
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._gone = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; see `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one without being derived from it
        self._server.connections.add(self)
        self._server.connected()
        if self._server.closing:  # accepted while the server was closing, and so not among those that it cut
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio gives it
        """End the connection and cancel the request under way; see `asyncio.Protocol`."""
        self._server.connections.discard(self)
        self._gone.set()
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        """Take bytes in, and answer every request that they complete."""
        self._http.receive_data(data)
        self._advance()

    def pause_writing(self) -> None:
        """Let `drained` wait: the client reads too slowly."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let `drained` go on."""
        self._writable.set()

    def run(self, work: Coroutine[Any, Any, None], ended: Callable[[], None]) -> None:
        """Answer from a coroutine; it is cancelled when the client leaves. `ended` is called in any case."""
        self._task = asyncio.get_running_loop().create_task(work)
        self._task.add_done_callback(lambda task: self._ended(task, ended))

    def send(self, answer: Answer) -> None:
        """Send a whole answer and be ready for the next request."""
        self.write(self.render(answer))
        self.finish()

    def render(self, answer: Answer) -> bytes:
        """Frame a whole answer without sending it; `finish` must follow once it is sent."""
        bare = answer.status in _BODILESS or (self._head is not None and self._head.method == b"HEAD")
        head = self._response(answer, ("Content-Length", str(len(answer.body))))
        body = b"" if bare else self._framed(h11.Data(data=answer.body))
        return b"".join((head, body, self._framed(h11.EndOfMessage())))

    def begin(self, answer: Answer, headers: Iterable[tuple[str, str]]) -> None:
        """Send the head of an answer whose body comes in chunks."""
        self.write(self._response(answer, ("Transfer-Encoding", "chunked"), *headers))

    def chunk(self, data: bytes) -> None:
        """Send a piece of the body."""
        self.write(self._framed(h11.Data(data=data)))

    def end(self) -> None:
        """Send the end of a body in chunks and be ready for the next request."""
        self.write(self._framed(h11.EndOfMessage()))
        self.finish()

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._transport.write(data)

    async def drained(self) -> None:
        """Wait until the client has read enough for more to be sent, and yield to other tasks in any case."""
        await asyncio.sleep(0)
        await self._writable.wait()

    def finish(self) -> None:
        """Be ready for the next request, or close if one side said it would."""
        if self._http.our_state is h11.MUST_CLOSE:
            self.close()
        else:
            self._http.start_next_cycle()

    def close(self) -> None:
        """Close once everything written is sent."""
        self._transport.close()

    def reset(self) -> None:
        """Close immediately, by RST."""
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self._transport.abort()

    async def cut(self) -> None:
        """Close immediately, and wait until the request under way has ended too."""
        self._transport.abort()
        await self._gone.wait()
        if self._task is not None:
            await asyncio.wait([self._task])

    def _advance(self) -> None:
        while self._task is None and not self._transport.is_closing():
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError:
                self.send(refusal(HTTPStatus.BAD_REQUEST))
                return
            match event:
                case h11.Request():
                    self._head, self._body = event, b""
                case h11.Data():
                    self._body += event.data
                case h11.EndOfMessage() if self._head is not None:
                    self._server.serve(_request(self._head, self._body, self._peer()), self)
                case _:
                    return

    def _ended(self, task: asyncio.Task[None], ended: Callable[[], None]) -> None:
        self._task = None
        ended()
        if not task.cancelled() and (error := task.exception()) is not None:
            self.close()
            context = {"message": "a request was not answered", "exception": error, "task": task}
            asyncio.get_running_loop().call_exception_handler(context)
        self._advance()

    def _peer(self) -> str:
        return str(self._transport.get_extra_info("peername")[0])

    def _response(self, answer: Answer, *headers: tuple[str, str]) -> bytes:
        fields = [("Date", self._server.date.now()), ("Content-Type", answer.content_type), *answer.headers, *headers]
        reason = responses.get(answer.status, "")
        return self._framed(h11.Response(status_code=answer.status, headers=fields, reason=reason))

    def _framed(self, event: h11.Response | h11.Data | h11.EndOfMessage) -> bytes:
        return self._http.send(event) or b""


class _Date:
    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._second = -1
        self._text = ""

    def now(self) -> str:
        """Return the value of `Date`, made once a second."""
        second = int(self._clock())
        if second != self._second:
            self._second, self._text = second, formatdate(second, usegmt=True)
        return self._text


def _request(head: h11.Request, body: bytes, peer: str) -> Request:
    path, _, query = head.target.decode("latin-1").partition("?")
    return Request(
        method=head.method.decode("latin-1"),
        path=path,
        query=parse_qs(query, keep_blank_values=True),
        headers={name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers},
        body=body,
        peer=peer,
    )
