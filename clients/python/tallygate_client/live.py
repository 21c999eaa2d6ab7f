"""What moves: events of `watch()` and of `changes()`, and the judgement that both clients share. Pure."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, Literal, TypedDict

import httpx
from msgspec import Struct

from tallygate_client.calls import decode
from tallygate_client.event_stream import ServerEvent
from tallygate_client.models import Coverage, Part
from tallygate_client.options import CallOptions, Merchants, write_merchants, write_params
from tallygate_client.past import Change
from tallygate_client.problems import NoAnswerError, StatusError, TallygateError
from tallygate_client.sending import back_off

SILENCE_SECONDS: Final = 30
"""Three heartbeats: a connection that is silent for longer is dead, whatever the network says."""

_FIRST_SERVER_ERROR: Final = 500
_MAY_PASS: Final = frozenset({408, 429})


class Within(Struct, frozen=True):
    """The age in seconds that you want, and the one that the gateway's budget allows."""

    wanted: float
    expected: float


class Hello(Struct, frozen=True, rename="camel"):
    """The beginning of a stream. All parts follow (`new`, `reset`: drop what you have), or those that changed (`complete`)."""

    resumed: Literal["new", "complete", "reset"]
    within: Within
    merchants: int
    heartbeat_seconds: float
    ends_at: datetime


class Balances(Struct, frozen=True):
    """The newest part of one merchant, whole: replace what you have of it."""

    part: Part
    cursor: str | None


class Synced(Struct, frozen=True):
    """Everything there is was sent once."""

    coverage: Coverage
    cursor: str | None


class Heartbeat(Struct, frozen=True):
    """The stream lives; how many parts are fresh, stale and missing, and how old they are."""

    now: datetime
    coverage: Coverage
    oldest_as_of: datetime | None
    newest_as_of: datetime | None
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


class WatchOptions(TypedDict, total=False):
    """What to watch besides merchants, and `after` which event.

    `portfolio` adds the upstream's own sum, as merchant 0. `within` is the age that balances may reach, 5 to 600 s.
    """

    portfolio: bool
    assets: Sequence[str]
    within: int
    after: str


class FeedOptions(CallOptions, total=False):
    """After which cursor, how many changes on a page, and how many seconds the gateway waits for news: 1 to 25."""

    after: str
    limit: int
    wait_seconds: int


class _Synced(Struct, frozen=True):
    coverage: Coverage


class _Beat(Struct, frozen=True, rename="camel"):
    now: datetime
    coverage: Coverage
    oldest_as_of: datetime | None = None
    newest_as_of: datetime | None = None


class _End(Struct, frozen=True, rename="camel"):
    reason: str
    retry_after: float = 0


class Watching:
    """The state of a watch over its connections: where it goes on, and how long it waits. `random` is in [0, 1)."""

    def __init__(self, merchant_ids: Merchants, options: WatchOptions, random: Callable[[], float]) -> None:
        self.params: Final = {"merchantId": write_merchants(merchant_ids), **write_params({**options, "after": None})}
        self._cursor = options.get("after")
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
                return Synced(decode(data, _Synced).coverage, event.id)
            case "heartbeat":
                beat = decode(data, _Beat)
                return Heartbeat(beat.now, beat.coverage, beat.oldest_as_of, beat.newest_as_of, event.id)
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
        return Disconnected("failed", as_error(error), max(pause, asked_seconds(error)))


def may_pass(error: TallygateError) -> bool:
    """Return whether asking again may help: a proxy's page instead of an answer may be one of a restart."""
    if isinstance(error, StatusError):
        return error.status >= _FIRST_SERVER_ERROR or error.status in _MAY_PASS
    return isinstance(error, NoAnswerError)


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


def asked_seconds(error: Exception | None) -> float:
    """Return how long an answer asks to wait, 0 if it does not."""
    return (error.retry_after_seconds or 0) if isinstance(error, StatusError) else 0
