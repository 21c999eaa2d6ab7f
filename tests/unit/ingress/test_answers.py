"""Answers over the wire: their framing, and what becomes of applications that break the rules."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from app.ingress.responses import write_head
from tests.support.answering import App, Run, answer, go_on, start
from tests.support.caller import call, settle

ASK = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n"
LENGTH = b"content-length"


async def _get(run: Run, sent: bytes = ASK) -> tuple[bytes, bool]:
    """Ask, and give all that comes, without the date, and whether the connection ended."""
    caller = call(App(run))
    caller.send(sent)
    await settle()
    lines = bytes(caller.got).split(b"\r\n")
    assert sum(line.startswith(b"date: ") for line in lines) == bool(lines[0])
    return b"\r\n".join(line for line in lines if not line.startswith(b"date: ")), caller.is_gone or caller.has_got_end


async def test_answer_of_known_length_goes_out_in_one_write() -> None:
    writes: list[bytes] = []
    caller = call(App())
    caller.connection._transport.write = writes.append
    caller.send(ASK)
    await settle()
    assert len(writes) == 1


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize("status", [200, 204, 304])
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_streams_are_framed_as_method_status_and_version_allow(
    method: bytes, status: int, version: bytes
) -> None:
    async def run(_: Any, __: Any, send: Any) -> None:
        await start(send, status=status)
        await go_on(send, b"ab", more=True)
        await go_on(send, b"", more=True)
        await go_on(send, b"c")

    got, is_gone = await _get(run, ASK.replace(b"GET", method).replace(b"1.1", version))
    head, _, body = got.partition(b"\r\n\r\n")
    has_body = method == b"GET" and status == 200
    is_chunked = has_body and version == b"1.1"
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert (b"transfer-encoding: chunked" in head) is is_chunked
    assert (b"connection: close" in head) is is_gone is (version == b"1.0")
    assert body == (b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n" if is_chunked else b"abc" * has_body)


async def test_head_of_a_stream_goes_out_before_its_body() -> None:
    async def run(_: Any, __: Any, send: Any) -> None:
        await start(send)
        await asyncio.sleep(1)
        await go_on(send, b"")

    assert await _get(run) == (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", False)


async def test_head_has_the_length_of_the_answer_to_get() -> None:
    got, is_gone = await _get(lambda _, __, send: answer(send, b"abc"), ASK.replace(b"GET", b"HEAD"))
    assert (got, is_gone) == (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n", False)


# Applications that break the rules

ERROR = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


async def _raise(_: Any, __: Any, ___: Any) -> None:
    raise ValueError


async def _raise_after_start(_: Any, __: Any, send: Any) -> None:
    await start(send, (LENGTH, b"3"))
    raise ValueError


async def _raise_in_stream(_: Any, __: Any, send: Any) -> None:
    await start(send)
    await go_on(send, b"a", more=True)
    raise ValueError


async def _raise_after_all(_: Any, __: Any, send: Any) -> None:
    await answer(send, b"abc")
    raise ValueError


async def _say_nothing(_: Any, __: Any, ___: Any) -> None:
    pass


async def _say_half(_: Any, __: Any, send: Any) -> None:
    await start(send, (LENGTH, b"3"))
    await go_on(send, b"a", more=True)


async def _begin_by_the_body(_: Any, __: Any, send: Any) -> None:
    await go_on(send, b"a")


async def _begin_twice(_: Any, __: Any, send: Any) -> None:
    await start(send, (LENGTH, b"3"))
    with suppress(RuntimeError):
        await start(send, (LENGTH, b"4"))
    await go_on(send, b"abc")


async def _send_after_all(_: Any, __: Any, send: Any) -> None:
    await answer(send, b"abc")
    await go_on(send, b"d")


async def _send_what_is_none(_: Any, __: Any, send: Any) -> None:
    await send({"type": "websocket.accept"})


async def _too_long(_: Any, __: Any, send: Any) -> None:
    await start(send, (LENGTH, b"3"))
    await go_on(send, b"abcd")


async def _too_long_in_stream(_: Any, __: Any, send: Any) -> None:
    await start(send, (LENGTH, b"3"))
    await go_on(send, b"abcd", more=True)


async def _send_after_stream(_: Any, __: Any, send: Any) -> None:
    await start(send)
    await go_on(send, b"")
    await go_on(send, b"d")


async def _too_long_in_parts(_: Any, __: Any, send: Any) -> None:
    await start(send, (LENGTH, b"3"))
    await go_on(send, b"ab", more=True)
    await go_on(send, b"cd")


async def _too_short(_: Any, __: Any, send: Any) -> None:
    await start(send, (LENGTH, b"3"))
    await go_on(send, b"ab")


async def _break_a_line(_: Any, __: Any, send: Any) -> None:
    await start(send, (b"location", b"/\r\nset-cookie: a"))


async def _invent_a_status(_: Any, __: Any, send: Any) -> None:
    await start(send, status=999)


async def _cancel(_: Any, __: Any, ___: Any) -> None:
    raise asyncio.CancelledError


async def _cancel_in_stream(_: Any, __: Any, send: Any) -> None:
    await start(send)
    raise asyncio.CancelledError


WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc"
STREAM = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
PART = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n"


@pytest.mark.parametrize(
    ("run", "got", "ends"),
    [
        (_raise, ERROR, True),
        (_say_nothing, ERROR, True),
        (_begin_by_the_body, ERROR, True),
        (_send_what_is_none, ERROR, True),
        (_break_a_line, ERROR, True),
        (_invent_a_status, ERROR, True),
        (_raise_after_start, b"", True),
        (_begin_twice, WHOLE, False),
        (_too_long_in_stream, b"", True),
        (_send_after_stream, STREAM + b"0\r\n\r\n", False),
        (_too_long, b"", True),
        (_too_short, b"", True),
        (_raise_in_stream, STREAM + b"1\r\na\r\n", True),
        (_say_half, PART + b"a", True),
        (_too_long_in_parts, PART + b"ab", True),
        (_raise_after_all, WHOLE, False),
        (_send_after_all, WHOLE, False),
        (_cancel, b"", True),
        (_cancel_in_stream, STREAM, True),
    ],
)
async def test_application_that_breaks_the_rules_costs_no_more_than_its_answer(
    run: Run, got: bytes, *, ends: bool
) -> None:
    assert await _get(run) == (got, ends)


async def test_next_request_after_a_late_failure_is_answered() -> None:
    caller = call(App(_raise_after_all))
    caller.send(ASK + NEXT)
    await settle()
    assert [each.body for each in caller.answers("GET", "GET")] == [b"abc", b"/next"]


@pytest.mark.parametrize(
    "header", [(b"a", b"b\n"), (b"a", b"b\rc"), (b"a\r\n", b"b"), (b"a", b"\0"), (b"a\n", b"\r\nb")]
)
def test_header_with_an_end_of_line_is_refused(header: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match="line break"):
        write_head(200, [header])
