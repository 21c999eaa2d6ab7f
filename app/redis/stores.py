"""Background stores: results go to Redis together, shortly after those who waited for them are answered."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Final

import structlog

from app.balances.snapshots import AccountId

_GATHER_SECONDS: Final = 0.002
"""Readers are answered meanwhile, and what begins together finds the processor's caches warm."""

log = structlog.get_logger()


class Stores:
    """Own the tasks that store what was loaded and release its lease. Those of 2 ms begin together.

    An account has one at a time: who loads it again waits for that one. A task that is awaited begins immediately.
    """

    def __init__(self) -> None:
        self._tasks: Final[dict[AccountId, asyncio.Task[None]]] = {}
        self._turn: asyncio.Event | None = None

    def start(self, account_id: AccountId, store: Callable[[], Awaitable[None]]) -> None:
        """Store in the background. The account must have no other store under way."""
        task = asyncio.create_task(self._store(store), name=f"store:{account_id}")
        self._tasks[account_id] = task
        task.add_done_callback(partial(self._forget, account_id))

    async def wait(self, account_id: AccountId) -> None:
        """Wait until an account's last result is stored, or could not be. May be cancelled: the store goes on."""
        if (task := self._tasks.get(account_id)) is not None:
            self._begin_turn()
            await asyncio.wait([task])

    async def wait_for_all(self) -> None:
        """Wait until all that was loaded until now is stored, or could not be: at most a few commands' time-outs."""
        if self._tasks:
            self._begin_turn()
            await asyncio.wait([*self._tasks.values()])

    async def _store(self, store: Callable[[], Awaitable[None]]) -> None:
        await self._join_turn()
        await store()

    def _join_turn(self) -> Coroutine[Any, Any, Any]:
        if self._turn is None or self._turn.is_set():
            self._turn = asyncio.Event()
            asyncio.get_running_loop().call_later(_GATHER_SECONDS, self._turn.set)
        return self._turn.wait()

    def _begin_turn(self) -> None:
        if self._turn is not None:
            self._turn.set()

    def _forget(self, account_id: AccountId, task: asyncio.Task[None]) -> None:
        del self._tasks[account_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("cache.store_crashed", key=account_id, exc_info=error)
