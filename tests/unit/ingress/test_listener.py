"""The listener over real sockets, in both event loops: its bounds and its end."""

import asyncio
import errno
import os
import socket
from typing import Any

import pytest

from tests.support.answering import App
from tests.support.sockets import ASK, LOOPS, NOW, PATIENCE_SECONDS, Held, bind, serve, until


@pytest.fixture(params=LOOPS, ids=["uvloop", "asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


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
    app, listening = App(), bind()
    clients = [socket.create_connection(listening.getsockname()) for _ in range(5)]
    for client in clients:
        client.sendall(NOW)
    async with serve(app, 2, listening) as place:
        await until(lambda: len(app.seen) == 2)
        assert len(place.listener._connections) == 2
        for client in clients:
            client.close()
        await until(lambda: len(app.seen) == 5)


class Exhausted(socket.socket):
    """A socket that accepts only after some failures for want of descriptors."""

    failures = 3

    def accept(self) -> Any:
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EMFILE, "no descriptors")
        return super().accept()


async def test_accepting_pauses_while_there_are_no_descriptors() -> None:
    listening = bind(Exhausted)
    async with serve(App(), listening=listening) as place, place.connect() as client:
        await until(lambda: listening.failures < 3)
        assert listening.failures == 2
        assert not place.listener._is_accepting
        assert (await client.ask(ASK)).body == b"/a"


# The end


async def test_close_answers_what_is_queued() -> None:
    """More of them than are accepted in one go."""
    app, listening = App(), bind()
    clients = [socket.create_connection(listening.getsockname()) for _ in range(150)]
    for client in clients:
        client.sendall(ASK)
    async with serve(app, 1000, listening) as place:
        await place.listener.close(PATIENCE_SECONDS)
        for client in clients:
            assert client.recv(1000).endswith(b"/a")
            client.close()
    assert listening.fileno() == -1


async def test_a_request_that_has_arrived_unread_when_it_closes_is_answered() -> None:
    async with serve(App()) as place, place.connect() as client:
        assert (await client.ask(NOW)).body == b"/now"
        end = client.writer.get_extra_info("socket")
        (connection,) = place.listener._connections
        os.write(end.fileno(), ASK)  # the event loop reads it after the next lines
        connection.close_when_idle()
        got = await client.everything()
        assert got.endswith(b"/a")
        assert b"connection: close" in got


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
        await until(lambda: held.heard == [{"type": "http.disconnect"}])
        other.go.set()
        assert (await spared.ask(b"")).body == b"held"
