"""Connections over real sockets, in both event loops."""

import asyncio
from typing import Any

import pytest

from tests.support.answering import App, answer, go_on, read_body, start
from tests.support.sockets import ASK, LOOPS, NOW, PATIENCE_SECONDS, Held, serve, until


@pytest.fixture(params=LOOPS, ids=["uvloop", "asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


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
        await until(lambda: not (place.listener._connections or place.listener.tasks))
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
        await until(lambda: any(each._is_blocked for each in place.listener._connections))
        assert len(sent) < 50
        client.reset()
        await until(lambda: len(sent) == 100)
