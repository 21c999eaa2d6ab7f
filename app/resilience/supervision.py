"""Tasks that run as long as the service does."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
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
async def supervised(**works: Task) -> AsyncIterator[None]:
    """Run works by name while the context lasts. One that ends or fails is logged and started again."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_keep_running(name, work), name=name) for name, work in works.items()]
        try:
            yield
        finally:
            await _end(tasks)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel until all have ended: one may miss it (until Python 3.12, `asyncio.wait_for` swallows some)."""
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=_PAUSE_SECONDS)


async def _keep_running(name: str, work: Task) -> None:
    while True:
        try:
            await work()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            log.exception("task.crashed", task=name)
        except Exception:  # whatever it was: it must not end in silence
            log.exception("task.crashed", task=name)
        else:
            log.error("task.ended", task=name)
        await asyncio.sleep(_PAUSE_SECONDS)
