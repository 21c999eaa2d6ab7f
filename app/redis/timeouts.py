"""Timeouts and errors of commands: cancellation that is not lost, and time that our own work does not use up."""

import asyncio
from collections.abc import Awaitable
from types import TracebackType
from typing import Final, TypeVar

T = TypeVar("T")

_STEPS: Final = 4


async def honouring_cancellation(command: Awaitable[T]) -> T:
    """Await a command. Raises `CancelledError` even if the command swallowed it (`asyncio.wait_for` before 3.12)."""
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    result = await command
    if task and task.cancelling() > before:
        raise asyncio.CancelledError
    return result


async def catching(command: Awaitable[T]) -> T | Exception:
    """Await a command, and return what it returned or raised. Raises only what ends the task, such as cancellation."""
    try:
        return await command
    except BaseException as error:
        if isinstance(error, Exception):
            return error
        raise


class RedisTrouble(Exception):
    """Whatever redis-py raised, which is its cause and whose class is its text."""


async def translating(command: Awaitable[T]) -> T:
    """Await a call of redis-py. Raises `RedisTrouble`, or `CancelledError` even if the call swallowed it."""
    found = await catching(honouring_cancellation(command))
    if isinstance(found, Exception):
        raise RedisTrouble(type(found).__name__) from found
    return found


class LoopAwareTimeout:
    """A timeout that mostly ignores time during which our own event loop was blocked. Raises `TimeoutError`.

    It passes in steps, and a blocked loop delays only one. Otherwise a burst of our own work, while the answer waited
    to be read, would look like an outage of Redis.
    """

    __slots__ = ("_scope", "_seconds", "_step", "_steps_left")

    def __init__(self, seconds: float) -> None:
        self._seconds: Final = seconds / _STEPS
        self._steps_left = _STEPS
        self._scope: Final = asyncio.timeout(None)
        self._step: asyncio.TimerHandle

    async def __aenter__(self) -> None:
        await self._scope.__aenter__()
        self._take_step()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._step.cancel()
        await self._scope.__aexit__(kind, error, trace)

    def _take_step(self) -> None:
        loop = asyncio.get_running_loop()
        if self._steps_left == 0:
            self._scope.reschedule(loop.time())
        else:
            self._steps_left -= 1
            self._step = loop.call_later(self._seconds, self._take_step)
