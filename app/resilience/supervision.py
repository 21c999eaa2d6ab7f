"""Supervision of background tasks, which run as long as the service does."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final

import structlog
from msgspec import Struct

_PAUSE_SECONDS: Final = 1.0

Task = Callable[[], Awaitable[None]]
"""Work in the background: it runs until cancelled."""

log = structlog.get_logger()


async def _close_nothing() -> None:
    """There is nothing to close."""


class Part(Struct, frozen=True, kw_only=True):
    """A part of the service: what runs as long as the service does, and what closes the part after that."""

    tasks: Mapping[str, Task] = {}
    close: Callable[[], Awaitable[None]] = _close_nothing


@asynccontextmanager
async def running(parts: Iterable[Part]) -> AsyncIterator[None]:
    """Run the tasks of all parts while the context lasts, then close the parts, the last one first."""
    tasks: dict[str, Task] = {}
    async with AsyncExitStack() as stack:
        for part in parts:
            stack.push_async_callback(part.close)
            tasks |= part.tasks
        async with supervised(**tasks):
            yield


@asynccontextmanager
async def supervised(**tasks: Task) -> AsyncIterator[None]:
    """Run tasks by name while the context lasts. One that ends or fails, however it does, is logged and started again.

    Only `KeyboardInterrupt` ends the context: it is a person's wish to end the program.
    """
    async with asyncio.TaskGroup() as group:
        started = [group.create_task(_keep_running(name, task), name=name) for name, task in tasks.items()]
        try:
            yield
        finally:
            await _end(started)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel until all have ended, since `asyncio.wait_for` may swallow a cancellation before Python 3.12."""
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=_PAUSE_SECONDS)


async def _keep_running(name: str, task: Task) -> None:
    while True:
        error: BaseException | None = None
        try:
            await task()
        except BaseException as raised:  # no task may end in silence, nor end another one
            if _is_end(raised):
                raise
            error = raised
        _report(name, error)
        await asyncio.sleep(_PAUSE_SECONDS)


def _is_end(error: BaseException) -> bool:
    """Tell whether supervision ends: it is cancelled or closed, or a person interrupts the program.

    Any other error ends the task alone, `SystemExit` and a cancellation that nobody asked for included.
    """
    match error:
        case asyncio.CancelledError():
            current = asyncio.current_task()
            return current is None or current.cancelling() > 0
        case BaseExceptionGroup():
            return error.subgroup(KeyboardInterrupt) is not None
        case _:
            return isinstance(error, KeyboardInterrupt | GeneratorExit)


def _report(name: str, error: BaseException | None) -> None:
    with suppress(Exception):  # whatever the log does, the task restarts
        if error is None:
            log.error("task.ended", task=name)
        else:
            log.error("task.crashed", task=name, exc_info=error)
