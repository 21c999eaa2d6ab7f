"""Single flight: for one key, one task works, however many wait for it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

import structlog
from msgspec import Struct

from app.balances.snapshots import AccountId
from app.budget.budget import PermitRequest

T = TypeVar("T")

log = structlog.get_logger()


class Flight(Struct, Generic[T]):
    """A task under way, and what it is for. Wait for it shielded: cancelling a caller must not end it for others."""

    task: asyncio.Task[T]
    permit_request: PermitRequest


class SingleFlight(Generic[T]):
    """Own the tasks that load. They run to their end whether or not anybody still waits; `close` ends them."""

    def __init__(self) -> None:
        self._single_flight: Final[dict[AccountId, Flight[T]]] = {}

    def join(
        self, key: AccountId, permit_request: PermitRequest, load: Callable[[PermitRequest], Coroutine[Any, Any, T]]
    ) -> tuple[asyncio.Task[T], bool]:
        """Give the task that loads a key, started with `load` if there is none, and tell whether it was under way.

        One that is under way becomes as urgent as the errand.
        """
        flight = self._single_flight.get(key)
        if flight is not None and not flight.task.done():
            flight.permit_request.escalate(permit_request)
            return flight.task, True
        task = asyncio.create_task(load(permit_request), name=f"flight:{key}")
        self._single_flight[key] = Flight(task, permit_request)
        task.add_done_callback(lambda done: self._forget(key, done))
        return task, False

    def _forget(self, key: AccountId, task: asyncio.Task[T]) -> None:
        if self._single_flight[key].task is task:
            del self._single_flight[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("cache.flight_crashed", key=key, exc_info=error)

    async def close(self) -> None:
        """Cancel what is in the air and wait until it is down."""
        tasks = [flight.task for flight in self._single_flight.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
