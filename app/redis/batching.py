"""Script batching: scripts submitted in one iteration of the event loop go to Redis in one round trip."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from app.redis.client import RedisClient, RedisFailure
from app.redis.scripts import Script, ScriptCall, run_batch

_MAX_BATCH: Final = 100
"""The scripts of a batch: more could take as long as a command's time-out."""

_Pending = tuple[ScriptCall, asyncio.Future[Any]]


class ScriptBatcher:
    """Run many scripts in one round trip (to each node of a cluster). To its caller, each is a command of its own.

    Each script is atomic. Between two of them, Redis may run commands of other clients.
    """

    def __init__(self, redis_client: RedisClient) -> None:
        self._redis_client: Final = redis_client
        self._waiting: list[_Pending] = []
        self._under_way: Final[set[asyncio.Task[None]]] = set()

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any | RedisFailure:
        """Run a script, and return its result as it was read. Never raises errors of Redis or the network.

        May be cancelled: the script runs nevertheless.
        """
        return await self.submit(script, keys, arguments)

    def submit(
        self, script: Script, keys: Sequence[str], arguments: Sequence[Any]
    ) -> asyncio.Future[Any | RedisFailure]:
        """Submit a script, and return a future of its result. Use it instead of `run` to send many."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._flush)
        result = loop.create_future()
        self._waiting.append((ScriptCall(script, keys, arguments), result))
        return result

    async def close(self) -> None:
        """Wait until all batches are answered, at most a command's time-out."""
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
                lambda: run_batch(self._redis_client.client, calls), list, commands=len(calls)
            )
        finally:  # whatever happens, each caller gets a result
            each = [found] * len(calls) if isinstance(found, RedisFailure) else found
            for (call, result), one in zip(batch, each, strict=True):
                classified = self._redis_client.classify(one, call.script.read, writes=call.script.writes)
                if not result.done():
                    result.set_result(classified)
