"""`GET /v1/watch`: opens a stream for a request, or refuses it with a problem."""

from collections.abc import Callable, Sequence
from typing import Final, Literal

import msgspec
from litestar.types import HTTPScope, Receive, Send
from msgspec import UNSET, Struct
from msgspec.structs import replace

from app.access.callers import ALL, Caller, Callers, authorise
from app.accounts import AccountResult, Available
from app.api.context import RequestContext, context_of, render_refusal, send_reply
from app.api.reads.admission import Admission
from app.api.rendering.responses import VARY
from app.api.replies import RawHeaders, as_body, as_raw
from app.api.requests.formats import STREAM_TYPES, StreamFormat
from app.api.requests.headers import find_credential, find_lines
from app.api.streams.events import HEARTBEAT_SECONDS, Hello, Within, head, write_event
from app.api.streams.requests import WatchRequest
from app.api.streams.rights import StreamRights
from app.api.streams.scope import Scope
from app.api.streams.scopes import ScopeKey, Scopes, view_of
from app.api.streams.stream import Stream, StreamPlan
from app.api.streams.streams import Streams
from app.api.views.accounts import format_time
from app.balances.snapshots import AGGREGATE, AccountId
from app.runtime import Runtime
from app.watch.positions import Position

PATH: Final = "/v1/watch"

_SHORTEST_RETRY_MS: Final = 1000
_LONGEST_RETRY_MS: Final = 5000

Resumed = Literal["new", "complete", "reset"]


class OpenStream(Struct, frozen=True):
    """A stream that has begun. `close` gives back all that it holds, and must be called."""

    stream: Stream
    close: Callable[[], None]

    async def run(self, receive: Receive, send: Send, *, has_body: bool) -> None:
        """Write until it ends. The answer to HEAD has no body."""
        try:
            if has_body:
                await self.stream.run(receive, send)
            else:
                await send(as_body(b""))
        finally:
            self.close()


class Resumption(Struct, frozen=True):
    """What a reader gets first, and where it was. None for the accounts stands for all."""

    resumed: Resumed
    changed: frozenset[AccountId] | None = None
    position: Position | None = None


