"""Single flight: for one key, one task works, however many wait for it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

import structlog
from msgspec import Struct

from app.balances.snapshots import Key
from app.budget.budget import Errand

T = TypeVar("T")

log = structlog.get_logger()


class Flight(Struct, Generic[T]):
    """A task under way, and what it is for. Wait for it shielded: cancelling a caller must not end it for others."""

    task: asyncio.Task[T]
    errand: Errand


class Flights(Generic[T]):
    """Own the tasks that load. They run to their end whether or not anybody still waits; `close` ends them."""

    def __init__(self) -> None:
        self._flights: Final[dict[Key, Flight[T]]] = {}

    def board(
        self, key: Key, errand: Errand, load: Callable[[Errand], Coroutine[Any, Any, T]]
    ) -> tuple[asyncio.Task[T], bool]:
        """Give the task that loads a key, started with `load` if there is none, and tell whether it was under way.

        One that is under way becomes as urgent as the errand.
        """
        flight = self._flights.get(key)
        if flight is not None and not flight.task.done():
            flight.errand.serve(errand)
            return flight.task, True
        task = asyncio.create_task(load(errand), name=f"flight:{key}")
        self._flights[key] = Flight(task, errand)
        task.add_done_callback(lambda done: self._land(key, done))
        return task, False

    def _land(self, key: Key, task: asyncio.Task[T]) -> None:
        if self._flights[key].task is task:
            del self._flights[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("cache.flight_crashed", key=key, exc_info=error)

    async def close(self) -> None:
        """Cancel what is in the air and wait until it is down."""
        tasks = [flight.task for flight in self._flights.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
