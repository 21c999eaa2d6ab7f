"""Answers: a value with its age, which nobody takes for fresh and whole without writing so."""

import re
from collections.abc import Callable
from typing import Final, Generic, Literal, TypeVar

import httpx
from msgspec import Struct

from tallygate_client.models import Account, Anomaly, AssetBalance, Listing, Merchants, UpstreamAccount
from tallygate_client.problems import NotAcceptedError

T = TypeVar("T")

State = Literal["fresh", "stale", "partial"]

_LATE: Final = re.compile(r";\s*(?:ttl=-|fwd=stale\b)")
_COVERS: Final = re.compile(r";\s*fwd=stale\b.*;\s*detail=([\w-]+)")


class Answer(Struct, Generic[T], frozen=True):
    """An answer of the gateway. Its value is read through `fresh`, `accept_stale` or `accept_partial`.

    `state` is `fresh`, `stale` (whole, but older than the gateway promises) or `partial` (something is missing).
    `age_seconds` is the age of the oldest part, None where nothing has an age. `covers` names the problem that a stale
    answer covers, where the gateway says so.
    """

    state: State
    is_stale: bool
    age_seconds: float | None
    covers: str | None
    request_id: str | None
    _value: T

    @property
    def next_page(self) -> str | None:
        """The cursor of the page that follows, of views that have pages; None after the last one."""
        return getattr(self._value, "next", None)

    @property
    def fresh(self) -> T:
        """The value, if it is fresh and whole. Raises `NotAcceptedError`."""
        if self.state != "fresh":
            raise NotAcceptedError(f"The answer is {self.state}, and only a fresh one is accepted.")
        return self._value

    def accept_stale(self, max_age_seconds: float) -> T:
        """Return a whole value of at most this age. Raises `NotAcceptedError`."""
        if self.state == "partial":
            raise NotAcceptedError("The answer is partial, and only a whole one is accepted.")
        return self.accept_partial(max_age_seconds)

    def accept_partial(self, max_age_seconds: float) -> T:
        """Return a value of at most this age, of which parts may be missing. Raises `NotAcceptedError`."""
        if self.age_seconds is not None and self.age_seconds > max_age_seconds:
            raise NotAcceptedError(f"The answer is {self.age_seconds:g} s old, and {max_age_seconds:g} s are accepted.")
        return self._value


def judge_account(value: Account | AssetBalance | UpstreamAccount) -> tuple[bool, bool]:
    """Return whether an account is whole and whether it is stale by its content: unreadable rows are missing."""
    anomalies: tuple[Anomaly, ...] = () if isinstance(value, AssetBalance) else value.anomalies
    return all(anomaly.kind != "unreadable-asset" for anomaly in anomalies), False


def judge_listing(value: Listing) -> tuple[bool, bool]:
    """Return whether a view of many is whole and whether it is stale, by its coverage."""
    coverage = value.coverage
    is_whole = value.complete and coverage.unavailable + coverage.partial == 0
    return is_whole, coverage.stale > 0 or value.directory_stale


def judge_merchants(value: Merchants) -> tuple[bool, bool]:
    """Return whether a list of merchants is whole, as it always is, and whether it is stale."""
    return True, value.directory_stale


def make_answer(value: T, judge: Callable[[T], tuple[bool, bool]], headers: httpx.Headers) -> Answer[T]:
    """Wrap a value by its content and the headers that came with it: `Age`, and `Cache-Status` (RFC 9211)."""
    is_whole, is_stale = judge(value)
    status = headers.get("cache-status", "")
    is_stale = is_stale or _LATE.search(status) is not None
    covers = _COVERS.search(status)
    age = headers.get("age")
    return Answer(
        state="partial" if not is_whole else "stale" if is_stale else "fresh",
        is_stale=is_stale,
        age_seconds=None if age is None else float(age),
        covers=None if covers is None else covers[1],
        request_id=headers.get("x-request-id"),
        _value=value,
    )
