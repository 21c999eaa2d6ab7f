"""A program that follows the feed of changes while replicas are killed and Redis suffers: each change once, or it is told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any

import pytest

from sandbox import Sandbox
from tests.support.feed_follower import FeedFollower, Mover, run_beside
from tests.support.gateway import TOKEN, Gateway, free_port, run_gateway
from tests.support.valkey import Valkey, run_valkey

KILLS = 3


class Stage:
    """Gateways that come and go over one Redis, with a program that moves merchants and one that follows the feed."""

    def __init__(self, upstream: Sandbox, valkey: Valkey, folder: Path, stack: AsyncExitStack) -> None:
        self.gateways: list[Gateway] = []
        self.upstream = upstream
        self.valkey = valkey
        self.mover = Mover(upstream, self.gateways, Random(1))
        self.follower = FeedFollower(self.gateways, Random(2))
        self._folder = folder
        self._stack = stack

    async def start(self) -> None:
        settings: dict[str, Any] = {"redis_url": self.valkey.url, "redis_timeout_seconds": 2}
        self.gateways.append(
            await self._stack.enter_async_context(run_gateway(self.upstream, self._folder, **settings))
        )

    async def kill(self) -> None:
        gateway = self.gateways.pop(0)
        gateway.process.kill()
        await gateway.ended()

    async def told(self, more: int = 20) -> None:
        """Wait until the follower was told so many changes more."""
        wanted = len(self.follower.told) + more
        await self.follower.until(lambda: len(self.follower.told) >= wanted)

    async def told_end(self) -> None:
        """Wait until the follower was told of one more end."""
        before = self.follower.ends.total()
        await self.follower.until(lambda: self.follower.ends.total() > before)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with (
        Sandbox(token=TOKEN) as upstream,
        run_valkey(free_port()) as valkey,
        AsyncExitStack() as stack,
    ):
        staged = Stage(upstream, valkey, tmp_path, stack)
        await asyncio.gather(staged.start(), staged.start())
        yield staged


async def test_replicas_killed_at_any_point_leave_no_change_twice_and_none_out(stage: Stage) -> None:
    async def kill() -> None:
        for _ in range(KILLS):
            await stage.told()
            await stage.kill()
            await stage.start()

    await run_beside(stage.mover, stage.follower, kill)
    assert (stage.follower.twice, stage.follower.missing) == ([], [])
    assert not stage.follower.ends
    assert set(stage.mover.statuses) <= {200}


async def test_what_befalls_redis_is_told_and_nothing_is_invented(stage: Stage) -> None:
    valkey = stage.valkey

    async def empty() -> None:
        await stage.told()
        await valkey.ask("FLUSHALL")
        await stage.told_end()

    async def come_back_older() -> None:
        await stage.told()
        await valkey.ask("SAVE")
        await stage.told()
        await valkey.kill()
        await valkey.start()
        await stage.told_end()
        await stage.told()

    async def fill() -> None:
        await stage.told()
        await valkey.ask("CONFIG", "SET", "maxmemory", "1")
        await stage.gateways[0].logged("redis.refuses")
        await valkey.ask("CONFIG", "SET", "maxmemory", "0")
        await stage.told()

    for disturb in (fill, empty, come_back_older):
        await run_beside(stage.mover, stage.follower, disturb)
        assert (stage.follower.twice, stage.follower.missing) == ([], []), disturb
    assert set(stage.follower.ends) <= {"/problems/feed-gone", "incomplete"}
    assert stage.follower.ends["/problems/feed-gone"] == 2
    assert set(stage.mover.statuses) == {200}
