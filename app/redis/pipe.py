"""Pipelined connection to one server: commands are written as they come, and answers are matched in their order."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import hiredis
from redis._parsers import BaseParser
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import InvalidResponse, ResponseError

from app.redis.connections import AnyRedis
from app.redis.pool import WRITER

_STEPS: Final = 4
_ABANDONED_STEPS: Final = _STEPS + 1
_CLOSED_STEPS: Final = 2 * _STEPS + 1
"""Time passes in steps, as in `LoopAwareTimeout`. The first one has begun before a command is sent."""

_MAX_WAITING: Final = 1000
"""What waits in the pipe is written, and kept in memory, however slow the server is."""

NOTHING: Final = object()
"""What a reader gives while it has no whole answer."""

_PACK: Final[Any] = hiredis.pack_command  # its type says that a command has one word

OnAnswers = Callable[[list[Any] | Exception], None]
"""Takes an answer for each command, some of which may be a `ResponseError`, or why there are none."""


class _Sent:
    """Commands that were sent together. Without `on_answers`, their answers are discarded."""

    __slots__ = ("answers", "count", "on_answers", "step")

    def __init__(self, count: int, on_answers: OnAnswers, step: int) -> None:
        self.answers: Final[list[Any]] = []
        self.count: Final = count
        self.on_answers: OnAnswers | None = on_answers
        self.step: Final = step


class Pipe(asyncio.Protocol):
    """Take over a connection that redis-py has opened, with its TLS, login and database.

    Commands without answers after `timeout_seconds` fail alone, and the pipe discards their late answers. After twice
    that time it closes, and all commands fail.
    """

    def __init__(self, client: Any, connection: Any, timeout_seconds: float) -> None:
        self.client: Final = client
        self._connection: Final = connection
        self._seconds: Final = timeout_seconds / _STEPS
        self._sent: Final[deque[_Sent]] = deque()
        self._step = 0
        self._timer: asyncio.TimerHandle | None = None
        self._reader: Final = make_reader()
        self._transport: Final = getattr(connection, WRITER).transport
        self._former: Final = self._transport.get_protocol()
        self._transport.set_protocol(self)

    @property
    def is_open(self) -> bool:
        """Whether commands can be sent."""
        return not self._transport.is_closing()

    def send(self, packed: bytes, count: int, on_answers: OnAnswers) -> None:
        """Send so many commands as they are on the wire. `on_answers` is called once, and must not raise.

        While 1,000 others wait, nothing is sent, and `on_answers` gets a `TimeoutError`.
        """
        if len(self._sent) >= _MAX_WAITING:
            on_answers(TimeoutError())
            return
        self._sent.append(_Sent(count, on_answers, self._step))
        self._transport.write(packed)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._take_step)

    async def drain(self) -> None:
        """Wait until all that was sent before is answered or has failed. May be cancelled."""
        if self.is_open:
            answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.send(pack_command("PING"), 1, lambda _: None if answered.done() else answered.set_result(None))
            await answered

    async def release(self) -> None:
        """Close the connection, and give it back to redis-py's pool."""
        self.abort(NoConnection("the pipe is closed"))
        await self._connection.disconnect(nowait=True)
        await self.client.connection_pool.release(self._connection)

    def data_received(self, data: bytes) -> None:
        """Match the answers in `data` with what was sent."""
        try:
            self._reader.feed(data)
            while self.is_open and (answer := self._reader.gets()) is not NOTHING:
                self._on_answer(answer)
        except (InvalidResponse, ValueError) as error:  # no RESP, or no UTF-8 in an error
            self.abort(error)

    def connection_lost(self, error: Exception | None) -> None:
        """Fail what has no answer. redis-py waits for its own protocol to learn of the end."""
        self.abort(NoConnection("the connection was lost"))
        self._former.connection_lost(error)

    def _on_answer(self, answer: Any) -> None:
        if isinstance(answer, Exception) and not isinstance(answer, ResponseError):
            self.abort(answer)
            return
        if not self._sent:
            self.abort(InvalidResponse("an answer that nobody waits for"))
            return
        sent = self._sent[0]
        sent.answers.append(answer)
        if len(sent.answers) == sent.count:
            self._sent.popleft()
            if sent.on_answers is not None:
                sent.on_answers(sent.answers)

    def _take_step(self) -> None:
        self._step += 1
        self._timer = None
        if not self._sent:
            return
        if self._step - self._sent[0].step >= _CLOSED_STEPS:
            self.abort(TimeoutError())
            return
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._take_step)
        for sent in [sent for sent in self._sent if self._step - sent.step >= _ABANDONED_STEPS]:
            on_answers, sent.on_answers = sent.on_answers, None
            if on_answers is not None:
                on_answers(TimeoutError())

    def abort(self, error: Exception) -> None:
        """Close the connection, and fail all that have no answer with this error."""
        self._transport.abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        failed = [sent.on_answers for sent in self._sent]
        self._sent.clear()
        for on_answers in failed:
            if on_answers is not None:
                on_answers(error)


def can_be_piped(client: AnyRedis) -> bool:
    """Say whether a client is of one server, and not to be used in redis-py's own way."""
    return type(client) is Redis


async def open_pipe(client: Any, timeout_seconds: float) -> Pipe:
    """Open a pipe by a connection of the client's pool. Raises what redis-py raises."""
    return Pipe(client, await client.connection_pool.get_connection(), timeout_seconds)


def make_reader() -> hiredis.Reader:
    """Make a reader of answers. It gives `NOTHING` for a part of one, and raises `InvalidResponse` for other bytes."""
    return hiredis.Reader(protocolError=InvalidResponse, replyError=BaseParser.parse_error, notEnoughData=NOTHING)


def pack_command(*words: str | bytes | float) -> bytes:
    """Encode a command for the wire (RESP)."""
    packed: bytes = _PACK(words)
    return packed
