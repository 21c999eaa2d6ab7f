"""A client's transport that speaks HTTP/1.1 to an application, through a connection of ours and no network."""

import asyncio
from typing import Any, Final

import h11
import httpx

from app.ingress.connection import Connection


class Recording:
    """An asyncio transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.was_written = asyncio.Event()
        self._is_closing = False

    def get_extra_info(self, name: str) -> tuple[str, int] | None:
        """Give the address of an end. There is no socket."""
        return {"peername": ("127.0.0.1", 123), "sockname": ("127.0.0.1", 80)}.get(name)

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self._is_closing

    def write(self, data: bytes) -> None:
        """Keep bytes."""
        assert not self._is_closing
        self.written += data
        self.was_written.set()

    def close(self) -> None:
        """Take no more."""
        self._is_closing = True
        self.was_written.set()

    abort = write_eof = close

    def pause_reading(self) -> None:
        """Do nothing: whoever writes waits for the answer."""

    resume_reading = pause_reading


class Shared:
    """What connections share that nobody counts."""

    def __init__(self, app: Any) -> None:
        self.app: Final = app
        self.tasks: Final[set[asyncio.Task[None]]] = set()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop."""
        return asyncio.get_running_loop()

    def add(self, connection: Connection) -> None:
        """Count nothing."""

    remove = add


class WireTransport(httpx.ASGITransport):
    """Ask each request over a connection of its own. It ends as soon as the answer is whole."""

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self._shared: Final = Shared(app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Ask, and read the answer as another library of HTTP does."""
        body = await request.aread()
        lines = [b"%b %b HTTP/1.1" % (request.method.encode(), request.url.raw_path)]
        lines += [b"%b: %b" % header for header in request.headers.raw if header[0].lower() != b"transfer-encoding"]
        if body and "content-length" not in request.headers:
            lines.append(b"content-length: %d" % len(body))
        sent = b"\r\n".join([*lines, b"", body])
        return await exchange(self._shared, request.method, sent)


async def exchange(shared: Shared, method: str, request: bytes) -> httpx.Response:
    """Send a request as it is over a connection of its own, and read the answer as another library of HTTP does."""
    peer = h11.Connection(h11.CLIENT)
    peer.send(h11.Request(method=method, target="/", headers=[("host", "a"), ("connection", "close")]))
    peer.send(h11.EndOfMessage())
    wire, connection = Recording(), Connection(shared)
    connection.connection_made(wire)  # type: ignore[arg-type]
    connection.data_received(request)
    try:
        return await _read(peer, wire)
    finally:
        connection.connection_lost(None)


async def _read(peer: h11.Connection, wire: Recording) -> httpx.Response:
    start: h11.Response | None = None
    body = bytearray()
    while True:
        match peer.next_event():
            case h11.Response() as start:
                pass
            case h11.Data(data=data):
                body += data
            case h11.EndOfMessage():
                assert start is not None
                return httpx.Response(
                    start.status_code, headers=list(start.headers), stream=httpx.ByteStream(bytes(body))
                )
            case h11.NEED_DATA if wire.written:
                peer.receive_data(bytes(wire.written))
                wire.written.clear()
            case h11.NEED_DATA if wire.is_closing():
                raise httpx.RemoteProtocolError("the connection ended before the answer did")
            case h11.NEED_DATA:
                wire.was_written.clear()
                await wire.was_written.wait()
