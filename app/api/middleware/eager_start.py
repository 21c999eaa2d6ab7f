"""Eager request start: the first step of a request runs when its task is asked for, not in the task's own turn.

A hot read waits for nothing. It ends within that step and needs no task (docs/decisions/0023-eager-request-start.md).
"""

import asyncio
import types
from collections.abc import Coroutine, Generator
from typing import Any, Final

_BLOCKING: Final = "_asyncio_future_blocking"
"""asyncio's mark of a future that a task is about to wait for. Set twice, it is an error; a task unsets it."""


class _FinishedTask(asyncio.Future[None]):
    """The task of every request that has ended in its first step."""

    def set_name(self, _: object) -> None:
        """Ignore the name, since all these requests share one task."""


class _Begun(Coroutine[Any, Any, Any]):
    """A coroutine whose first step waits for a future. Its task first waits for that future, as if it had begun it."""

    def __init__(self, steps: Any, waits_for: "asyncio.Future[Any]") -> None:
        self._steps: Final = steps
        self._waits_for: asyncio.Future[Any] | None = waits_for
        setattr(waits_for, _BLOCKING, False)

    def send(self, value: Any) -> Any:
        waits_for, self._waits_for = self._waits_for, None
        if waits_for is None or waits_for.done():
            return self._steps.send(value)
        return next(iter(waits_for.__await__()))

    def throw(self, *error: Any) -> Any:
        if self._waits_for is not None:  # cancelled before the task's first step
            self._waits_for.cancel()
            self._waits_for = None
        return self._steps.throw(*error)

    def close(self) -> None:
        self._steps.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        raise NotImplementedError("only a task runs it")


def start_requests_eagerly(loop: asyncio.AbstractEventLoop, request_coroutine: str) -> None:
    """Run the first step of each coroutine named `request_coroutine` when `loop` is asked for its task.

    A coroutine that ends in that step gets no task of its own. Any other one gets a task, which first waits for what
    the step waits for. The step has no current task: code that needs one first awaits `ensure_task`.
    """
    finished: Final = _FinishedTask(loop=loop)
    finished.set_result(None)

    def make_task(loop: asyncio.AbstractEventLoop, steps: Any, **options: Any) -> asyncio.Future[Any]:
        if getattr(steps, "__name__", None) == request_coroutine:
            first = next(steps.__await__(), finished)
            if first is finished:
                return finished
            if asyncio.isfuture(first):
                steps = _Begun(steps, first)
        return asyncio.Task(steps, loop=loop, **options)

    loop.set_task_factory(make_task)


@types.coroutine
def _pause() -> Generator[None]:
    yield


async def ensure_task() -> None:
    """Continue in a task, immediately if this is one."""
    if asyncio.current_task() is None:
        await _pause()
