"""Convoys: scripts that are asked for in one turn of the event loop travel to Redis together, in one round trip."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from app.redis.client import RedisClient, RedisFailure
from app.redis.scripts import Script, ScriptCall, run_batch

_MAX_BATCH: Final = 100
"""How many travel together at most: more of them could take as long as a command may."""

_Pending = tuple[ScriptCall, asyncio.Future[Any]]


class ScriptBatcher:
    """Run scripts over `link`, many in one round trip (to each node of a cluster). To whoever asks, each is a command of its own.

    Each is still run at one stroke; between two of them, Redis may run what others send, as ever.
    """

    def __init__(self, redis_client: RedisClient) -> None:
        self._redis_client: Final = redis_client
        self._waiting: list[_Pending] = []
        self._under_way: Final[set[asyncio.Task[None]]] = set()

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any | RedisFailure:
        """Run a script, and give what it gave.

        Never raises what Redis or the network may raise. May be cancelled: the script is run all the same.
        """
        return await self.submit(script, keys, arguments)

    def submit(
        self, script: Script, keys: Sequence[str], arguments: Sequence[Any]
    ) -> asyncio.Future[Any | RedisFailure]:
        """Send a script, and give what will tell what it gave. As `run`, but for those who send many."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._flush)
        result = loop.create_future()
        self._waiting.append((ScriptCall(script, keys, arguments), result))
        return result

    async def close(self) -> None:
        """Wait until what is under way has arrived, which takes no longer than a command may."""
        while self._waiting or self._under_way:
            await asyncio.gather(asyncio.sleep(0), *self._under_way)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), _MAX_BATCH):
            task = asyncio.create_task(self._send_batch(waiting[start : start + _MAX_BATCH]))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _send_batch(self, batch: list[_Pending]) -> None:
        calls = [call for call, _ in batch]
        found: list[Any] | RedisFailure = RedisFailure.UNAVAILABLE
        try:
            found = await self._redis_client.execute(
                lambda: run_batch(self._redis_client.client, calls), commands=len(calls)
            )
        finally:  # whatever happens, nobody waits for ever
            each = [found] * len(calls) if isinstance(found, RedisFailure) else found
            for (call, result), one in zip(batch, each, strict=True):
                judged = self._redis_client.classify(one, writes=call.script.writes)
                if not result.done():
                    result.set_result(judged)
