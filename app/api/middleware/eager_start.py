"""The first step of a request: taken as the server hands it over, not when its task has its turn.

The server makes a task for each request, and a task begins in the loop's next turn, which comes after all else that waits
for the loop. A hot read never waits for anything, and so needs no task: it ends within its first step
(docs/decisions/0023-eager-request-start.md).
"""

import asyncio
import types
from collections.abc import Generator
from typing import Any, Final

_OF_THE_SERVER: Final = "future_watcher"
"""What granian calls the coroutine that it makes of a request. By another name it would be made a task at once, as ever."""


class _FinishedTask(asyncio.Future[None]):
    """Stands for the tasks of requests that have ended."""

    def set_name(self, _: object) -> None:
        """Take no name: there is one for all of them."""


def start_requests_eagerly(loop: asyncio.AbstractEventLoop) -> None:
    """Take the first step of each request when the server asks `loop` for its task, and make that only if it did not end there.

    Such a step has no current task. Before it waits for anything, or runs what might ask for one, it awaits `as_task`.
    """
    ended: Final = _FinishedTask(loop=loop)
    ended.set_result(None)

    def make_task(loop: asyncio.AbstractEventLoop, steps: Any, **options: Any) -> asyncio.Future[Any]:
        if getattr(steps, "__name__", None) == _OF_THE_SERVER and next(steps.__await__(), ended) is ended:
            return ended
        return asyncio.Task(steps, loop=loop, **options)

    loop.set_task_factory(make_task)


@types.coroutine
def _pause() -> Generator[None]:
    yield


async def ensure_task() -> None:
    """Go on as a task, at once where this is one."""
    if asyncio.current_task() is None:
        await _pause()
