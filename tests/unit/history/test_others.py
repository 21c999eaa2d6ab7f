"""Readers with few rights: whether others move or not, all that they are told is the same, and comes at the same moment."""

import asyncio
from collections.abc import Iterable
from typing import Any

from fakeredis import FakeServer
from msgspec import to_builtins

from app.balances.snapshots import AccountId, Snapshot
from app.errors import HistoryGone
from app.history.following import Following, News
from app.history.past import Past, Window
from app.history.recording import HistoryOptions, Look
from app.runtime import Runtime
from tests.support.replica import Replica, Upstream, run_replicas
from tests.support.virtual_time import VirtualLoop, monotonic, unix_ms

MINE = (AccountId("5"), AccountId("7"))
OTHERS = AccountId("6")
OPTIONS = HistoryOptions(keep_ms=20_000, max_bytes=10**9)


async def look(replica: Replica, key: AccountId, amount: int) -> None:
    found = Snapshot(key, unix_ms(), can_deposit=bool(amount % 2), balances=())
    await replica.tier.store_and_release(found, look=Look(found.as_of - 1))


class Reader:
    """A caller that reads two accounts, and all that it is told but for cursors, which are opaque."""

    def __init__(self, one: Replica) -> None:
        self.past = Past(one.shared, one.feed, lambda: unix_ms() - OPTIONS.keep_ms)
        self.news = News(one.feed, lambda: False)
        self.following = Following(
            one.feed, self.past, self.news, OPTIONS, Runtime(unix_ms=unix_ms), longest_wait_seconds=20
        )
        self.told: list[Any] = []
        self._after: str | None = None

    async def follow(self, wait_seconds: float) -> None:
        followed = await self.following.read(MINE, MINE.__contains__, self._after, 3, wait_seconds)
        shown = to_builtins(followed)
        self.told.append({**shown, "next": len(shown["next"]), "came": monotonic()})
        self._after = followed.next

    async def read_past(self) -> None:
        for key in MINE:
            page = await self.past.changes(key, Window(), None, 100)
            self.told.append({**to_builtins(page), "came": monotonic()})
            for back_ms in (1_000, 15_000, 25_000, 40_000):
                await self.ask(key, unix_ms() - back_ms)

    async def ask(self, key: AccountId, moment: int) -> None:
        try:
            self.told.append(to_builtins(await self.past.at(key, moment)))
        except HistoryGone as error:
            self.told.append((error.kept_from_ms, monotonic()))


async def live(server: FakeServer, moves_of_others: Iterable[float]) -> list[Any]:
    """Move the reader's accounts at set times, and others' at some, and give all that the reader was told."""
    async with run_replicas(Upstream(), server, 1, history=OPTIONS) as (one,):
        reader = Reader(one)

        async def move_others() -> None:
            for number, moment in enumerate(moves_of_others):
                await asyncio.sleep(moment - monotonic())
                await look(one, OTHERS, number)

        tasks = [asyncio.create_task(reader.news.keep_looking()), asyncio.create_task(move_others())]
        for key in MINE:
            await look(one, key, 1)
        await reader.follow(0)
        for number in range(12):
            await look(one, MINE[number % 2], number // 2)
            await reader.follow(3)
            await reader.follow(3 if number % 3 else 0)
            await reader.read_past()
        for task in tasks:
            task.cancel()
        return reader.told


def test_nothing_tells_a_reader_that_others_move() -> None:
    calm, busy = (run(()), run([1 + number * 0.37 for number in range(90)]))
    assert len(calm) > 40
    assert busy == calm


def run(moves_of_others: Iterable[float]) -> list[Any]:
    """Live in a world of its own, whose time begins with it."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(live(FakeServer(), moves_of_others))
