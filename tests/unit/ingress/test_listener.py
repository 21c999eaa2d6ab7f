"""The listener and its connections over real sockets, in both event loops."""

import asyncio
import errno
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
import uvloop

from app.ingress.listener import Limits, Listener
from tests.support.caller import App, Got, answer, go_on, read_answer, read_body, start
from tests.support.polling import ask_until

PATIENCE_SECONDS = 20
ASK = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
NOW = b"GET /now HTTP/1.1\r\nHost: x\r\n\r\n"
LOOPS = [("asyncio", {"loop_factory": each}) for each in (uvloop.new_event_loop, asyncio.new_event_loop)]


@pytest.fixture(params=LOOPS, ids=["uvloop", "asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


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


def _bind(kind: type[Any] = socket.socket) -> Any:
    listening = kind()
    listening.setblocking(False)
    listening.bind(("127.0.0.1", 0))
    listening.listen(500)
    return listening


@asynccontextmanager
async def serve(app: App, connections: int = 100, listening: socket.socket | None = None) -> AsyncIterator[Place]:
    listener = Listener(asyncio.get_running_loop(), Limits(connections, 30))
    listening = listening or _bind()
    port = listening.getsockname()[1]
    listener.open(listening, app)
    try:
        yield Place(listener, port)
    finally:
        await listener.close(0)
        await _until(lambda: not (listener._connections or listener._opening))


async def _until(holds: Callable[[], Any]) -> None:
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


async def test_requests_are_answered_one_after_the_other() -> None:
    app = App()
    async with serve(app) as place, place.connect() as client:
        assert (await client.ask(ASK)).body == b"/a"
        assert (await client.ask(NOW)).body == (await client.ask(NOW)).body == b"/now"
        client.writer.write(NOW * 2000 + ASK * 20 + NOW.replace(b"Host", b"Connection: close\r\nHost"))
        assert (await client.everything()).count(b"HTTP/1.1 200 OK") == 2021
        assert app.scopes[0]["client"] == client.address
        assert app.scopes[0]["server"] == ("127.0.0.1", place.port)


async def test_large_bodies_and_answers_pass_whole() -> None:
    size = 5_000_000

    async def echo(_: Any, receive: Any, send: Any) -> None:
        body = await read_body(receive)
        await start(send, (b"content-length", b"%d" % len(body)))
        for place in range(0, len(body), 100_000):
            await go_on(send, body[place : place + 100_000], more=True)
        await go_on(send, b"")

    async with serve(App(echo)) as place, place.connect() as client:
        body = bytes(range(250)) * (size // 250)
        assert (await client.ask(b"POST /a HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size + body)).body == body
        assert (await client.ask(ASK)).body == b"/a"


async def test_early_answer_reaches_a_caller_that_is_still_sending() -> None:
    size = 5_000_000

    async def refuse(_: Any, __: Any, send: Any) -> None:
        await answer(send, b"too large", status=413)

    async with serve(App(refuse)) as place, place.connect() as client:
        client.writer.write(b"POST /a HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size)
        client.writer.write(b"x" * size)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await client.writer.drain()
        got = await client.everything()
        assert got.startswith(b"HTTP/1.1 413 ")
        assert got.endswith(b"too large")


async def test_refusal_reaches_a_caller_that_is_still_sending() -> None:
    async with serve(App()) as place, place.connect() as client:
        client.writer.write(b"NONSENSE\r\n\r\n" + b"x" * 5_000_000)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await client.writer.drain()
        assert (await client.everything()).startswith(b"HTTP/1.1 400 ")


async def test_caller_that_sends_no_more_is_answered() -> None:
    async with serve(App()) as place, place.connect() as client:
        client.writer.write(ASK)
        client.writer.write_eof()
        assert (await client.everything()).endswith(b"\r\n\r\n/a")


@pytest.mark.parametrize("how", ["reset", "end"])
async def test_application_hears_of_the_callers_end(how: str) -> None:
    held = Held()
    async with serve(App(held)) as place, place.connect() as client:
        client.writer.write(ASK)
        await held.begun.wait()
        client.reset() if how == "reset" else client.writer.close()
        await _until(lambda: not (place.listener._connections or place.listener.tasks))
        assert held.heard == [{"type": "http.disconnect"}]


async def test_application_waits_for_a_caller_that_takes_nothing() -> None:
    sent: list[int] = []

    async def run(_: Any, __: Any, send: Any) -> None:
        await start(send)
        for number in range(100):
            await go_on(send, b"x" * 1_000_000, more=True)
            sent.append(number)

    async with serve(App(run)) as place, place.connect() as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.writer.write(ASK)
        await _until(lambda: any(each._is_blocked for each in place.listener._connections))
        assert len(sent) < 50
        client.reset()
        await _until(lambda: len(sent) == 100)


# Bounds


@pytest.mark.parametrize("how", ["reset", "end"])
async def test_bound_of_connections_holds_and_the_next_is_accepted_when_one_ends(how: str) -> None:
    app = App()
    async with serve(app, 2) as place, place.connect() as one, place.connect() as two, place.connect() as three:
        three.writer.write(ASK)
        assert (await one.ask(NOW)).body == (await two.ask(NOW)).body == b"/now"
        assert len(place.listener._connections) == 2
        assert app.targets == [b"/now", b"/now"]
        one.reset() if how == "reset" else one.writer.write_eof()
        assert (await three.ask(b"")).body == b"/a"
        assert len(place.listener._connections) == 2


async def test_bound_of_connections_holds_for_those_that_come_together() -> None:
    app, listening = App(), _bind()
    clients = [socket.create_connection(listening.getsockname()) for _ in range(5)]
    for client in clients:
        client.sendall(NOW)
    async with serve(app, 2, listening) as place:
        await _until(lambda: len(app.seen) == 2)
        assert len(place.listener._connections) == 2
        for client in clients:
            client.close()
        await _until(lambda: len(app.seen) == 5)


class Exhausted(socket.socket):
    """A socket that accepts only after some failures for want of descriptors."""

    failures = 3

    def accept(self) -> Any:
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EMFILE, "no descriptors")
        return super().accept()


async def test_accepting_pauses_while_there_are_no_descriptors() -> None:
    listening = _bind(Exhausted)
    async with serve(App(), listening=listening) as place, place.connect() as client:
        await _until(lambda: listening.failures < 3)
        assert listening.failures == 2
        assert not place.listener._is_accepting
        assert (await client.ask(ASK)).body == b"/a"


# The end


async def test_close_answers_what_is_queued() -> None:
    """More of them than are accepted in one go."""
    app, listening = App(), _bind()
    clients = [socket.create_connection(listening.getsockname()) for _ in range(150)]
    for client in clients:
        client.sendall(ASK)
    async with serve(app, 1000, listening) as place:
        await place.listener.close(PATIENCE_SECONDS)
        for client in clients:
            assert client.recv(1000).endswith(b"/a")
            client.close()
    assert listening.fileno() == -1


async def test_close_ends_idle_connections_and_lets_exchanges_end() -> None:
    held = Held()
    async with serve(App(held)) as place, place.connect() as idle, place.connect() as asking:
        assert (await idle.ask(NOW)).body == b"/now"
        asking.writer.write(ASK)
        await held.begun.wait()
        closing = asyncio.create_task(place.listener.close(PATIENCE_SECONDS))
        assert await idle.everything() == b""
        assert not closing.done()
        held.go.set()
        got = await asking.everything()
        assert got.endswith(b"held")
        assert b"connection: close" in got
        await closing
        with pytest.raises(OSError, match=r"refused|Connect call failed"):
            await asyncio.open_connection("127.0.0.1", place.port)


async def test_close_cuts_what_remains_after_its_patience() -> None:
    held = Held()
    async with serve(App(held)) as place, place.connect() as client:
        client.writer.write(ASK)
        await held.begun.wait()
        await place.listener.close(0.01)
        assert await client.everything() == b""
        assert held.heard == [{"type": "http.disconnect"}]


async def test_cut_ends_the_connections_of_these_peers() -> None:
    held, other = Held(), Held()
    async with serve(App(held, other)) as place, place.connect() as cut, place.connect() as spared:
        cut.writer.write(ASK)
        await held.begun.wait()
        spared.writer.write(ASK)
        await other.begun.wait()
        place.listener.cut([cut.address, ("127.0.0.1", 1)])
        await _until(lambda: held.heard == [{"type": "http.disconnect"}])
        other.go.set()
        assert (await spared.ask(b"")).body == b"held"
