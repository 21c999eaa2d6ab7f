"""Bodies of requests: read no faster than the application takes them, continued when asked for, lost when cut off."""

import asyncio
from typing import Any

import pytest

from tests.support.answering import App, Run, answer, go_on, read_body, start
from tests.support.caller import call, post, settle

SIZE = 16 * 1024
PART = b"x" * SIZE
NEXT = b"GET /next HTTP/1.1\r\n\r\n"


async def test_reading_pauses_beyond_64_kib_until_the_application_receives() -> None:
    go, sizes = asyncio.Event(), []

    async def run(_: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            await go.wait()
            go.clear()
            message = await receive()
            sizes.append(len(message["body"]))
            more = message["more_body"]
        await answer(send, b"done")

    caller = call(App(run))
    caller.send(post(SIZE * 10), *[PART] * 10)
    await settle()
    assert not caller.is_read
    for _ in range(3):
        go.set()
        await settle()
    assert sizes == [SIZE * 5, SIZE * 5]
    assert caller.answers("POST")[0].body == b"done"
    assert caller.is_read


@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize("has_parts", [True, False])
async def test_connection_is_read_on_after_a_body_beyond_64_kib(*, reads: bool, has_parts: bool) -> None:
    """Its last part came with the one that filled the buffer, so that nobody asks for more of it."""

    async def run(_: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(1)
        if reads:
            assert len(await read_body(receive)) == SIZE * 5
        await answer(send, b"done")

    app = App(run)
    caller = call(app)
    caller.send(post(SIZE * 5) + (PART * 4 if has_parts else PART * 5), *[PART] * has_parts)
    caller.send(NEXT)
    await asyncio.sleep(2)
    assert [each.body for each in caller.answers("POST", "GET")] == [b"done", b"/next"]
    assert not caller.is_gone


async def test_body_of_a_waiting_request_stays_bounded() -> None:
    async def run(_: Any, __: Any, send: Any) -> None:
        await asyncio.sleep(1)
        await answer(send, b"")

    app = App(run)
    caller = call(app)
    caller.send(NEXT + post(SIZE * 20), *[PART] * 20, NEXT)
    await settle()
    assert not caller.is_read
    await asyncio.sleep(2)
    assert [(each.target, len(each.body)) for each in app.seen] == [(b"/next", 0), (b"/p", SIZE * 20), (b"/next", 0)]


async def test_rest_of_a_body_is_read_without_use_after_an_early_answer() -> None:
    async def run(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await answer(send, b"no", status=413)
        heard.append(await receive())

    heard: list[Any] = []
    app = App(run)
    caller = call(app)
    caller.send(post(SIZE * 100), *[PART] * 10)
    await settle()
    caller.send(*[PART] * 90, NEXT)
    await settle()
    assert caller.has_got_end
    assert caller.is_read
    assert not caller.is_gone
    (got,) = caller.answers("POST")
    assert got.status == 413
    assert (b"connection", b"close") in got.headers
    caller.end()
    await settle()
    assert caller.is_gone
    assert not caller.was_reset
    assert app.targets == [b"/p"]
    assert heard == [{"type": "http.disconnect"}]


async def test_caller_that_sends_on_and_on_is_cut_off_after_a_while() -> None:
    caller = call(App(lambda _, __, send: answer(send, b"no")))
    caller.send(post(SIZE * 100), PART)
    await settle()
    now = asyncio.get_running_loop().time()
    caller.connection.look(now, 10)
    caller.connection.look(now + 1.9, 10)
    assert not caller.is_gone
    caller.connection.look(now + 2.1, 10)
    assert caller.was_reset


# The end within a body


def _hear(heard: list[Any]) -> Run:
    async def run(_: Any, receive: Any, __: Any) -> None:
        heard.extend([await receive(), await receive(), await receive()])

    return run


@pytest.mark.parametrize("how", ["end", "reset"])
async def test_application_hears_of_an_end_within_a_body(how: str) -> None:
    heard: list[Any] = []
    caller = call(App(_hear(heard)))
    caller.send(post(10), b"abc")
    await settle()
    getattr(caller, how)()
    await settle()
    gone = {"type": "http.disconnect"}
    assert heard == [{"type": "http.request", "body": b"abc", "more_body": True}, gone, gone]
    assert caller.is_gone


CHUNKS = b"POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"


@pytest.mark.parametrize("waits", [True, False])
async def test_chunk_that_is_none_is_refused(*, waits: bool) -> None:
    heard: list[Any] = []
    caller = call(App(_hear(heard)))
    caller.send(CHUNKS)
    if waits:
        await settle()
    caller.send(b"x\r\n", NEXT)
    await settle()
    assert [each["type"] for each in heard] == ["http.request", "http.disconnect", "http.disconnect"]
    assert [each.status for each in caller.answers("POST")] == [400]
    assert caller.has_got_end


async def test_chunk_that_is_none_is_refused_before_its_request_begins() -> None:
    app = App()
    caller = call(app)
    caller.send(NEXT + CHUNKS + b"x\r\n", NEXT)
    await settle()
    assert app.targets == [b"/next"]
    assert [each.status for each in caller.answers("GET", "POST")] == [200, 400]


async def test_chunk_that_is_none_ends_an_answer_that_has_begun() -> None:
    async def run(_: Any, receive: Any, send: Any) -> None:
        await start(send)
        await receive()
        assert (await receive())["type"] == "http.disconnect"
        await go_on(send, b"end")

    caller = call(App(run))
    caller.send(CHUNKS)
    await settle()
    caller.send(b"x\r\n", NEXT)
    await settle()
    assert [(each.status, each.body) for each in caller.answers("POST")] == [(200, b"end")]
    assert caller.has_got_end


async def test_nonsense_after_a_request_is_refused_after_its_answer() -> None:
    async def slow(_: Any, __: Any, send: Any) -> None:
        await asyncio.sleep(1)
        await answer(send, b"slow")

    caller = call(App(slow))
    caller.send(NEXT, b"NONSENSE\r\n", NEXT)
    await settle()
    assert caller.got == b""
    await asyncio.sleep(1)
    assert [each.status for each in caller.answers("GET", "GET")] == [200, 400]
    assert caller.has_got_end
