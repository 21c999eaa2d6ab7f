"""HTTP spoken by hand, so that no client library keeps us from sending nonsense."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import h11

from tests.support.gateway import PATIENCE_SECONDS


class Wire:
    """A connection to a server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._left = b""

    def send(self, data: bytes) -> None:
        """Send bytes as they are, as far as the server takes them."""
        self._writer.write(data)

    async def answer(self, method: str = "GET") -> tuple[int, dict[str, str], bytes] | None:
        """Read one answer: status, headers, body; None if the server hung up instead."""
        connection = h11.Connection(h11.CLIENT)
        connection.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
        connection.send(h11.EndOfMessage())
        if self._left:
            connection.receive_data(self._left)
        status, headers, body = 0, {}, b""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                match connection.next_event():
                    case h11.NEED_DATA:
                        data = await self._read()
                        if not data and not status:
                            return None
                        connection.receive_data(data)
                    case h11.Response(status_code=status, headers=fields):
                        headers = {name.decode(): value.decode() for name, value in fields}
                    case h11.Data(data=data):
                        body += data
                    case h11.EndOfMessage():
                        self._left = connection.trailing_data[0]
                        return status, headers, body

    async def everything(self) -> bytes:
        """Say that no more will be sent, and read what still comes until the server hangs up."""
        with contextlib.suppress(OSError):  # it may have hung up already
            self._writer.write_eof()
        received = self._left
        async with asyncio.timeout(PATIENCE_SECONDS):
            while data := await self._read():
                received += data
        return received

    async def _read(self) -> bytes:
        try:
            return await self._reader.read(1 << 16)
        except ConnectionError:
            return b""

    def close(self) -> None:
        """Hang up at once."""
        self._writer.transport.abort()


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[Wire]:
    """Connect to the origin of a URL."""
    where = urlsplit(url)
    wire = Wire(*await asyncio.open_connection(where.hostname, where.port))
    try:
        yield wire
    finally:
        wire.close()
