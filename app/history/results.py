"""Results of the history's scripts, read strictly. Each reader raises `WrongShape` for what its script does not return."""

import re
from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct

from app.balances.snapshots import AccountId
from app.redis.results import WrongShape

KEY_BYTES: Final = 32
_EPOCH: Final = re.compile(r"[0-9]{1,20}-[0-9a-zA-Z_-]{1,8}")
_ACCOUNT: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_ID: Final = re.compile(r"([0-9]{1,15})-([0-9]{1,15})")
_META: Final = 7
_CHANGE_FIELDS: Final = 10


class Recorded(Struct, frozen=True, gc=False):
    """A recorded look: the epoch and number of its state, the last one fed, and the bytes if it was a change, else 0."""

    epoch: str
    sequence: int
    fed: int
    change_bytes: int


class FeedMeta(Struct, frozen=True):
    """What is known of the feed. Times are Unix milliseconds, None where there is none yet.

    `kept_ms` is the arrival of the newest change that was dropped, `cut_ms` when one was dropped before its time.
    """

    epoch: str
    key: bytes
    began_ms: int
    bytes: int
    kept_ms: int | None
    popped: tuple[int, int]
    cut_ms: int | None


class FeedEntry(Struct, frozen=True, gc=False):
    """One change in the feed: its place, and which state of which account it began."""

    place: tuple[int, int]
    account_id: AccountId
    epoch: str
    sequence: int
    as_of: int


class FeedSlice(Struct, frozen=True):
    """Changes after a place, and the place of the last entry that was read and of the newest one there is."""

    meta: FeedMeta
    newest: tuple[int, int]
    last: tuple[int, int] | None
    entries: tuple[FeedEntry, ...]


def read_recorded(result: Any) -> Recorded | None:
    """Read the result of `RECORD`: None for a look that was not recorded."""
    if result in (0, []):
        return None
    if not isinstance(result, list) or len(result) != 4:  # noqa: PLR2004
        raise WrongShape
    epoch, sequence, fed, size = result
    if not type(sequence) is type(fed) is type(size) is int or sequence < 0 or fed < -1 or size < 0:
        raise WrongShape
    return Recorded(read_epoch(epoch), sequence, fed, size)


def read_drops(result: Any) -> list[tuple[AccountId, str, int]]:
    """Read the result of `APPEND`: account, epoch and sequence of what was dropped from the feed."""
    if not isinstance(result, list):
        raise WrongShape
    return [
        (read_account(account), read_epoch(epoch), read_number(number)) for account, epoch, number in _triples(result)
    ]


def read_feed(result: Any) -> FeedSlice:
    """Read the result of `READ_FEED`."""
    if not isinstance(result, list) or len(result) != 3 or not isinstance(result[2], list):  # noqa: PLR2004
        raise WrongShape
    meta, newest, found = result
    last = read_place(_pair(found[-1])[0]) if found else None
    return FeedSlice(_read_meta(meta), read_place(newest), last, tuple(_read_entries(found)))


def read_epoch(value: Any) -> str:
    """Read an epoch."""
    return _matching(_EPOCH, value)


def read_account(value: Any) -> AccountId:
    """Read an account."""
    return AccountId(_matching(_ACCOUNT, value))


def read_number(value: Any) -> int:
    """Read a number that is written in digits."""
    if not isinstance(value, bytes) or not value.isdigit() or len(value) > 15:  # noqa: PLR2004  # exact in Lua
        raise WrongShape
    return int(value)


def read_place(value: Any) -> tuple[int, int]:
    """Read the id of an entry of a stream."""
    milliseconds, _, number = _matching(_ID, value).partition("-")
    return int(milliseconds), int(number)


def _read_meta(values: Any) -> FeedMeta:
    if not isinstance(values, list) or len(values) != _META or values[0] is None:
        raise WrongShape
    epoch, key, began, size, kept, popped, cut = values
    if not isinstance(key, bytes) or len(key) != KEY_BYTES:
        raise WrongShape
    if not isinstance(size, bytes) or not size.lstrip(b"-").isdigit():
        raise WrongShape
    return FeedMeta(
        read_epoch(epoch),
        key,
        read_number(began),
        max(0, int(size)),
        None if kept is None else read_number(kept),
        read_place(popped),
        None if cut is None else read_number(cut),
    )


def _read_entries(found: list[Any]) -> Iterator[FeedEntry]:
    for one in found:
        place, fields = _pair(one)
        if isinstance(fields, list) and len(fields) == _CHANGE_FIELDS:  # else it marks the beginning
            account, epoch, sequence, as_of = fields[1:9:2]
            yield FeedEntry(
                read_place(place), read_account(account), read_epoch(epoch), read_number(sequence), read_number(as_of)
            )


def _pair(value: Any) -> tuple[Any, Any]:
    if not isinstance(value, list | tuple) or len(value) != 2:  # noqa: PLR2004
        raise WrongShape
    return value[0], value[1]


def _triples(values: list[Any]) -> Iterator[tuple[Any, Any, Any]]:
    for value in values:
        if not isinstance(value, list) or len(value) != 3:  # noqa: PLR2004
            raise WrongShape
        yield value[0], value[1], value[2]


def _matching(pattern: re.Pattern[str], value: Any) -> str:
    if not isinstance(value, bytes) or not value.isascii() or not pattern.fullmatch(text := value.decode()):
        raise WrongShape
    return text
