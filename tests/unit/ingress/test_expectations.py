"""Expectations: a body is asked for once, and only where its caller waits for that (RFC 9110, 10.1.1)."""

import asyncio
from typing import Any

import pytest

from tests.support.answering import App, answer, go_on, read_body, start
from tests.support.caller import call, post, settle

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\n\r\n"
EXPECT = b"Expect: 100-continue"


async def test_body_is_asked_for_once_when_the_application_wants_it() -> None:
    wants = asyncio.Event()

    async def run(_: Any, receive: Any, send: Any) -> None:
        await wants.wait()
        await answer(send, await read_body(receive))

    caller = call(App(run))
    caller.send(post(4, EXPECT))
    await settle()
    assert caller.got == b""
    wants.set()
    await settle()
    assert caller.got == CONTINUE
    caller.send(b"ab")
    await settle()
    caller.send(b"cd", NEXT)
    await settle()
    assert caller.got.count(CONTINUE) == 1
    assert [each.body for each in caller.answers("POST", "GET")] == [b"abcd", b"/next"]


@pytest.mark.parametrize(
    "sent",
    [
        [post(4, EXPECT) + b"body"],
        [post(4, EXPECT) + b"bo", b"dy"],
        [post(4, EXPECT, b"Connection: close") + b"b", b"ody"],
        [post(4, EXPECT, version=b"1.0"), b"body"],
        [post(0, EXPECT)],
        [post(4, b"Expect: something"), b"body"],
    ],
)
async def test_body_that_is_here_or_not_waited_for_is_not_asked_for(sent: list[bytes]) -> None:
    caller = call(App())
    for part in sent:
        caller.send(part)
        await settle()
    assert CONTINUE not in caller.got
    assert caller.answers("POST")[0].body == b"/p"


async def test_body_is_not_asked_for_once_the_answer_has_begun() -> None:
    async def run(_: Any, receive: Any, send: Any) -> None:
        await start(send)
        await go_on(send, b"a", more=True)
        assert (await receive())["body"] == b"body"
        await go_on(send, b"b")

    caller = call(App(run))
    caller.send(post(4, EXPECT))
    await settle()
    caller.send(b"body")
    await settle()
    assert CONTINUE not in caller.got
    assert caller.answers("POST")[0].body == b"ab"


async def test_waiting_request_is_continued_after_the_answer_before_it() -> None:
    async def run(_: Any, __: Any, send: Any) -> None:
        await asyncio.sleep(1)
        await answer(send, b"first")

    caller = call(App(run))
    caller.send(NEXT + post(4, EXPECT))
    await settle()
    assert caller.got == b""
    await asyncio.sleep(1)
    assert caller.got.endswith(b"first" + CONTINUE)
    caller.send(b"body")
    await settle()
    assert [each.body for each in caller.answers("GET", "POST")] == [b"first", b"/p"]
