"""Ends of connections, from either side, at every point of an exchange."""

import asyncio
from typing import Any

import pytest

from tests.support.answering import App, answer, go_on, start
from tests.support.caller import HIGH_WATER_BYTES, Caller, call, listen, settle

ASK = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
NOW = b"GET /now HTTP/1.1\r\nHost: x\r\n\r\n"
GONE = {"type": "http.disconnect"}
PART = b"x" * (HIGH_WATER_BYTES + 1)


async def slow(_: Any, __: Any, send: Any) -> None:
    await asyncio.sleep(1)
    await answer(send, b"slow")


# The caller ends, or is gone


async def test_caller_that_asks_and_sends_no_more_is_answered() -> None:
    caller = call(App(slow))
    caller.send(ASK)
    caller.end()
    await settle()
    assert not caller.is_gone
    await asyncio.sleep(1)
    (got,) = caller.answers("GET")
    assert (got.body, (b"connection", b"close") in got.headers) == (b"slow", True)
    assert caller.is_gone
    assert not caller.was_reset


async def test_all_that_was_asked_before_the_end_is_answered() -> None:
    app = App(slow)
    caller = call(app)
    caller.send(ASK + NOW + ASK + b"GET /half HTT")
    caller.end()
    await asyncio.sleep(2)
    assert [each.body for each in caller.answers("GET", "GET", "GET")] == [b"slow", b"/now", b"/a"]
    assert app.targets == [b"/a", b"/now", b"/a"]
    assert caller.is_gone
    assert not caller.was_reset


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"GET / HTTP/1.1\r\nHos", NOW, NOW + b"GET /", b"POST / HTTP/1.1\r\n"])
async def test_end_without_a_request_under_way_closes(sent: bytes) -> None:
    caller = call(App())
    caller.send(sent)
    caller.end()
    await settle()
    assert len(caller.answers(*["GET"] * sent.startswith(NOW))) == sent.startswith(NOW)
    assert caller.is_gone
    assert not caller.was_reset


@pytest.mark.parametrize("how", ["end", "reset"])
async def test_stream_hears_of_the_callers_end(how: str) -> None:
    heard: list[Any] = []

    async def run(_: Any, receive: Any, send: Any) -> None:
        await start(send)
        await go_on(send, b"a", more=True)
        heard.extend([await receive(), await receive()])
        await go_on(send, b"b", more=True)
        await go_on(send, b"")

    caller = call(App(run))
    caller.send(ASK)
    await settle()
    assert heard == []
    getattr(caller, how)()
    await settle()
    assert heard[1] == GONE
    assert caller.is_gone
    assert caller.got.endswith(b"1\r\nb\r\n0\r\n\r\n") is (how == "end")


async def test_exchange_whose_caller_is_gone_sends_into_the_void() -> None:
    ended: list[str] = []

    async def run(_: Any, __: Any, send: Any) -> None:
        await asyncio.sleep(1)
        await start(send)
        for _ in range(10):
            await go_on(send, PART, more=True)
        await go_on(send, b"")
        ended.append("ended")

    app = App(run)
    caller = call(app)
    caller.send(ASK + ASK)
    await settle()
    caller.reset()
    await asyncio.sleep(2)
    assert ended == ["ended"]
    assert app.targets == [b"/a"]
    assert caller.got == b""


async def test_exchanges_and_connections_are_forgotten_at_their_end() -> None:
    async def fail(_: Any, __: Any, ___: Any) -> None:
        raise ValueError

    app = App(slow, fail)
    listener = listen(app)
    callers = [Caller(listener) for _ in range(4)]
    for caller in callers[:3]:
        caller.send(ASK)
    callers[0].reset()
    callers[3].end()
    await asyncio.sleep(2)
    for caller in callers[1:3]:
        caller.end()
    await settle()
    assert (listener.tasks, listener._connections) == (set(), set())


# The caller takes nothing


