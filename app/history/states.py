"""States of an account: each content that looks found, when they found it, and what follows for a moment in the past."""

import re
from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from app.balances.snapshots import AccountId, Anomaly, Row, Snapshot
from app.decoding import Undecodable, decode_json, decompress
from app.history.results import read_epoch, read_number
from app.redis.results import WrongShape

_STATE: Final = re.compile(rb"([0-9]{1,15}) ([0-9]{1,15}) ([0-9]{1,15}) ([0-9]{1,15})\n")
_MAX_CONTENT_BYTES: Final = 64 * 1024 * 1024
_HEAD: Final = 7


class Content(Struct, frozen=True, rename="camel"):
    """What the `ETag` covers: all of a snapshot but its time."""

    can_deposit: bool
    balances: tuple[Row, ...]
    anomalies: tuple[Anomaly, ...] = ()

    def as_of(self, account_id: AccountId, as_of: int) -> Snapshot:
        """Return the snapshot that an account had with this content."""
        return Snapshot(account_id, as_of, self.can_deposit, self.balances, self.anomalies)


class Looks(Struct, frozen=True):
    """Looks that found one state: when the last of them was asked for, how many, and the longest gap between two (ms)."""

    until: int
    looks: int
    gap_ms: int


class State(Struct, frozen=True):
    """A state: its number, when the first look that found it arrived, and its content; None where no merchant was known.

    `before` is what was known of the state before, None for the first one of an epoch. Times are Unix milliseconds.
    """

    sequence: int
    since: int
    before: Looks | None
    content: Content | None


class History(Struct, frozen=True):
    """Some neighbouring states of an account, oldest first, and how the newest of all is (`newest`, `last_looks`)."""

    epoch: str
    newest: int
    oldest: int
    last_looks: Looks
    states: Sequence[State]

    def looks_of(self, place: int) -> tuple[Looks, int | None] | None:
        """Return the looks at the state of this place, and when the next state was first seen, None for the newest.

        None if the next state is not among these.
        """
        if self.states[place].sequence == self.newest:
            return self.last_looks, None
        if place + 1 == len(self.states):
            return None
        after = self.states[place + 1]
        return None if after.before is None else (after.before, after.since)


def read_history(result: Any) -> History | None:
    """Read the result of `READ_STATES`: None if there is no history. Raises `WrongShape` for what it does not return."""
    if result == []:
        return None
    if not isinstance(result, list) or len(result) != 3 or type(result[1]) is not int:  # noqa: PLR2004
        raise WrongShape
    head, first, found = result
    if not isinstance(head, list) or len(head) != _HEAD or not isinstance(found, list):
        raise WrongShape
    newest, oldest, _, until, looks, gap = map(read_number, head[1:])
    states = [_read_state(first + place, text) for place, text in enumerate(found)]
    return History(read_epoch(head[0]), newest, oldest, Looks(until, looks, gap), states)


def _read_state(sequence: int, text: Any) -> State:
    match = _STATE.match(text) if isinstance(text, bytes) else None
    if match is None:
        raise WrongShape
    since, until, looks, gap = map(int, match.groups())
    try:
        content = _read_content(text[match.end() :])
    except Undecodable:
        raise WrongShape from None
    return State(sequence, since, Looks(until, looks, gap) if looks else None, content)


def _read_content(packed: bytes) -> Content | None:
    """Read a content: compressed, or the entry that had it, or none for an absent merchant. Raises `Undecodable`."""
    if packed == b"-":
        return None
    if packed.startswith(b"{"):
        return decode_json(packed, Content)
    return decode_json(b"{" + decompress(packed, _MAX_CONTENT_BYTES), Content)
