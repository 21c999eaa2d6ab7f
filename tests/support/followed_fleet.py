"""Gateways that come and go over one Redis, beside a program that moves merchants and one that follows the feed."""

from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any

from sandbox import Sandbox
from tests.support.feed_follower import FeedFollower, Mover
from tests.support.gateway import Gateway, run_gateway
from tests.support.valkey import Valkey


class Stage:
    """A fleet, its Redis, and what can befall both while `mover` and `follower` go on."""

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

    async def replace_one(self) -> None:
        """Kill the oldest gateway in the middle of everything, and start another one."""
        await self.told()
        await self.kill()
        await self.start()

    async def empty(self) -> None:
        """Have Redis lose everything."""
        await self.told()
        ends = self.follower.ends.total()
        await self.valkey.ask("FLUSHALL")
        await self.told_end_after(ends)

    async def come_back_older(self) -> None:
        """Kill Redis, and start it with what it had saved some changes before."""
        await self.told()
        await self.valkey.ask("SAVE")
        await self.told()
        ends = self.follower.ends.total()
        await self.valkey.kill()
        await self.valkey.start()
        await self.told_end_after(ends)
        await self.told()

    async def fill(self) -> None:
        """Have Redis refuse to write for a moment."""
        before = len(self.gateways[0].named("redis.refuses"))
        await self.told()
        await self.valkey.ask("CONFIG", "SET", "maxmemory", "1")
        await self.gateways[0].logged("redis.refuses", before + 1)
        await self.valkey.ask("CONFIG", "SET", "maxmemory", "0")
        await self.told()

    async def told(self, more: int = 20) -> None:
        """Wait until the follower was told so many changes more."""
        wanted = len(self.follower.told) + more
        await self.follower.until(lambda: len(self.follower.told) >= wanted)

    async def told_end_after(self, ends: int) -> None:
        """Wait until the follower was told of more ends than so many."""
        await self.follower.until(lambda: self.follower.ends.total() > ends)