class Watch:
    """Open streams. The rights to read are those of reads, and checked by the same function."""

    def __init__(
        self, admission: Admission, callers: Callers, scopes: Scopes, streams: Streams, runtime: Runtime
    ) -> None:
        self._admission: Final = admission
        self._callers: Final = callers
        self._scopes: Final = scopes
        self.streams: Final = streams
        self._runtime: Final = runtime

    async def begin(self, scope: HTTPScope, send: Send) -> OpenStream | None:
        """Open a stream and send the head of its answer, or send a problem and return None."""
        scope["path_template"] = PATH
        try:
            stream = await self.open(scope, context_of(scope))
        except Exception as error:  # noqa: BLE001  # every error gets an answer
            await send_reply(render_refusal(error, scope), send)
            return None
        try:
            headers = _headers(stream.stream.stream_format)
            await send({"type": "http.response.start", "status": 200, "headers": headers})
        except BaseException:
            stream.close()
            raise
        return stream

    async def open(self, scope: HTTPScope, context: RequestContext) -> OpenStream:
        """Open a stream. Raises the `TallygateError` that is the answer instead."""
        headers = scope["headers"]
        credential = find_credential(find_lines(headers, b"authorization"), find_lines(headers, b"x-bh-token"))
        caller = await self._admission.admit(credential, context)
        request = WatchRequest.read(scope)
        key = self._authorise(caller, request, context)
        release = self.streams.acquire(caller)
        try:
            all_merchants = await self._scopes.list_all() if key.merchants is None else ()
        except BaseException:
            release()
            raise
        watched = self._scopes.acquire(key, all_merchants)
        meanwhile = _Marks()  # a change may be on the board after the feed was read, and before the stream is there
        watched.readers[meanwhile] = None
        try:
            resumption = await self._resume(request.cursor, None if key.merchants is None else watched.account_ids)
        except BaseException:
            watched.readers.pop(meanwhile)
            self._scopes.release(key, watched)
            release()
            raise
        watched.readers.pop(meanwhile)
        if resumption.changed is not None:
            resumption = replace(resumption, changed=resumption.changed | meanwhile.marked)
        rights = StreamRights(self._callers, caller, credential, shows_all=request.merchants is None)
        plan = self._plan(scope, request, key, watched, resumption, caller)
        stream = Stream(watched, rights, plan, self.streams.context)
        watched.readers[stream] = None
        self.streams.add(stream)

        def close() -> None:
            self.streams.remove(stream)
            watched.readers.pop(stream)
            self._scopes.release(key, watched)
            release()

        return OpenStream(stream, close)

    def _authorise(self, caller: Caller, request: WatchRequest, context: RequestContext) -> ScopeKey:
        """Check the caller's right to read every account, and name the scope. Raises `Forbidden`."""
        if request.portfolio:
            authorise(caller, AGGREGATE)
        merchants = request.merchants
        for account_id in merchants or ():
            authorise(caller, account_id)
        if merchants is None and caller.merchants != ALL:
            merchants = tuple(sorted(caller.merchants, key=int))
        is_swept = merchants is None and self._scopes.sweeps
        view = view_of(request.selection, request.within_seconds, request.stream_format, is_swept=is_swept)
        context.merchants = None if merchants is None else len(merchants)
        return ScopeKey(view, merchants, request.portfolio)

    async def _resume(self, cursor: str | None, accounts: Sequence[AccountId] | None) -> Resumption:
        if cursor is None:
            return Resumption("new")
        found = await self.streams.context.positions.changed_since(cursor, accounts)
        if found is None:
            return Resumption("reset")
        position, changed = found
        return Resumption("complete", frozenset(changed) if position.all_fresh else None, position)

    def _plan(
        self,
        scope: HTTPScope,
        request: WatchRequest,
        key: ScopeKey,
        watched: Scope,
        resumption: Resumption,
        caller: Caller,
    ) -> StreamPlan:
        random, life = self._runtime.random, self.streams.draw_life_seconds()
        ends_ms = self._runtime.unix_ms() + round(1000 * life)
        if caller.valid_until is not None:
            ends_ms = min(ends_ms, round(1000 * caller.valid_until))
        hello = Hello(
            resumption.resumed,
            Within(request.within_seconds, self._scopes.expected_seconds(key.view)),
            len(watched.account_ids) - key.portfolio,
            HEARTBEAT_SECONDS,
            format_time(ends_ms),
        )
        self._runtime.metrics.watch.events.add("hello")
        retry_ms = _SHORTEST_RETRY_MS + round(random() * (_LONGEST_RETRY_MS - _SHORTEST_RETRY_MS))
        opening = head(request.stream_format, retry_ms)
        opening += write_event(request.stream_format, "hello", msgspec.json.encode(hello))
        client = scope["client"]
        return StreamPlan(
            stream_format=request.stream_format,
            opening=opening,
            first=_first(watched, resumption.changed),
            position=resumption.position,
            ends_at=self._runtime.monotonic() + life,
            peer=None if client is None else (client[0], client[1]),
        )


class _Marks:
    """A reader that only notes which accounts have changed."""

    def __init__(self) -> None:
        self.marked: Final[set[AccountId]] = set()

    def mark(self, account_id: AccountId, /) -> None:
        self.marked.add(account_id)

    def forget(self, account_id: AccountId, /) -> None:
        self.marked.discard(account_id)


def _first(watched: Scope, changed: frozenset[AccountId] | None) -> list[AccountId]:
    """Return the known accounts to show first: all, or those that changed and those that must not be left out."""
    board = watched.board
    known = [(account_id, board.result(account_id)) for account_id in watched.account_ids]
    return [
        account_id
        for account_id, result in known
        if result is not None and (changed is None or account_id in changed or not _is_covered(result))
    ]


def _is_covered(result: AccountResult) -> bool:
    """Return whether the feed has the content that is shown: only what has its number is recorded by now."""
    return isinstance(result, Available) and not result.served.is_stale and result.snapshot.sequence is not UNSET


def _headers(stream_format: StreamFormat) -> RawHeaders:
    return as_raw(
        [
            ("Content-Type", STREAM_TYPES[stream_format]),
            ("Cache-Control", "no-store"),
            ("X-Accel-Buffering", "no"),
            ("Vary", VARY),
        ]
    )
