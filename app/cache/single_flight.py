"""Single flight: one task loads an account, however many callers wait for it."""

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
    """A load under way and its permit request. Await it shielded, so that no cancelled caller ends it for others."""

    task: asyncio.Task[T]
    permit_request: PermitRequest


class SingleFlight(Generic[T]):
    """Own the tasks that load. They run to their end whether or not a caller still waits; `close` cancels them."""

    def __init__(self) -> None:
        self._flights: Final[dict[AccountId, Flight[T]]] = {}

    def join(
        self,
        account_id: AccountId,
        permit_request: PermitRequest,
        load: Callable[[PermitRequest], Coroutine[Any, Any, T]],
    ) -> tuple[asyncio.Task[T], bool]:
        """Return the task that loads an account, started by `load` if there is none, and whether it was under way.

        One that is under way becomes as urgent as the permit request.
        """
        flight = self._flights.get(account_id)
        if flight is not None and not flight.task.done():
            flight.permit_request.escalate(permit_request)
            return flight.task, True
        task = asyncio.create_task(load(permit_request), name=f"flight:{account_id}")
        self._flights[account_id] = Flight(task, permit_request)
        task.add_done_callback(lambda done: self._forget(account_id, done))
        return task, False

    def under_way(self, account_id: AccountId) -> asyncio.Task[T] | None:
        """Return the task that loads an account, None if there is none."""
        flight = self._flights.get(account_id)
        return None if flight is None or flight.task.done() else flight.task

    def _forget(self, account_id: AccountId, task: asyncio.Task[T]) -> None:
        if self._flights[account_id].task is task:
            del self._flights[account_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("cache.flight_crashed", key=account_id, exc_info=error)

    async def close(self) -> None:
        """Cancel the tasks that are under way, and wait until they have ended."""
        tasks = [flight.task for flight in self._flights.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
