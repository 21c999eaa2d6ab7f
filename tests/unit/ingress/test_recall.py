"""Recall: a request of bytes that were answered before is answered by them, only where nothing else is under way."""

from typing import Any

import pytest

from app.ingress.application import Answer
from tests.support.answering import App, answer
from tests.support.caller import HIGH_WATER_BYTES, Caller, call, listen, settle

HOT = b"GET /now HTTP/1.1\r\nHost: x\r\n\r\n"
COLD = b"GET /cold HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /post HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"


class AnyMethod(App):
    """Answer whatever is offered immediately, and know its bytes."""

    def answer_now(self, scope: Any, request: bytes | None) -> Answer | None:
        return super().answer_now({**scope, "raw_path": b"/now", "method": "GET"}, request)


async def test_the_same_bytes_are_recalled_and_answered_alike() -> None:
    app = App()
    caller = call(app)
    caller.send(HOT, HOT, HOT)
    assert [each.way for each in app.seen] == ["now", "recalled", "recalled"]
    first, second, third = caller.answers("GET", "GET", "GET")
    assert first.body == second.body == third.body == b"/now"


async def test_other_connection_recalls_them_too() -> None:
    app = App()
    listener = listen(app)
    Caller(listener).send(HOT)
    Caller(listener).send(HOT)
    assert [each.way for each in app.seen] == ["now", "recalled"]


async def test_pair_in_one_read_is_offered_without_its_bytes() -> None:
    app = App()
    caller = call(app)
    caller.send(HOT + HOT, HOT + HOT, HOT + COLD)
    await settle()
    assert app.offered == [None] * 6
    assert [each.way for each in app.seen] == ["now"] * 5 + ["run"]


async def test_request_with_a_part_of_the_next_is_offered_without_its_bytes() -> None:
    for place in range(1, len(HOT)):
        app = App()
        caller = call(app)
        caller.send(HOT + HOT[:place], HOT[place:], HOT + HOT[:place], HOT[place:])
        assert app.offered == [None] * 4, place


async def test_request_in_two_reads_is_offered_without_its_bytes() -> None:
    for place in range(1, len(HOT)):
        app = App()
        call(app).send(HOT[:place], HOT[place:])
        assert app.offered == [None], place


async def test_rest_of_a_request_is_never_recalled() -> None:
    """The second read of this one has the bytes of a request that is known: they are its body, or its head's end."""
    app = App()
    listener = listen(app)
    Caller(listener).send(HOT)
    head = b"POST /post HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(HOT)
    caller = Caller(listener)
    caller.send(head, HOT)
    await settle()
    assert [(each.way, each.body) for each in app.seen] == [("now", b""), ("run", HOT)]
    other = Caller(listener)
    other.send(b"GET /a HTTP/1.1\r\nHost: x\r\nA: ", HOT)
    assert [each.way for each in app.seen] == ["now", "run"]


async def test_request_after_the_end_of_another_is_offered_without_bytes() -> None:
    """A read begins in the middle of a request: what it has is no whole request."""
    app = App()
    caller = call(app)
    caller.send(COLD[:9], COLD[9:] + HOT, POST[:-1])
    await settle()
    caller.send(POST[-1:] + HOT)
    await settle()
    assert [each.way for each in app.seen] == ["run", "now", "run", "now"]
    assert app.offered == [None] * 3


async def test_head_without_its_body_is_offered_without_bytes() -> None:
    app = AnyMethod()
    caller = call(app)
    caller.send(POST[:-4], POST[-4:], POST[:-2], POST[-2:])
    await settle()
    assert app.offered == []


async def test_request_with_its_body_is_offered_and_recalled_whole() -> None:
    app = AnyMethod()
    caller = call(app)
    caller.send(POST, POST, POST[:-1] + b"!")
    assert app.offered == [POST, POST[:-1] + b"!"]
    assert [each.way for each in app.seen] == ["now", "recalled", "now"]


async def test_nothing_is_recalled_while_another_is_answered() -> None:
    app = App()
    listener = listen(app)
    Caller(listener).send(HOT)
    caller = Caller(listener)
    caller.send(COLD, HOT)
    assert app.asked == [HOT, COLD]
    await settle()
    assert [each.body for each in caller.answers("GET", "GET")] == [b"/cold", b"/now"]
    assert app.offered[-1] is None
    caller.send(HOT)
    assert [each.way for each in app.seen] == ["now", "run", "now", "recalled"]


async def test_nothing_is_recalled_after_a_refusal_or_a_last_answer() -> None:
    app = App()
    listener = listen(app)
    Caller(listener).send(HOT)
    refused, last, ended = (Caller(listener) for _ in range(3))
    refused.send(b"NONSENSE\r\n\r\n")
    last.send(COLD.replace(b"Host", b"Connection: close\r\nHost"), HOT)
    ended.send(COLD)
    ended.end()
    count = len(app.asked)
    refused.send(HOT)
    last.send(HOT)
    await settle()
    assert len(app.asked) == count
    assert app.targets == [b"/now", b"/cold", b"/cold"]


async def test_nothing_is_recalled_while_the_caller_takes_nothing() -> None:
    big = b"x" * (HIGH_WATER_BYTES + 1)

    async def run(_: Any, __: Any, send: Any) -> None:
        await answer(send, big)

    app = App(run)
    caller = call(app)
    caller.send(HOT)
    caller.stop_taking()
    caller.send(COLD)
    await settle()
    caller.send(HOT)
    await settle()
    assert [each.way for each in app.seen] == ["now", "run"]
    assert app.asked == [HOT, COLD]
    caller.take_on()
    assert [each.body for each in caller.answers("GET", "GET", "GET")] == [b"/now", big, b"/now"]
    caller.send(HOT)
    assert [each.way for each in app.seen] == ["now", "run", "now", "recalled"]


async def test_recalled_answers_wait_for_a_caller_that_takes_nothing() -> None:
    app = App()
    caller = call(app)
    caller.send(HOT)
    caller.stop_taking()
    caller.send(*[HOT] * 2000)
    asked = len(app.asked)
    assert asked < 2000
    caller.take_on()
    await settle()
    assert len(caller.answers(*["GET"] * 2001)) == 2001
    assert len(app.asked) == 2001 - 1


@pytest.mark.parametrize("line", [b"Connection: close\r\n", b"Connection: x, Close\r\n"])
async def test_last_request_of_a_connection_is_not_offered(line: bytes) -> None:
    """Its answer says that the connection ends."""
    app = App()
    caller = call(app)
    caller.send(HOT.replace(b"Host", line + b"Host"))
    await settle()
    assert app.offered == []
    assert caller.is_gone


async def test_empty_lines_around_a_request_belong_to_it() -> None:
    """RFC 9112, 2.2: a server ignores an empty line before a request."""
    app = App()
    caller = call(app)
    caller.send(b"\r\n" + HOT, HOT + b"\r\n", b"\r", b"\n" + HOT, HOT)
    assert [each.way for each in app.seen] == ["now"] * 4
    caller.send(b"\r\n" + HOT, HOT + b"\r\n", HOT)
    assert [each.way for each in app.seen] == ["now"] * 4 + ["recalled"] * 3
    assert len(caller.answers(*["GET"] * 7)) == 7
