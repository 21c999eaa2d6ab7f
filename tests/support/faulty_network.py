"""A network between a client and a gateway: it forwards, falls silent without closing anything, or answers 503."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal

_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/html\r\nContent-Length: 4\r\nConnection: close\r\n\r\nBusy"
)


class Network:
    """Forward to a port. `state` may be changed at any time, also for connections that are open."""

    def __init__(self, port: int) -> None:
        self.url = ""
        self.state: Literal["forwarding", "silent", "refusing"] = "forwarding"
        self._port = port
        self._open: set[asyncio.StreamWriter] = set()

    def refuse(self) -> None:
        """Close what is open, and answer 503 from now on."""
        self.state = "refusing"
        for writer in self._open:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection until one of its ends closes it."""
        self._open.add(writer)
        try:
            if self.state == "refusing":
                writer.write(_REFUSAL)
                await writer.drain()
            else:
                await self._forward(reader, writer)
        except OSError:
            pass  # an end that is not there is one that has closed
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        pumps = [asyncio.create_task(self._pump(*ends)) for ends in ((reader, back), (there, writer))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            back.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(1 << 16):
                if self.state != "silent":
                    writer.write(piece)
                    await writer.drain()


@asynccontextmanager
async def faulty_network(port: int) -> AsyncIterator[Network]:
    """Run a network in front of a port of this machine."""
    network = Network(port)
    async with await asyncio.start_server(network.serve, "127.0.0.1", 0) as server:
        network.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield network
        network.refuse()