async def test_nothing_begins_while_the_caller_takes_nothing() -> None:
    sent: list[int] = []

    async def run(_: Any, __: Any, send: Any) -> None:
        await start(send)
        for number in range(3):
            await go_on(send, PART, more=True)
            sent.append(number)
        await go_on(send, b"")

    app = App(run)
    caller = call(app)
    caller.stop_taking()
    caller.send(ASK + NOW + ASK)
    await settle()
    assert sent == []
    caller.take_on()
    caller.stop_taking()
    await settle()
    assert sent == [0]
    caller.take_on()
    await settle()
    assert sent == [0, 1, 2]
    assert [len(each.body) for each in caller.answers("GET", "GET", "GET")] == [3 * len(PART), 4, 2]
    assert caller.is_read


async def test_pipelined_answers_wait_until_the_caller_takes_them() -> None:
    app = App()
    caller = call(app)
    caller.stop_taking()
    caller.send(NOW * 5000)
    answered = len(app.seen)
    assert answered < 5000
    assert not caller.is_read
    caller.take_on()
    await settle()
    assert len(caller.answers(*["GET"] * 5000)) == 5000
    assert caller.is_read


@pytest.mark.parametrize("how", ["abort", "reset"])
async def test_end_frees_an_application_that_waits_to_send(how: str) -> None:
    ended: list[str] = []

    async def run(_: Any, __: Any, send: Any) -> None:
        await start(send)
        await go_on(send, PART, more=True)
        ended.append("freed")

    caller = call(App(run))
    caller.stop_taking()
    caller.send(ASK)
    await settle()
    assert ended == []
    (caller.connection.abort if how == "abort" else caller.reset)()
    await settle()
    assert ended == ["freed"]
    assert caller.is_gone


async def test_answer_that_is_not_taken_yet_is_not_cut_off_by_the_end_after_it() -> None:
    caller = call(App(lambda _, __, send: answer(send, PART)))
    caller.stop_taking()
    caller.send(ASK.replace(b"Host", b"Connection: close\r\nHost"))
    await settle()
    assert not caller.is_gone
    caller.take_on()
    await settle()
    assert caller.answers("GET")[0].body == PART
    assert caller.is_gone
    assert not caller.was_reset


async def test_pipelined_requests_after_a_last_answer_are_read_without_use() -> None:
    """With unread bytes the system would reset the connection, and the caller might lose the answer."""

    async def run(_: Any, __: Any, send: Any) -> None:
        await asyncio.sleep(1)
        await start(send, (b"content-length", b"0"), (b"connection", b"close"))
        await go_on(send, b"")

    app = App(run)
    caller = call(app)
    caller.send(NOW, ASK, ASK, ASK, ASK)
    await asyncio.sleep(2)
    caller.send(NOW)
    assert app.targets == [b"/now", b"/a"]
    assert len(caller.answers("GET", "GET")) == 2
    assert caller.has_got_end
    assert caller.is_read
    assert not caller.is_gone
    caller.end()
    await settle()
    assert caller.is_gone
    assert not caller.was_reset


# The listener ends connections


async def test_closing_when_idle_spares_what_is_under_way() -> None:
    app = App(slow, slow)
    listener = listen(app)
    fresh, half, asking, piping = callers = [Caller(listener) for _ in range(4)]
    half.send(NOW + b"GET / HT")
    asking.send(ASK)
    piping.send(ASK + NOW, ASK)
    await settle()
    for caller in callers:
        caller.connection.close_when_idle()
    await settle()
    assert [each.is_gone for each in callers] == [True, True, False, False]
    assert fresh.got == b""
    await asyncio.sleep(1)
    assert asking.has_got_end
    assert [each.body for each in asking.answers("GET")] == [b"slow"]
    first, second = piping.answers("GET", "GET")
    assert (b"connection", b"close") not in first.headers
    assert (second.body, (b"connection", b"close") in second.headers) == (b"/now", True)
    assert app.targets == [b"/now", b"/a", b"/a", b"/now"]


async def test_closing_when_idle_waits_for_no_caller_that_has_its_refusal() -> None:
    caller = call(App())
    caller.send(b"NONSENSE\r\n")
    assert caller.has_got_end
    assert not caller.is_gone
    caller.connection.close_when_idle()
    await settle()
    assert caller.is_gone
    assert [each.status for each in caller.answers("GET")] == [400]
