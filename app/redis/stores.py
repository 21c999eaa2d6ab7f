"""Background stores: a result goes to Redis while those who waited for it are answered."""

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any, Final

import structlog

from app.balances.snapshots import AccountId

log = structlog.get_logger()


class Stores:
    """Own the tasks that store what was loaded and release its lease.

    An account has one at a time: who loads it again waits for that one.
    """

    def __init__(self) -> None:
        self._tasks: Final[dict[AccountId, asyncio.Task[None]]] = {}

    def start(self, account_id: AccountId, storing: Coroutine[Any, Any, None]) -> None:
        """Store in the background. The account must have no other store under way."""
        task = asyncio.create_task(storing, name=f"store:{account_id}")
        self._tasks[account_id] = task
        task.add_done_callback(partial(self._forget, account_id))

    async def wait(self, account_id: AccountId) -> None:
        """Wait until an account's last result is stored, or could not be. May be cancelled: the store goes on."""
        if (task := self._tasks.get(account_id)) is not None:
            await asyncio.wait([task])

    async def wait_for_all(self) -> None:
        """Wait until all that was loaded until now is stored, or could not be: at most a few commands' time-outs."""
        if self._tasks:
            await asyncio.wait([*self._tasks.values()])

    def _forget(self, account_id: AccountId, task: asyncio.Task[None]) -> None:
        del self._tasks[account_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("cache.store_crashed", key=account_id, exc_info=error)
