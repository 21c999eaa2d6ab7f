"""Chases: looks at an account that has moved, until its content differs. One replica chases an account for all."""

import asyncio
from typing import Final

from app.balances.snapshots import AccountId, Entry
from app.budget.budget import PermitRequest, Priority
from app.cache.freshness import RequestDirectives
from app.cache.replica import Replica
from app.history.recording import has_same_content
from app.redis import lua, lua_shared
from app.redis.client import RedisFailure
from app.redis.results import read_flag
from app.redis.scripts import SingleScript, make_single, run_single
from app.redis.shared import Shared
from app.runtime import Runtime

LOOKS_SECONDS: Final = (0, 2, 5, 15, 60)
"""When a chase looks, after its beginning."""

MAX_CHASES: Final = 10_000
_LEASE_MS: Final = 15_000
_RENEW_SECONDS: Final = 5
_PATIENCE_SECONDS: Final = 20
_HEARD_SECONDS: Final = 0.25
_PAUSE_SECONDS: Final = 2


class Chases:
    """Chase accounts for the fleet, at the priority of refreshes: at most five calls for a chase.

    An account that moves again meanwhile is chased again, no sooner than two seconds after the last look.
    """

    def __init__(self, replica: Replica, shared: Shared, runtime: Runtime) -> None:
        self._memory: Final = replica.memory
        self._moves: Final = replica.loader.moves
        self._loads: Final = replica.cache.loads
        self._redis_client: Final = shared.client
        self._key_prefix: Final = shared.key_prefix
        self._replica_id: Final = shared.replica_id
        self._metrics: Final = runtime.metrics
        self._now_ms: Final = runtime.unix_ms
        self._monotonic: Final = runtime.monotonic
        self._renew: Final = make_single(lua.RENEW_LEASE)
        self._release: Final = make_single(lua_shared.RELEASE_LEASE)
        self._held: Final[set[AccountId]] = set()
        self._tasks: Final[dict[AccountId, asyncio.Task[None]]] = {}

    def start(self, account_id: AccountId) -> None:
        """Start the chase of an account, unless one runs here or at another replica, which goes on then."""
        if account_id in self._tasks or len(self._tasks) >= MAX_CHASES:
            return
        task = asyncio.create_task(self._keep_chasing(account_id), name=f"chase:{account_id}")
        self._tasks[account_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(account_id, None))

    async def close(self) -> None:
        """Cancel all chases."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def renew_leases(self) -> None:
        """Renew the leases of the chases that run here, until cancelled. If we die, they end within 15 seconds."""
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            for account_id in list(self._held):
                await self._run(self._renew, account_id, [_LEASE_MS])

    async def _keep_chasing(self, account_id: AccountId) -> None:
        while await self._acquire(account_id) or await self._take_over(account_id):
            self._moves.watch(account_id)
            try:
                await self._chase(account_id)
            finally:
                await self._give_back(account_id)
                # another replica that marks a move before the lease is free leaves it to this one
                await asyncio.sleep(_HEARD_SECONDS)
                has_moved_again = self._moves.unwatch(account_id)
            if not has_moved_again:
                return
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _chase(self, account_id: AccountId) -> None:
        """Look until the content differs from what is known now. Where another look has shown that, make no call."""
        known, began = self._memory.peek(account_id), self._monotonic()
        for seconds in LOOKS_SECONDS:
            await asyncio.sleep(max(began + seconds - self._monotonic(), 0))
            if self._differs(account_id, known):
                break
            directives = RequestDirectives(received_at=self._now_ms(), max_age_ms=0)
            self._metrics.chase_looks.add()
            await self._loads.wait({account_id: directives}, PermitRequest(Priority.REFRESH), _PATIENCE_SECONDS)
            if self._differs(account_id, known):
                break
            known = known or self._memory.peek(account_id)
        else:
            self._metrics.chases.add("unchanged")
            return
        self._metrics.chases.add("changed")

    def _differs(self, account_id: AccountId, known: Entry | None) -> bool:
        kept = self._memory.peek(account_id)
        return kept is not None and known is not None and not kept.is_moved and not has_same_content(kept, known)

    async def _acquire(self, account_id: AccountId) -> bool:
        """Take the lease of a chase. Without Redis each replica chases by itself."""
        client, name = self._redis_client.client, self._name(account_id)
        taken = await self._redis_client.execute(
            lambda: client.set(name, self._replica_id, nx=True, px=_LEASE_MS), bool
        )
        is_ours = isinstance(taken, RedisFailure) or taken
        if is_ours:
            self._held.add(account_id)
        return is_ours

    async def _take_over(self, account_id: AccountId) -> bool:
        """Take the lease of a chaser that has died. One that lives has renewed it, or looked since the move."""
        await asyncio.sleep(_LEASE_MS / 1000 + _HEARD_SECONDS)
        kept = self._memory.peek(account_id)
        return (kept is None or kept.is_moved) and await self._acquire(account_id)

    async def _give_back(self, account_id: AccountId) -> None:
        self._held.discard(account_id)
        await self._run(self._release, account_id, [])

    async def _run(self, script: SingleScript, account_id: AccountId, arguments: list[int]) -> None:
        client, keys = self._redis_client.client, [self._name(account_id)]
        words = [self._replica_id, *arguments]
        await self._redis_client.execute(lambda: run_single(client, script, keys, words), read_flag)

    def _name(self, account_id: AccountId) -> str:
        return f"{self._key_prefix}:{{{account_id}}}:chase"
