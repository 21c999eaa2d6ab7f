"""A listener of callers over real sockets, its clients, and an application that waits."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import uvloop

from app.ingress.listener import Limits, Listener
from tests.support.answering import App, answer
from tests.support.caller import Got, read_answer
from tests.support.polling import ask_until

PATIENCE_SECONDS = 20
ASK = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
NOW = b"GET /now HTTP/1.1\r\nHost: x\r\n\r\n"
LOOPS = [("asyncio", {"loop_factory": each}) for each in (uvloop.new_event_loop, asyncio.new_event_loop)]


class Client(NamedTuple):
    """A connection from the caller's end."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.writer.get_extra_info("sockname")
        return host, port

    async def ask(self, data: bytes) -> Got:
        """Send, and read one answer that has a length."""
        self.writer.write(data)
        async with asyncio.timeout(PATIENCE_SECONDS):
            head = await self.reader.readuntil(b"\r\n\r\n")
            got, _ = read_answer(
                head.split(b"content-length")[0] + b"content-length: 0\r\n\r\n", "GET", has_ended=False
            )
            length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
            return got._replace(body=await self.reader.readexactly(length))

    async def everything(self) -> bytes:
        """Read until the end."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.reader.read()

    def reset(self) -> None:
        """Break the connection, so that the other end hears of it by a reset."""
        connection = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class Place(NamedTuple):
    """A listener that is open."""

    listener: Listener
    port: int

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Client]:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        try:
            yield client
        finally:
            client.writer.transport.abort()


def bind(kind: type[Any] = socket.socket) -> Any:
    listening = kind()
    listening.setblocking(False)
    listening.bind(("127.0.0.1", 0))
    listening.listen(500)
    return listening


@asynccontextmanager
async def serve(app: App, connections: int = 100, listening: socket.socket | None = None) -> AsyncIterator[Place]:
    listener = Listener(asyncio.get_running_loop(), Limits(connections, 30))
    listening = listening or bind()
    port = listening.getsockname()[1]
    listener.open(listening, app)
    try:
        yield Place(listener, port)
    finally:
        await listener.close(0)
        await until(lambda: not (listener._connections or listener._opening))


async def until(holds: Callable[[], Any]) -> None:
    async def ask() -> Any:
        return holds()

    await ask_until(ask, bool)


class Held:
    """An application that waits before it answers."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.heard: list[Any] = []

    async def __call__(self, _: Any, receive: Any, send: Any) -> None:
        self.begun.set()
        waiting = asyncio.create_task(self.go.wait())
        hearing = asyncio.create_task(self._hear(receive))
        await asyncio.wait([waiting, hearing], return_when="FIRST_COMPLETED")
        waiting.cancel()
        hearing.cancel()
        await answer(send, b"held")

    async def _hear(self, receive: Any) -> None:
        while (message := await receive())["type"] != "http.disconnect":
            pass
        self.heard.append(message)
