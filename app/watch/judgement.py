"""Judgement of what a watcher is shown of an account: fresh, stale or unavailable, and until when. Pure."""

from collections.abc import Callable
from math import inf

from msgspec import Struct

from app.accounts import AccountResult, Available, Unavailable
from app.balances.snapshots import Absence, AccountId, Entry, Snapshot
from app.cache.served import Served, Source
from app.errors import NotKnownYet, TallygateError, TooOld, UnknownMerchant, UpstreamRefusal


class Limits(Struct, frozen=True):
    """Ages in milliseconds up to which an entry is fresh, is fresh in spite of a refusal, and is shown as stale."""

    fresh_ms: int
    refused_ms: int
    stale_ms: int


Content = Callable[[Snapshot], object]
"""What of a snapshot is shown, but for its time and `can_deposit`: equal for equal rows and anomalies."""


class Verdict(Struct, frozen=True):
    """What is shown from now on, and the moment (Unix milliseconds) at which time alone changes it."""

    result: AccountResult
    until: float


def judge(
    account_id: AccountId, entry: Entry | None, error: TallygateError | None, now: int, limits: Limits
) -> Verdict | None:
    """Judge an account at `now` (Unix milliseconds); None while nothing is known of it.

    `error` is why loads have failed since the entry. A refusal is covered by no stale entry, as in a read.
    """
    match entry:
        case None:
            return None if error is None else Verdict(Unavailable(account_id, error), inf)
        case Absence():
            return Verdict(Unavailable(account_id, UnknownMerchant("There is no such merchant.")), inf)
        case Snapshot():
            return _judge_snapshot(entry, error, now, limits)


def not_known_yet(account_id: AccountId, retry_after_seconds: float) -> Unavailable:
    """Say that an account has not been fetched within the time that a batch would wait for it."""
    return Unavailable(
        account_id,
        NotKnownYet("Nothing is known of this merchant yet.", retry_after_seconds=retry_after_seconds),
    )


def shows_the_same(one: AccountResult | None, other: AccountResult, content: Content) -> bool:
    """Return whether two results have the same content and status. Their times may differ."""
    match one, other:
        case Available(), Available():
            return (
                one.served.is_stale is other.served.is_stale
                and one.snapshot.can_deposit is other.snapshot.can_deposit
                and (one.snapshot is other.snapshot or content(one.snapshot) == content(other.snapshot))
            )
        case Unavailable(), Unavailable():
            return type(one.error) is type(other.error)
        case _:
            return False


def _judge_snapshot(entry: Snapshot, error: TallygateError | None, now: int, limits: Limits) -> Verdict:
    age = max(0, now - entry.as_of)
    if isinstance(error, UpstreamRefusal):
        if age > limits.refused_ms:
            return Verdict(Unavailable(entry.account_id, error), inf)
        return _show(entry, limits.refused_ms, is_stale=False)
    if age <= limits.fresh_ms:
        return _show(entry, limits.fresh_ms, is_stale=False)
    if age <= limits.stale_ms:
        return _show(entry, limits.stale_ms, is_stale=True)
    return Verdict(Unavailable(entry.account_id, error or TooOld("What is known of this merchant is too old.")), inf)


def _show(entry: Snapshot, limit_ms: int, *, is_stale: bool) -> Verdict:
    return Verdict(Available(entry, Served(entry, Source.MEMORY, is_stale)), entry.as_of + limit_ms + 1)
