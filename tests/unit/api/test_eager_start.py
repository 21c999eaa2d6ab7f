"""Eager start: the first step of a request runs before its task, which only a request that waits gets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextvars import ContextVar, copy_context
from typing import Any

import pytest
from granian._futures import _future_watcher_wrapper
from granian.asgi import _callback_wrapper

from app.api.middleware.eager_start import ensure_task, start_requests_eagerly
from app.server.granian_internals import REQUEST_COROUTINE
from tests.support.virtual_time import VIRTUAL_TIME

_make_steps: Any = _future_watcher_wrapper
_as_asgi: Any = _callback_wrapper
App = Callable[[object, object], Awaitable[None]]
PATIENCE_SECONDS = 10
TIMES = pytest.mark.parametrize("late", [False, True], ids=["before its task runs", "later"])


@pytest.fixture(params=[VIRTUAL_TIME, ("asyncio", {"use_uvloop": True})], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    backend: tuple[str, dict[str, object]] = request.param
    return backend


@pytest.fixture
async def loop() -> AsyncIterator[asyncio.AbstractEventLoop]:
    loop = asyncio.get_running_loop()
    start_requests_eagerly(loop, REQUEST_COROUTINE)
    yield loop
    loop.set_task_factory(None)


class Watcher:
    """What the server gives with a request, and learns its end by."""

    def __init__(self, proto: object) -> None:
        self.scope: dict[str, object] = {"type": "http"}
        self.proto = proto
        self.told: list[object] = []

    def done(self) -> None:
        self.told.append("done")

    def err(self, error: BaseException) -> None:
        self.told.append(type(error))


class Buffer:
    """A client's buffer of one message: `send` waits until that was read."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self._messages: asyncio.Queue[str] = asyncio.Queue(1)

    async def send(self, message: str) -> None:
        await self._messages.put(message)

    async def receive(self) -> None:
        raise NotImplementedError

    async def read_all(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            for _ in range(count):
                self.read.append(await self._messages.get())


async def ended(*tasks: "asyncio.Future[Any]") -> None:
    """Wait until all of them have ended."""
    _, pending = await asyncio.wait(tasks, timeout=PATIENCE_SECONDS)
    assert not pending


async def hand_over(
    loop: asyncio.AbstractEventLoop,
    app: App,
    proto: object = None,
    then: Callable[["asyncio.Future[Any]"], object] = bool,
) -> tuple["asyncio.Future[Any]", list[object], list[object]]:
    """Have a task made by a callback, as the server does, and `then` called with it before it runs.

    Give the task, and what was told by then and later.
    """
    given: asyncio.Future[tuple[asyncio.Future[Any], list[object], list[object]]] = loop.create_future()

    def make() -> None:
        watcher = Watcher(proto)
        task = loop.create_task(_make_steps(app)(watcher), name="a request")
        given.set_result((task, list(watcher.told), watcher.told))
        then(task)

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
    await ended(task)
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


@pytest.mark.parametrize("messages", [2, 5])
async def test_a_response_that_waits_for_its_client_in_the_first_step_is_sent_whole(
    loop: asyncio.AbstractEventLoop, messages: int
) -> None:
    async def app(_: object, __: object, send: Callable[[str], Awaitable[None]]) -> None:
        for number in range(messages):
            await send(str(number))

    buffer = Buffer()
    task, told, later = await hand_over(loop, _as_asgi(app, {}, {}), buffer)
    assert told == []
    await asyncio.sleep(0)
    assert later == []
    await buffer.read_all(messages)
    await ended(task)
    assert (buffer.read, later) == ([str(number) for number in range(messages)], ["done"])


async def test_a_response_to_a_client_that_goes_away_while_the_first_step_waits_is_cancelled(
    loop: asyncio.AbstractEventLoop,
) -> None:
    async def app(_: object, __: object, send: Callable[[str], Awaitable[None]]) -> None:
        await send("first")
        await send("second")

    buffer = Buffer()
    task, _, later = await hand_over(loop, _as_asgi(app, {}, {}), buffer)
    await asyncio.sleep(0)
    task.cancel()
    await ended(task)
    await buffer.read_all(1)
    assert (buffer.read, later) == (["first"], [asyncio.CancelledError])


async def test_a_first_step_that_gives_way_goes_on_in_its_task(loop: asyncio.AbstractEventLoop) -> None:
    seen: list[object] = []

    async def app(_: object, __: object) -> None:
        await asyncio.sleep(0)
        seen.append(asyncio.current_task())
        await asyncio.sleep(0.001)

    task, _, later = await hand_over(loop, app)
    await ended(task)
    assert (seen, later) == ([task], ["done"])


@TIMES
async def test_what_a_first_step_waits_for_gives_it_its_result_or_error(
    loop: asyncio.AbstractEventLoop, late: bool
) -> None:
    results: list[object] = []
    future: asyncio.Future[str] = loop.create_future()
    broken: asyncio.Future[str] = loop.create_future()

    async def app(_: object, __: object) -> None:
        results.append(await future)

    async def failing(_: object, __: object) -> None:
        await broken

    def end(_: object) -> None:
        future.set_result("a result")
        broken.set_exception(LookupError())

    other, _, of_other = await hand_over(loop, failing)
    task, _, later = await hand_over(loop, app, then=bool if late else end)
    if late:
        end(task)
    await ended(task, other)
    assert (results, later, of_other) == (["a result"], ["done"], [LookupError])


@TIMES
async def test_a_request_cancelled_while_its_first_step_waits_may_clean_up(
    loop: asyncio.AbstractEventLoop, late: bool
) -> None:
    seen: list[object] = []
    future: asyncio.Future[None] = loop.create_future()

    async def app(_: object, __: object) -> None:
        try:
            await future
        finally:
            await asyncio.sleep(0)
            seen.append(asyncio.current_task())

    def cancel(task: "asyncio.Future[Any]") -> None:
        assert task.cancel()

    task, _, later = await hand_over(loop, app, then=bool if late else cancel)
    if late:
        cancel(task)
    await ended(task)
    assert (seen, later) == ([task], [asyncio.CancelledError])
    assert future.cancelled()


async def test_a_cancellation_that_comes_after_the_result_counts(loop: asyncio.AbstractEventLoop) -> None:
    future: asyncio.Future[None] = loop.create_future()

    async def app(_: object, __: object) -> None:
        await future
        raise AssertionError("not cancelled")

    task, _, later = await hand_over(loop, app)
    await asyncio.sleep(0)
    future.set_result(None)
    task.cancel()
    await ended(task)
    assert later == [asyncio.CancelledError]


async def test_many_first_steps_may_wait_for_the_same(loop: asyncio.AbstractEventLoop) -> None:
    future: asyncio.Future[None] = loop.create_future()

    async def app(_: object, __: object) -> None:
        await future

    async def other() -> None:
        await future

    given: list[tuple[asyncio.Future[Any], list[object]]] = []

    def make(proto: object) -> None:
        watcher = Watcher(proto)
        given.append((loop.create_task(_make_steps(app)(watcher)), watcher.told))

    others = [asyncio.ensure_future(other())]
    for number in range(3):
        loop.call_soon(make, number)
        others.append(asyncio.ensure_future(other()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    future.set_result(None)
    await ended(*(task for task, _ in given), *others)
    assert [told for _, told in given] == [["done"]] * 3
    assert not [one for one in others if one.exception()]
