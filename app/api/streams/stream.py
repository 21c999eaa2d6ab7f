"""One stream: what is pending for its reader, and the loop that writes it."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, Literal

import msgspec
import structlog
from litestar.types import Receive, Send
from msgspec import Struct

from app.accounts import Available
from app.api.requests.formats import StreamFormat
from app.api.streams.events import HEARTBEAT_SECONDS, End, EndReason, Synced, write_event
from app.api.streams.rights import StreamRights
from app.api.streams.scope import Scope
from app.api.streams.signal import Signal
from app.balances.snapshots import AccountId
from app.errors import TallygateError
from app.runtime import Runtime
from app.watch.positions import Position, Positions

STALL_SECONDS: Final = 30.0
_CHUNK_BYTES: Final = 64 * 1024
_LONGEST_RETRY_SECONDS: Final = 5

log = structlog.get_logger()


class StreamContext(Struct, frozen=True):
    """What all streams of a process share. `wake` lets a stream write soon, in its turn."""

    positions: Positions
    wake: Callable[["Stream"], None]
    runtime: Runtime


class StreamPlan(Struct, frozen=True):
    """What one stream begins with: its opening bytes, the accounts to show first, and where the reader was.

    `ends_at` is in monotonic seconds. `peer` is the address of the connection.
    """

    stream_format: StreamFormat
    opening: bytes
    first: Iterable[AccountId]
    position: Position | None
    ends_at: float
    peer: tuple[str, int] | None


class Stream:
    """Show the accounts of a scope to one reader.

    There is at most one pending event for an account, its newest, so memory is bounded however slow the reader is.
    """

    __slots__ = (
        "_context",
        "_end",
        "_heartbeat_at",
        "_is_last_written",
        "_is_synced",
        "_metrics",
        "_news",
        "_opening",
        "_pending",
        "_position",
        "_scope",
        "_sending_since",
        "_task",
        "ends_at",
        "peer",
        "rights",
        "stream_format",
    )

    def __init__(self, scope: Scope, rights: StreamRights, plan: StreamPlan, context: StreamContext) -> None:
        self._scope: Final = scope
        self.rights: Final = rights
        self._context: Final = context
        self._metrics: Final = context.runtime.metrics.watch
        self.stream_format: Final = plan.stream_format
        self.peer: Final = plan.peer
        self.ends_at: Final = plan.ends_at
        self._opening = plan.opening
        self._pending: Final[dict[AccountId, int]] = dict.fromkeys(plan.first, 0)
        self._position = plan.position
        self._is_synced = False
        self._heartbeat_at = self._context.runtime.monotonic() + HEARTBEAT_SECONDS
        self._news: Final = Signal()
        self._end: EndReason | Literal["left"] | None = None
        self._is_last_written = False
        self._sending_since: float | None = None
        self._task: asyncio.Task[None] | None = None
        self._news.set()

    def mark(self, account_id: AccountId, /) -> None:
        """Note that an account has changed."""
        skipped = self._pending.get(account_id)
        self._pending[account_id] = 0 if skipped is None else skipped + 1
        if skipped is not None:
            self._metrics.skipped.add()
        elif len(self._pending) == 1:
            self._context.wake(self)

    def forget(self, account_id: AccountId, /) -> None:
        """Note that an account is shown no longer."""
        self._pending.pop(account_id, None)

    def finish(self, reason: EndReason) -> None:
        """End the stream with a last event."""
        if self._end is None:
            self._end = reason
            self._news.set()

    def write_now(self) -> None:
        """Let the loop look for what is to be written."""
        self._news.set()

    def tick(self, now: float, unix_seconds: float) -> None:
        """Do what is due at a monotonic and a Unix time, both in seconds."""
        if self.rights.have_ended(unix_seconds):
            self.finish("expired")
        elif now >= self.ends_at:
            self.finish("lifetime")
        elif now >= self._heartbeat_at or not (self._is_synced and self.rights.are_current):
            self._news.set()

    def is_stalled(self, now: float) -> bool:
        """Return whether the reader has taken nothing for 30 s."""
        return self._sending_since is not None and now - self._sending_since >= STALL_SECONDS

    def cut(self) -> None:
        """End the stream without a last event: its reader takes none."""
        self._stop("slow")

    async def run(self, receive: Receive, send: Send) -> None:
        """Write until the stream ends, or the reader leaves. The head was sent."""
        self._task = asyncio.current_task()
        leaving = asyncio.create_task(self._wait_for_leave(receive))
        try:
            await self._write(send)
        except asyncio.CancelledError:
            if self._end not in {"left", "slow"} or self._task is None or self._task.uncancel():
                raise
        except Exception:
            self._end = "problem"
            log.exception("stream.crashed")
        finally:
            self._task = None
            leaving.cancel()
            self._metrics.ended.add(self._end or "left")

    async def _wait_for_leave(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._stop("left")

    def _stop(self, reason: Literal["left", "slow"]) -> None:
        if self._end is None or self._sending_since is not None:
            self._end = reason
            self._news.set()
            if self._sending_since is not None and self._task is not None:
                self._task.cancel()

    async def _write(self, send: Send) -> None:
        while True:
            await self._news.wait()
            while chunk := await self._compose():
                self._sending_since = self._context.runtime.monotonic()
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                self._sending_since = None
            if self._end is not None:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return

    async def _compose(self) -> bytes:
        """Return what is to be written next, nothing if that is all for now. The last event comes once."""
        if self._end is None and not self.rights.are_current:
            await self._renew()
        chunk = bytearray(self._opening)
        self._opening = b""
        if self._end is None:
            self._add_parts(chunk)
        if self._end is None and not self._pending:
            self._add_status(chunk)
        if self._end is not None and self._end != "left" and not self._is_last_written:
            self._add_end(chunk, self._end)
        return bytes(chunk)

    async def _renew(self) -> None:
        try:
            if not await self.rights.renew(self._scope.account_ids):
                has_ended = self.rights.have_ended(self._context.runtime.unix_ms() / 1000)
                self.finish("expired" if has_ended else "rights")
        except TallygateError:
            self.finish("problem")

    def _add_parts(self, chunk: bytearray) -> None:
        board, now = self._scope.board, self._context.runtime.unix_ms()
        while self._pending and len(chunk) < _CHUNK_BYTES:
            account_id = next(iter(self._pending))
            skipped = self._pending.pop(account_id)
            result = board.result(account_id)
            if result is None:  # it is marked again when it is known
                continue
            if not self.rights.may_read(account_id):
                self.finish("rights")
                return
            if self._position is not None and not board.is_fresh(account_id):  # or nobody would say when it is again
                self._position = Position(self._position.feed, all_fresh=False)
            self._add(chunk, "balances", board.text(account_id), self._seal(), skipped)
            if isinstance(result, Available):
                self._metrics.delay.observe(max(0, now - result.snapshot.as_of) / 1000)

    def _add_status(self, chunk: bytearray) -> None:
        now = self._context.runtime.monotonic()
        if not self._is_synced and self._scope.board.knows(self._scope.account_ids):
            self._is_synced = True
            self._move_on()
            self._add(chunk, "synced", msgspec.json.encode(Synced(self._scope.coverage())), self._seal())
        elif now >= self._heartbeat_at:
            if self._is_synced:
                self._move_on()
            self._add(chunk, "heartbeat", self._scope.heartbeat()[0], self._seal())
        else:
            return
        self._heartbeat_at = now + HEARTBEAT_SECONDS

    def _add_end(self, chunk: bytearray, reason: EndReason) -> None:
        seconds = 1 + int(self._context.runtime.random() * _LONGEST_RETRY_SECONDS)
        self._add(chunk, "end", msgspec.json.encode(End(reason, seconds)), None)
        self._is_last_written = True

    def _add(self, chunk: bytearray, name: str, data: bytes, cursor: str | None, skipped: int = 0) -> None:
        chunk += write_event(self.stream_format, name, data, cursor, skipped)
        self._metrics.events.add(name)

    def _seal(self) -> str:
        return self._context.positions.seal(self._position)

    def _move_on(self) -> None:
        """Note that the reader was shown all that this replica has heard."""
        heard = self._context.positions.heard()
        if heard is not None:
            self._position = Position(heard, self._scope.heartbeat()[1])
