"""The first step of a request is taken at once, and only what has to wait becomes a task."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextvars import ContextVar, copy_context
from typing import Any

import pytest
from granian._futures import _future_watcher_wrapper

from app.api.middleware.eager_start import ensure_task, start_requests_eagerly

_make_steps: Any = _future_watcher_wrapper
App = Callable[[object, object], Awaitable[None]]


@pytest.fixture
async def loop() -> AsyncIterator[asyncio.AbstractEventLoop]:
    loop = asyncio.get_running_loop()
    start_requests_eagerly(loop)
    yield loop
    loop.set_task_factory(None)


class Watcher:
    """What the server gives with a request, and is told by how that ended."""

    scope = proto = None

    def __init__(self) -> None:
        self.told: list[object] = []

    def done(self) -> None:
        self.told.append("done")

    def err(self, error: BaseException) -> None:
        self.told.append(type(error))


async def hand_over(
    loop: asyncio.AbstractEventLoop, app: App
) -> tuple["asyncio.Future[Any]", list[object], list[object]]:
    """Have a task made as the server does, by a callback: give that, and what was told by then and later."""
    given: asyncio.Future[tuple[asyncio.Future[Any], list[object], list[object]]] = loop.create_future()

    def make() -> None:
        watcher = Watcher()
        task = loop.create_task(_make_steps(app)(watcher), name="a request")
        given.set_result((task, list(watcher.told), watcher.told))

    loop.call_soon(make)
    return await given


async def test_a_request_that_waits_for_nothing_has_ended_when_its_task_is_to_be_made(
    loop: asyncio.AbstractEventLoop,
) -> None:
    async def app(_: object, __: object) -> None:
        assert asyncio.current_task() is None

    task, told, _ = await hand_over(loop, app)
    assert told == ["done"]
    assert task.done()
    assert not task.cancel()


async def test_a_request_that_fails_in_its_first_step_tells_so(loop: asyncio.AbstractEventLoop) -> None:
    async def app(_: object, __: object) -> None:
        raise LookupError

    _, told, _ = await hand_over(loop, app)
    assert told == [LookupError]


async def test_a_request_that_has_to_wait_goes_on_as_the_task_that_the_server_got(
    loop: asyncio.AbstractEventLoop,
) -> None:
    seen: list[object] = []

    async def app(_: object, __: object) -> None:
        seen.append(asyncio.current_task())
        await ensure_task()
        seen.append(asyncio.current_task())
        async with asyncio.timeout(3600):
            await loop.create_future()

    task, told, later = await hand_over(loop, app)
    await asyncio.sleep(0)
    assert (seen, told) == ([None, task], [])
    task.cancel()
    await asyncio.wait([task])
    assert later == [asyncio.CancelledError]


async def test_any_other_task_begins_in_its_turn(loop: asyncio.AbstractEventLoop) -> None:
    seen: list[object] = []

    async def other() -> str:
        seen.append(asyncio.current_task())
        loop.call_soon(seen.append, "a turn later")
        await ensure_task()
        seen.append("the same turn")
        return word.get()

    word, context = ContextVar[str]("word"), copy_context()
    context.run(word.set, "its own")
    task = loop.create_task(other(), name="named", context=context)
    assert seen == []
    assert await task == "its own"
    assert seen == [task, "the same turn", "a turn later"]
    assert task.get_name() == "named"


async def test_what_steps_without_a_name_becomes_a_task_too(loop: asyncio.AbstractEventLoop) -> None:
    class Nameless(Coroutine[Any, Any, str]):
        def send(self, _: object) -> None:
            raise StopIteration("all of it")

        def throw(self, *_: object) -> None:
            raise NotImplementedError

        def close(self) -> None:
            raise NotImplementedError

        def __await__(self) -> Generator[Any, Any, str]:
            raise NotImplementedError

    assert await loop.create_task(Nameless()) == "all of it"
