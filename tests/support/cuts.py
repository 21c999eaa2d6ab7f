"""A walk of cuts in virtual time: one reader follows merchants while connections, replicas and Redis come and go."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any, Final

from fakeredis import FakeServer

from app.balances.snapshots import AccountId
from app.errors import Unreachable
from app.history.recording import HistoryOptions
from tests.support.live import LiveReplica
from tests.support.replica import Upstream
from tests.support.streams import Reader, open_stream
from tests.support.virtual_redis import virtual_redis_time

HISTORY: Final = HistoryOptions(keep_ms=604_800_000, max_bytes=1 << 28)
KEY: Final = (b"authorization", b"Bearer all")
MERCHANTS: Final = 3
TARGET: Final = "/v1/watch?merchantId=1,2,3&within=5"
QUIET_SECONDS: Final = 15
"""After how long without moves a reader must have the newest of each: an age, a load, and a lease of a killed replica."""

KINDS: Final = {"cut": 60, "drain": 18, "kill": 18, "flush": 2, "redis away": 2}


class Slot:
    """A place of the fleet. The replica in it is replaced by a new one after a drain or a kill.

    It always has another reader, so that merchants get stale and fresh while the one that is looked at is away.
    """

    def __init__(self, upstream: Upstream, server: FakeServer, history: HistoryOptions | None, name: str) -> None:
        self._upstream, self._server, self._history = upstream, server, history
        self._name, self._count = name, 0
        self._stack = AsyncExitStack()
        self.live: LiveReplica

    async def start(self) -> None:
        """Start a new replica."""
        self._count += 1
        name = f"{self._name}{self._count}"
        replica = LiveReplica(self._upstream, self._server, name, history=self._history)
        self.live = await self._stack.enter_async_context(replica.running())
        await self._stack.enter_async_context(open_stream(replica.app, TARGET, (KEY,)))

    async def end(self) -> None:
        """End the replica. Its streams, if it has any, get no last event."""
        await self._stack.aclose()


class Walk:
    """What happens to a fleet of two and to its reader, by chance. `newest` is the last event of each merchant."""

    def __init__(self, upstream: Upstream, random: Random, *, has_history: bool) -> None:
        self._upstream: Final = upstream
        self._random: Final = random
        self._server: Final = FakeServer()
        history = HISTORY if has_history else None
        self._slots: Final = [Slot(upstream, self._server, history, name) for name in "ab"]
        self._cursor: str | None = None
        self.newest: dict[int, Any] = {}
        self.done: Final = Counter[str]()

    async def run(self, cuts: int) -> None:
        """Walk through so many cuts, kills and drains. Raises `AssertionError` where an event is not the newest."""
        self._upstream.amounts.update({AccountId(str(number)): "1" for number in range(1, MERCHANTS + 1)})
        with virtual_redis_time():
            for slot in self._slots:
                await slot.start()
            try:
                while self.done["cut"] + self.done["drain"] + self.done["kill"] < cuts:
                    await self._step()
                    if self._random.random() < 0.3:
                        await self._check()
                await self._check()
            finally:
                for slot in self._slots:
                    await slot.end()

    async def _step(self) -> None:
        """Read for a while, in which merchants move, until something ends that."""
        slot = self._random.choice(self._slots)
        (kind,) = self._random.choices(list(KINDS), list(KINDS.values()))
        async with self._reading(slot) as reader:
            for _ in range(self._random.randrange(4)):
                self._move()
                if self._random.random() < 0.2:
                    reader.stop()
                await asyncio.sleep(self._random.choice([0.0, 0.01, 0.3, 3, 12]))
            await self._break(kind, slot)
        self.done[kind] += 1
        if kind in {"drain", "kill"}:
            await slot.end()
            await slot.start()

    async def _break(self, kind: str, slot: Slot) -> None:
        match kind:
            case "drain":
                slot.live.drain.begin()
                await asyncio.sleep(self._random.choice([0.1, 11]))
            case "flush":
                await slot.live.replica.redis_client.client.flushall()
            case "redis away":
                self._server.connected = False
                self._move()
                await asyncio.sleep(self._random.choice([1, 8]))
                self._server.connected = True

    def _move(self) -> None:
        account_id = AccountId(str(self._random.randrange(1, MERCHANTS + 1)))
        self._upstream.amounts[account_id] = str(self._random.randrange(10**6))
        self._upstream.crashes.clear()
        if self._random.random() < 0.25:
            self._upstream.crashes[account_id] = Unreachable("It is away.")

    async def _check(self) -> None:
        """Let a reader come again and wait until all is quiet: its last events must be the truth."""
        self._upstream.crashes.clear()
        async with self._reading(self._random.choice(self._slots)):
            await asyncio.sleep(QUIET_SECONDS)
        shown = {merchant: data["balances"][0]["total"] for merchant, data in self.newest.items()}
        assert shown == {int(account_id): amount for account_id, amount in self._upstream.amounts.items()}
        assert {data["status"] for data in self.newest.values()} == {"fresh"}
        self.done["checked"] += 1

    @asynccontextmanager
    async def _reading(self, slot: Slot) -> AsyncIterator[Reader]:
        headers = () if self._cursor is None else ((b"last-event-id", self._cursor.encode()),)
        async with open_stream(slot.live.app, TARGET, (KEY, *headers)) as reader:
            try:
                yield reader
            finally:
                self._take(reader)

    def _take(self, reader: Reader) -> None:
        """Keep what a client keeps of what it has read."""
        self.newest |= reader.newest()
        self._cursor = next((event.cursor for event in reversed(reader.events) if event.cursor), self._cursor)
        if reader.events:
            self.done[reader.events[0].data["resumed"]] += 1
