"""Tasks that run as long as the service does."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import structlog

_PAUSE_SECONDS: Final = 1.0

log = structlog.get_logger()


@asynccontextmanager
async def supervised(**works: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
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


async def _keep_running(name: str, work: Callable[[], Awaitable[None]]) -> None:
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
