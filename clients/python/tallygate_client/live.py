"""What moves: events of `watch()` and of `changes()`, and the judgement that both clients share. Pure."""

from collections.abc import Callable
from typing import Any, Final, Literal

import httpx
from msgspec import Struct

from tallygate_client import models
from tallygate_client.calls import Call, Merchants, decode, list_assets, list_merchants, query
from tallygate_client.event_stream import ServerEvent
from tallygate_client.models import Change, Coverage, Feed, Part
from tallygate_client.problems import GoneError, NoAnswerError, ProblemError, TallygateError
from tallygate_client.sending import back_off

SILENCE_SECONDS: Final = 30
"""Three heartbeats: a connection that is silent for longer is dead, whatever the network says."""

SPARE_SECONDS: Final = 15

_MAY_PASS: Final = frozenset({429, 500, 502, 503, 504})


class Hello(Struct, frozen=True, rename="camel"):
    """The beginning of a stream. All parts follow (`new`, `reset`), or those that changed (`complete`)."""

    resumed: Literal["new", "complete", "reset"]
    heartbeat_seconds: float
    ends_at: str


class Balances(Struct, frozen=True):
    """The newest part of one merchant, whole: replace what you have of it."""

    part: Part
    cursor: str | None


class Synced(Struct, frozen=True):
    """Everything there is was sent once."""

    coverage: Coverage
    cursor: str | None


class Heartbeat(Struct, frozen=True):
    """The stream lives; how many parts are fresh, stale and missing."""

    coverage: Coverage
    cursor: str | None


class Disconnected(Struct, frozen=True):
    """The stream has ended. Until the next `Synced`, what you have may be out of date: show it so.

    `reason` is the gateway's, or `silent`, or `failed`, which has an `error`.
    """

    reason: str
    error: TallygateError | None
    retry_in_seconds: float


WatchEvent = Hello | Balances | Synced | Heartbeat | Disconnected


class FeedChanges(Struct, frozen=True):
    """Changes in the order recorded. Keep `cursor`, and give it as `after` to go on from here."""

    changes: tuple[Change, ...]
    cursor: str


class Gap(Struct, frozen=True):
    """Changes before what follows are lost: read the balances."""

    reason: str


FeedEvent = FeedChanges | Gap | Disconnected


class _Told(Struct, frozen=True, rename="camel"):
    coverage: Coverage


class _End(Struct, frozen=True, rename="camel"):
    reason: str
    retry_after: float = 0


class Watching:
    """The state of a watch over its connections: where it goes on, and how long it waits. `random` is in [0, 1)."""

    def __init__(
        self, merchant_ids: Merchants, options: dict[str, str], after: str | None, random: Callable[[], float]
    ) -> None:
        self.params: Final = {"merchantId": list_merchants(merchant_ids), **options}
        self._cursor = after
        self._random: Final = random
        self._failures = 0
        self._end: _End | None = None

    def headers(self, credential: str | None) -> dict[str, str]:
        """Return the headers of the next connection."""
        self._end = None
        sent = {"Accept": "text/event-stream"}
        sent |= {} if credential is None else {"Authorization": f"Bearer {credential}"}
        return sent if self._cursor is None else sent | {"Last-Event-ID": self._cursor}

    def take(self, event: ServerEvent) -> WatchEvent | None:
        """Take an event of the stream, and return what the program gets of it."""
        found = self._read(event)
        if found is not None and not isinstance(found, Hello):
            self._failures = 0
            self._cursor = event.id or self._cursor
        return found

    def _read(self, event: ServerEvent) -> WatchEvent | None:
        data = event.data.encode()
        match event.name:
            case "hello":
                return decode(data, Hello)
            case "balances":
                return Balances(_decode_part(data), event.id)
            case "synced":
                return Synced(decode(data, _Told).coverage, event.id)
            case "heartbeat":
                return Heartbeat(decode(data, _Told).coverage, event.id)
            case "end":
                self._end = decode(data, _End)
        return None

    @property
    def has_ended(self) -> bool:
        """Whether the stream has had its last event."""
        return self._end is not None

    def lost(self, error: Exception | None = None) -> Disconnected:
        """Return that the connection is gone. Raises the error if another connection cannot help."""
        if isinstance(error, TallygateError) and not may_pass(error):
            raise error
        pause = back_off(self._failures, self._random)
        self._failures += 1
        if self._end is not None:
            return Disconnected(self._end.reason, None, max(pause, self._end.retry_after + 0.5 * self._random()))
        if isinstance(error, httpx.ReadTimeout):
            return Disconnected("silent", None, pause)
        return Disconnected("failed", as_error(error), max(pause, _asked_seconds(error)))


class Following:
    """The state of a reader of the feed. `random` is in [0, 1)."""

    def __init__(
        self, merchant_ids: Merchants, after: str | None, wait_seconds: int, random: Callable[[], float]
    ) -> None:
        self._merchants: Final = list_merchants(merchant_ids)
        self._cursor = after
        self._wait_seconds: Final = wait_seconds
        self._random: Final = random
        self._failures = 0

    @property
    def deadline_seconds(self) -> float:
        """How long a question may take."""
        return self._wait_seconds + SPARE_SECONDS

    def call(self) -> Call[Feed]:
        """Return the next question."""
        return Call(
            path="/v1/changes",
            read=lambda body, _: decode(body, models.Feed),
            params=query(merchantId=self._merchants, after=self._cursor),
            headers={"Prefer": f"wait={self._wait_seconds}"},
            repeats=False,
        )

    def take(self, page: Feed) -> list[FeedEvent]:
        """Take an answer, and return what the program gets of it."""
        self._failures = 0
        self._cursor = page.next
        events: list[FeedEvent] = [] if page.complete else [Gap("not-kept")]
        return [*events, FeedChanges(page.changes, page.next)] if page.changes else events

    def failed(self, error: TallygateError) -> Gap | Disconnected:
        """Take a failure. Raises it if another question cannot help."""
        if isinstance(error, GoneError) and self._cursor is not None:
            self._cursor = None
            return Gap(error.kind)
        if not may_pass(error):
            raise error
        pause = back_off(self._failures, self._random)
        self._failures += 1
        return Disconnected("failed", error, max(pause, _asked_seconds(error)))


def watch_options(*, portfolio: bool, assets: list[str] | None, within: int | None) -> dict[str, str]:
    """Return the parameters of a watch besides its merchants."""
    return query(portfolio="true" if portfolio else None, assets=list_assets(assets), within=within)


def may_pass(error: TallygateError) -> bool:
    """Return whether asking again may help."""
    return isinstance(error, NoAnswerError) or (isinstance(error, ProblemError) and error.status in _MAY_PASS)


def as_error(error: Exception | None) -> TallygateError | None:
    """Return an error of ours for one of the transport."""
    if error is None or isinstance(error, TallygateError):
        return error
    found = NoAnswerError("The connection failed.")
    found.__cause__ = error
    return found


def _decode_part(data: bytes) -> Part:
    kind: Any = Part
    part: Part = decode(data, kind)
    return part


def _asked_seconds(error: Exception | None) -> float:
    return (error.retry_after_seconds or 0) if isinstance(error, ProblemError) else 0
