"""Script batching: scripts submitted in one iteration of the event loop go to Redis in one round trip."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from redis.exceptions import NoScriptError

from app.redis.client import RedisClient, RedisFailure
from app.redis.pipe import Pipe, can_be_piped, open_pipe, pack_command
from app.redis.results import WrongShape
from app.redis.scripts import Script, ScriptCall, encode_batch, group_calls, make_mark, run_batch, split_answer

_MAX_BATCH: Final = 100
"""The scripts of a batch: more could take as long as a command's time-out."""

_Pending = tuple[ScriptCall, asyncio.Future[Any]]


class ScriptBatcher:
    """Run many scripts in one round trip (to each node of a cluster). To its caller, each is a command of its own.

    Each script is atomic. Between two of them, Redis may run commands of other clients. The first batch goes redis-py's
    way, and then opens a pipe to one server for those that follow. With traces on there is no pipe, since its batches have no span.
    """

    def __init__(self, redis_client: RedisClient) -> None:
        self._redis_client: Final = redis_client
        self._waiting: list[_Pending] = []
        self._under_way: Final[set[asyncio.Task[None]]] = set()
        self._pipe: Pipe | None = None
        self._is_opening = False

    def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> asyncio.Future[Any | RedisFailure]:
        """Have a script run, and return a future of its result as it was read. No error of Redis is raised from it.

        The future may be cancelled: the script runs nevertheless.
        """
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._flush)
        result = loop.create_future()
        self._waiting.append((ScriptCall(script, keys, arguments), result))
        return result

    @property
    def sends_at_once(self) -> bool:
        """Whether a script leaves within the loop iteration after its submission, as through a pipe."""
        return self._usable_pipe() is not None

    async def close(self) -> None:
        """Wait until all batches are answered, at most twice a command's time-out."""
        while self._waiting or self._under_way:
            await asyncio.gather(asyncio.sleep(0), *self._under_way)
        if self._pipe is not None:
            await self._pipe.drain()

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), _MAX_BATCH):
            batch = waiting[start : start + _MAX_BATCH]
            if (pipe := self._usable_pipe()) is not None:
                self._send_through(pipe, batch)
            else:
                self._start(batch)

    def _usable_pipe(self) -> Pipe | None:
        """Return the pipe, if it is open and belongs to the present client. redis-py closes that of a former one."""
        pipe = self._pipe
        is_usable = pipe is not None and pipe.client is self._redis_client.client and pipe.is_open
        return pipe if is_usable and self._redis_client.available else None

    def _start(self, batch: list[_Pending]) -> None:
        task = asyncio.create_task(self._send_batch(batch))
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
            self._settle(batch, found)
        if isinstance(found, list) and self._usable_pipe() is None:
            await self._open_pipe()

    async def _open_pipe(self) -> None:
        client = self._redis_client.client
        if self._is_opening or self._redis_client.traces.are_on or not can_be_piped(client):
            return
        self._is_opening = True
        try:
            if self._pipe is not None and self._pipe.client is client:
                await self._pipe.release()
            self._pipe = None
            opened = await self._redis_client.execute(
                lambda: open_pipe(client, self._redis_client.timeout_seconds), lambda pipe: pipe, commands=0
            )
            self._pipe = opened if isinstance(opened, Pipe) else None
        finally:
            self._is_opening = False

    def _send_through(self, pipe: Pipe, batch: list[_Pending]) -> None:
        calls = [call for call, _ in batch]
        marked: list[tuple[bytes, list[_Pending]]] = []
        packed: list[bytes] = []
        for group in group_calls(calls, separately=False):
            mark = make_mark()
            marked.append((mark, [batch[index] for index in group]))
            packed.append(pack_command(*encode_batch(calls, group, mark)))
        pipe.send(b"".join(packed), len(packed), partial(self._on_answers, pipe, marked))

    def _on_answers(
        self, pipe: Pipe, marked: list[tuple[bytes, list[_Pending]]], answers: list[Any] | Exception
    ) -> None:
        """Settle each batch by its answer. One that is another batch's closes the pipe: all that follow may be shifted."""
        each = [answers] * len(marked) if isinstance(answers, Exception) else answers
        for (mark, batch), answer in zip(marked, each, strict=True):
            if isinstance(answer, NoScriptError):
                self._start(batch)
                continue
            found: list[Any] | Exception
            try:
                found = split_answer(answer, len(batch), mark)
            except WrongShape as error:
                pipe.abort(error)
                found = error
            self._settle(batch, self._redis_client.read_answer(found, list, len(batch)))

    def _settle(self, batch: list[_Pending], found: list[Any] | RedisFailure) -> None:
        each = [found] * len(batch) if isinstance(found, RedisFailure) else found
        for (call, result), one in zip(batch, each, strict=True):
            classified = self._redis_client.classify(one, call.script.read, writes=call.script.writes)
            if not result.done():
                result.set_result(classified)
