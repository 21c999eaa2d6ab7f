"""Bounds: of heads, of pipelines, and of the rest of a connection."""

import asyncio
import gc
import weakref
from typing import Any

import pytest

from app.ingress.requests import MAX_HEAD_BYTES, MAX_HEADERS
from tests.support.answering import App, answer, go_on, start
from tests.support.caller import REST_SECONDS, Caller, call, listen, settle

ASK = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
NOW = b"GET /now HTTP/1.1\r\nHost: x\r\n\r\n"
READ_BYTES = 256 * 1024  # of uvloop and asyncio


# Heads


@pytest.mark.parametrize("begin", [b"GET /", b"GET / HTTP/1.1\r\nA: ", b"GET / HTTP/1.1\r\nA", b"\r\n" * READ_BYTES])
async def test_head_beyond_2_mib_is_refused(begin: bytes) -> None:
    part = b"x" * READ_BYTES if begin.strip() else begin
    app = App()
    caller = call(app)
    caller.send(begin, *[part] * (MAX_HEAD_BYTES // len(part) - 1))
    assert caller.got == b""
    caller.send(part, NOW)
    assert [each.status for each in caller.answers("GET")] == [431]
    assert caller.has_got_end
    assert app.seen == []


async def test_head_below_2_mib_reaches_the_application() -> None:
    app = App()
    caller = call(app)
    size = MAX_HEAD_BYTES - 2 * READ_BYTES
    data = b"GET /now HTTP/1.1\r\nA: " + b"x" * size + b"\r\n\r\n"
    caller.send(*[data[place : place + READ_BYTES] for place in range(0, len(data), READ_BYTES)])
    assert [len(value) for _, value in app.seen[0].headers] == [size]
    caller.send(data[:READ_BYTES])
    assert len(caller.answers("GET")) == 1


async def test_head_of_many_headers_is_refused_while_it_is_not_whole() -> None:
    """Each header takes about a hundred bytes of memory, however short it is."""
    caller = call(App())
    caller.send(b"GET / HTTP/1.1\r\n", b"A: \r\n" * MAX_HEADERS)
    assert caller.got == b""
    caller.send(b"A: \r\n" * 2)
    assert [each.status for each in caller.answers("GET")] == [431]


async def test_connection_that_lives_long_is_not_refused() -> None:
    """What is counted begins again with each request and each part of a body."""
    post = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    caller = call(App())
    for _ in range(20):
        caller.send(ASK, post, b"20000\r\n" + b"x" * 0x20000 + b"\r\n", b"0;" + b"x" * 1000, b"\r\n\r\n")
        await settle()
    caller.send(*[b"GET /now HTTP/1.1\r\nA: %b\r\n\r\n" % (b"x" * size) for size in range(100_000, 100_030)])
    caller.send(NOW + b"GET /no", b"w HTTP/1.1\r\n\r\n")
    await settle()
    assert {each.status for each in caller.answers(*["GET", "POST"] * 20, *["GET"] * 32)} == {200}


# Pipelines


async def test_pipelined_requests_in_great_number_are_answered_in_order_and_read_as_they_are_answered() -> None:
    async def slow(_: Any, __: Any, send: Any) -> None:
        await asyncio.sleep(1)
        await answer(send, b"slow")

    data = ASK + b"".join(b"GET /now/%d HTTP/1.1\r\n\r\n" % number for number in range(50_000))
    app = App(slow, recalls=False)
    caller = call(app)
    caller.send(*[data[place : place + READ_BYTES] for place in range(0, len(data), READ_BYTES)])
    await settle()
    assert len(caller.connection._waiting) < READ_BYTES / 20
    await asyncio.sleep(1)
    assert app.targets == [b"/a", *[b"/now/%d" % number for number in range(50_000)]]
    bodies = [line for line in bytes(caller.got).split(b"\r\n") if line.startswith(b"/now/")]
    assert [body.removesuffix(b"HTTP/1.1 200 OK") for body in bodies] == app.targets[1:]


async def test_slow_answer_before_fast_ones_keeps_the_order() -> None:
    async def slow(_: Any, __: Any, send: Any) -> None:
        await asyncio.sleep(1)
        await start(send)
        await go_on(send, b"sl", more=True)
        await asyncio.sleep(1)
        await go_on(send, b"ow")

    app = App(slow)
    caller = call(app)
    caller.send(ASK + NOW + ASK, NOW, ASK)
    await asyncio.sleep(3)
    assert [each.body for each in caller.answers(*["GET"] * 5)] == [b"slow", b"/now", b"/a", b"/now", b"/a"]
    assert app.targets == [b"/a", b"/now", b"/a", b"/now", b"/a"]


async def test_no_more_is_read_while_a_request_waits() -> None:
    async def slow(_: Any, __: Any, send: Any) -> None:
        await asyncio.sleep(1)
        await answer(send, b"")

    caller = call(App(slow))
    caller.send(ASK)
    await settle()
    assert caller.is_read
    caller.send(ASK)
    assert not caller.is_read
    await asyncio.sleep(1)
    assert caller.is_read


# Rest


async def _rest(*sent: bytes, app: App | None = None) -> tuple[Caller, float]:
    """Send, and wait until the connection ends. Give the seconds that it lasted from the last part on."""
    listener = listen(app or App())
    caller = Caller(listener)
    listener._look()
    for part in sent:
        await asyncio.sleep(0.9 * REST_SECONDS)
        caller.send(part)
    began = asyncio.get_running_loop().time()
    while not (caller.is_gone or caller.has_got_end):
        await asyncio.sleep(0.1)
        assert asyncio.get_running_loop().time() - began < 100
    return caller, asyncio.get_running_loop().time() - began


@pytest.mark.parametrize("sent", [[], [ASK], [NOW], [ASK, ASK], [NOW, NOW, NOW], [ASK, NOW, NOW]])
async def test_connection_at_rest_is_closed_after_its_time(sent: list[bytes]) -> None:
    caller, seconds = await _rest(*sent)
    assert REST_SECONDS - 1 <= seconds <= REST_SECONDS + 2
    assert not caller.was_reset
    assert len(caller.answers(*["GET"] * len(sent))) == len(sent)


async def test_head_that_comes_too_slowly_is_given_up() -> None:
    """Its parts are no sign of life."""
    caller, seconds = await _rest(b"GET / HT", b"TP/1.1\r\n")
    assert seconds < REST_SECONDS / 2
    assert caller.got == b""
    assert caller.is_gone


async def test_connection_that_is_being_answered_is_not_at_rest() -> None:
    async def slow(_: Any, __: Any, send: Any) -> None:
        await asyncio.sleep(10 * REST_SECONDS)
        await answer(send, b"slow")

    listener = listen(App(slow))
    caller = Caller(listener)
    listener._look()
    caller.send(ASK)
    await asyncio.sleep(10.5 * REST_SECONDS)
    assert caller.answers("GET")[0].body == b"slow"
    assert not caller.is_gone
    await asyncio.sleep(REST_SECONDS)
    assert caller.is_gone


async def test_connection_that_is_blocked_is_not_at_rest() -> None:
    listener = listen(App(lambda _, __, send: answer(send, b"x" * 100_000)))
    caller = Caller(listener)
    listener._look()
    caller.stop_taking()
    caller.send(ASK)
    await asyncio.sleep(5 * REST_SECONDS)
    assert not caller.is_gone
    caller.take_on()
    caller.send(NOW)
    assert len(caller.answers("GET", "GET")) == 2
    await asyncio.sleep(1.2 * REST_SECONDS)
    assert caller.is_gone


async def test_listener_that_has_ended_is_forgotten() -> None:
    """Its timer ends, too."""
    listener = listen(App())
    listener._look()
    await listener.close(1)
    await asyncio.sleep(5)
    forgotten = weakref.ref(listener)
    del listener
    gc.collect()
    assert forgotten() is None
