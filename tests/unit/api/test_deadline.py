"""The deadline of a whole request, in virtual time."""

import asyncio
from typing import Any

import pytest
from litestar.types import Message, Receive, Scope, Send

from app.api.context import CONTEXT, RequestContext
from app.api.middleware.deadline import RequestDeadline
from tests.support.virtual_time import monotonic

SECONDS = 30.0


class _World:
    """An application that reads its body, thinks, and answers in two pieces with a pause between; and its caller."""

    def __init__(self, *, body_after: float = 0.0, thinks: float = 0.0, pause: float = 0.0) -> None:
        self.body_after = body_after
        self.thinks = thinks
        self.pause = pause
        self.sent: list[Any] = []
        self.ended = ""

    async def app(self, _: Scope, receive: Receive, send: Send) -> None:
        try:
            await receive()
            await asyncio.sleep(self.thinks)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await asyncio.sleep(self.pause)
            await send({"type": "http.response.body", "body": b"x", "more_body": False})
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise
        self.ended = "well"

    async def ask(self) -> int:
        async def receive() -> Any:
            await asyncio.sleep(self.body_after)
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            self.sent.append(message)
            if message["type"] == "http.response.start":  # as the edge does
                context.begin(message["status"])

        context = RequestContext("r")
        scope: Any = {"type": "http", "path": "/v1/portfolio", "state": {CONTEXT: context}, "method": "GET"}
        await RequestDeadline(self.app, SECONDS)(scope, receive, send)
        return int(self.sent[0]["status"])


@pytest.mark.parametrize(
    ("world", "status", "ended"),
    [
        (_World(body_after=10, thinks=19), 200, "well"),
        (_World(thinks=29, pause=1000), 200, "well"),
        (_World(thinks=31), 504, "cancelled"),
        (_World(body_after=31), 408, "cancelled"),
        (_World(body_after=10, thinks=21), 504, "cancelled"),
    ],
    ids=["in time", "begun in time", "thinks too long", "body too slow", "too long in all"],
)
async def test_what_has_not_begun_to_be_answered_in_time_ends_with_a_problem(
    world: _World, status: int, ended: str
) -> None:
    assert (await world.ask(), world.ended) == (status, ended)
    assert world.sent[-1]["more_body"] is False
    if status != 200:
        assert monotonic() == pytest.approx(SECONDS)
        assert len(world.sent) == 2


async def test_a_timeout_of_the_application_itself_is_not_taken_for_ours() -> None:
    async def app(_: Scope, __: Receive, ___: Send) -> None:
        raise TimeoutError

    world = _World()
    world.app = app  # type: ignore[method-assign, assignment]
    with pytest.raises(TimeoutError):
        await world.ask()


async def test_what_begins_to_be_answered_while_it_is_cancelled_gets_no_second_answer() -> None:
    async def app(_: Scope, __: Receive, send: Send) -> None:
        try:
            await asyncio.sleep(31)
        finally:
            await send({"type": "http.response.start", "status": 200, "headers": []})

    world = _World()
    world.app = app  # type: ignore[method-assign, assignment]
    assert (await world.ask(), len(world.sent)) == (200, 1)
