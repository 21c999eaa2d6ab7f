"""A program that follows `/v1/changes` through whatever befalls the service, and notes each promise that is broken."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import httpx

from sandbox import Sandbox
from tests.support.gateway import PATIENCE_SECONDS, Gateway
from tests.support.rows import row

MERCHANTS = range(701, 709)
_PAUSE_SECONDS = 0.02


class FeedFollower:
    """Follow the feed at any of the gateways that there are at the moment.

    `twice` and `missing` name accounts, epochs and numbers; `ends` counts what was said of ends, by problem.
    """

    def __init__(self, gateways: Sequence[Gateway], random: Random) -> None:
        self.twice: list[tuple[int, str, int]] = []
        self.missing: list[tuple[int, str, int]] = []
        self.ends: Counter[str] = Counter()
        self.newest: dict[int, str] = {}
        self.told: set[tuple[int, str, int]] = set()
        self._gateways = gateways
        self._random = random
        self._after: str | None = None
        self._last: dict[tuple[int, str], int] = {}
        self._news = asyncio.Condition()

    async def follow(self) -> None:
        """Read on until cancelled."""
        while True:
            await self.read()
            async with self._news:
                self._news.notify_all()
            await asyncio.sleep(_PAUSE_SECONDS)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds while `follow` goes on."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._news:
            await self._news.wait_for(holds)

    async def read(self) -> bool:
        """Read once. Return whether that gave changes."""
        after = "" if self._after is None else f"&after={self._after}"
        try:
            answer = await self._random.choice(self._gateways).get(f"/v1/changes?merchantId=all&limit=50{after}")
        except (httpx.HTTPError, IndexError):
            return False
        if answer.status_code == 410:
            self._end(answer.json()["type"])
            return True
        if answer.status_code != 200:
            return False
        page = answer.json()
        if not page["complete"]:
            self._end("incomplete")
        self._after = page["next"]
        for change in page["changes"]:
            self._take(change)
        return bool(page["changes"])

    def _end(self, why: str) -> None:
        self.ends[why] += 1
        self._last.clear()
        if why != "incomplete":
            self._after = None

    def _take(self, change: dict[str, Any]) -> None:
        merchant, epoch, sequence = change["merchantId"], change["epoch"], change["sequence"]
        mark = (merchant, epoch, sequence)
        if mark in self.told:
            self.twice.append(mark)
        last = self._last.get((merchant, epoch))
        if sequence != (last + 1 if last is not None else 0) and not (last is None and self.ends):
            self.missing.append(mark)
        self.told.add(mark)
        self._last[(merchant, epoch)] = sequence
        for changed in change["rows"]:
            if "after" in changed:
                self.newest[merchant] = changed["after"]["total"]


class Mover:
    """Move merchants, each time to an amount that none had before, and have each move looked at."""

    def __init__(self, upstream: Sandbox, gateways: Sequence[Gateway], random: Random) -> None:
        self.amounts: dict[int, str] = {}
        self.statuses: Counter[int] = Counter()
        self._upstream = upstream
        self._gateways = gateways
        self._random = random
        self._next = 0

    async def move(self) -> None:
        """Move each merchant once. A gateway that is killed meanwhile answers nothing, which is its right."""
        for merchant in MERCHANTS:
            self._next += 1
            self.amounts[merchant] = str(self._next)
            self._upstream.world.set(merchant, [row(str(self._next), str(self._next), "0", asset="USDT")])
        await asyncio.gather(*(self._look(merchant) for merchant in MERCHANTS))

    async def keep_moving(self) -> None:
        """Move until cancelled."""
        while True:
            await self.move()
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _look(self, merchant: int) -> None:
        try:
            gateway = self._random.choice(self._gateways)
            answer = await gateway.get(f"/v1/merchants/{merchant}/balances", Cache_Control="no-cache")
        except (httpx.HTTPError, IndexError):
            return
        self.statuses[answer.status_code] += 1


async def run_beside(mover: Mover, follower: FeedFollower, disturb: Callable[[], Any]) -> None:
    """Move and follow while something is disturbed. Then follow until all is told, which a first look is not."""
    tasks = [asyncio.create_task(mover.keep_moving()), asyncio.create_task(follower.follow())]
    try:
        await disturb()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while follower.newest != mover.amounts:
            if not await follower.read():
                await mover.move()
