"""Closed connections: the caller gets all of its answer, whatever it still sends, and no connection lasts for ever."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.ingress.connection import LINGER_SECONDS, LONGEST_LINGER_SECONDS
from tests.support.answering import App
from tests.support.caller import Caller, listen
from tests.support.sockets import Place, serve

LONG = b"x" * 700_000
CLOSING = b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"


async def send_long(_: Any, __: Any, send: Any) -> None:
    headers = [(b"content-length", b"%d" % len(LONG))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": LONG, "more_body": False})


async def refuse(_: Any, __: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def hear(scope: Any, receive: Any, _: Any) -> None:
    scope["heard"] = (await receive())["type"]


@asynccontextmanager
async def slow_reader(place: Place) -> AsyncIterator[socket.socket]:
    """Ask for an answer that fits into no buffer of the caller's system."""
    with socket.socket() as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        caller.setblocking(False)
        await asyncio.get_running_loop().sock_connect(caller, ("127.0.0.1", place.port))
        await asyncio.get_running_loop().sock_sendall(caller, CLOSING)
        yield caller


async def _look(caller: Caller) -> None:
    if caller.is_gone:
        return
    caller.connection.look(asyncio.get_running_loop().time(), 1000)
    await asyncio.sleep(0)


async def test_whoever_goes_on_sending_gets_the_answer_before_the_connection_ends() -> None:
    caller = Caller(listen(App(refuse)))
    caller.send(POST)
    await asyncio.sleep(0.001)
    for _ in range(round(LONGEST_LINGER_SECONDS / LINGER_SECONDS)):
        await asyncio.sleep(LINGER_SECONDS * 0.9)
        await _look(caller)
        assert not caller.is_gone
        caller.send(b"x" * 1000)
    assert [each.status for each in caller.answers("POST")] == [413]
    await asyncio.sleep(LINGER_SECONDS)
    await _look(caller)
    assert caller.was_reset


async def test_nobody_is_listened_to_for_ever() -> None:
    caller = Caller(listen(App(refuse)))
    caller.send(POST)
    for _ in range(round(LONGEST_LINGER_SECONDS)):
        await asyncio.sleep(1)
        assert not caller.was_reset
        await _look(caller)
        caller.send(b"x")
    await asyncio.sleep(1)
    await _look(caller)
    assert caller.was_reset


async def test_a_caller_with_half_a_body_does_not_delay_the_end_and_one_behind_an_exchange_neither() -> None:
    async def wait(_: Any, __: Any, send: Any) -> None:
        await asyncio.sleep(1)
        await refuse(_, __, send)

    app = App(hear, wait)
    listener = listen(app)
    half, piping = Caller(listener), Caller(listener)
    half.send(POST)
    await asyncio.sleep(0.001)
    piping.send(b"GET /b HTTP/1.1\r\nHost: x\r\n\r\n" + POST)
    await asyncio.sleep(0.001)
    for caller in (half, piping):
        caller.connection.close_when_idle()
    await asyncio.sleep(0.001)
    assert (half.is_gone, piping.is_gone) == (True, False)
    assert app.scopes[0]["heard"] == "http.disconnect"
    await asyncio.sleep(1.1)
    assert [each.status for each in piping.answers("GET")] == [413]
    assert piping.has_got_end or piping.is_gone


async def test_a_slow_reader_is_not_cut_off_while_it_takes_its_answer() -> None:
    loop = asyncio.get_running_loop()
    async with serve(App(send_long)) as place, slow_reader(place) as caller:
        got = await loop.sock_recv(caller, 4096)
        (connection,) = place.listener._connections
        now = loop.time()
        while len(got) < len(LONG):
            now += 2 * LONGEST_LINGER_SECONDS
            connection.look(now, 1000)
            await asyncio.sleep(0)
            await loop.sock_sendall(caller, b"more")  # which a closed socket would answer by a reset
            await asyncio.sleep(0)
            got += await loop.sock_recv(caller, 65536)
        while part := await loop.sock_recv(caller, 65536):
            got += part
    assert got.partition(b"\r\n\r\n")[2] == LONG


@pytest.mark.parametrize("more", [b"", b"GET /b HTTP/1.1\r\nHost: x\r\n\r\n" * 3])
async def test_an_answer_arrives_whole_though_its_reader_is_slow_and_asks_for_more(more: bytes) -> None:
    loop = asyncio.get_running_loop()
    async with serve(App(send_long)) as place, slow_reader(place) as caller:
        got = await loop.sock_recv(caller, 4096)
        for _ in range(200):  # the rest of the answer waits in both systems
            await asyncio.sleep(0)
        await loop.sock_sendall(caller, more)
        while part := await loop.sock_recv(caller, 65536):
            got += part
    assert got.partition(b"\r\n\r\n")[2] == LONG


async def test_a_caller_that_has_its_answer_does_not_delay_the_end_however_slowly_it_goes_on_sending() -> None:
    caller = Caller(listen(App(refuse)))
    caller.send(POST)
    await asyncio.sleep(0.001)
    assert (caller.has_got_end, caller.is_gone) == (True, False)
    caller.connection.close_when_idle()
    await asyncio.sleep(0.001)
    assert caller.is_gone


async def test_what_a_caller_may_have_sent_before_it_heard_of_the_end_does_not_cost_it_the_answer() -> None:
    async def slow(*words: Any) -> None:
        await asyncio.sleep(1)
        await refuse(*words)

    caller = Caller(listen(App(slow)))
    caller.send(CLOSING.replace(b"Connection: close\r\n", b""))
    await asyncio.sleep(0.001)
    caller.connection.close_when_idle()
    await asyncio.sleep(1)
    assert (caller.has_got_end, caller.is_gone) == (True, False)
    caller.send(CLOSING)
    caller.end()
    await asyncio.sleep(0.001)
    assert (caller.is_gone, caller.was_reset) == (True, False)
    assert [each.status for each in caller.answers("GET")] == [413]
