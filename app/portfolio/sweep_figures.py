"""Figures of a sweep: the rate that it reaches, how long a round takes, and whether that is too long. Pure, but for one measurement."""

from enum import StrEnum
from math import ceil
from typing import Final

from msgspec import Struct

_WINDOW_SECONDS: Final = 2.0
_WEIGHT: Final = 0.3
_LEAST_SHARE: Final = 0.01
_RECOVERED: Final = 0.9
_LONG_OUTAGE_SECONDS: Final = 10.0


class SweepState(StrEnum):
    """How the sweep is: `idle` without demand, `starved` if entries get too old at the rate that it reaches."""

    RUNNING = "running"
    IDLE = "idle"
    STARVED = "starved"


class SweepStatus(Struct, frozen=True, rename="camel"):
    """How the sweep is, the seconds until every merchant is known, and those that a whole round takes."""

    state: SweepState
    seconds_to_whole: int
    seconds_to_round: int


class SweepOptions(Struct, frozen=True, kw_only=True):
    """What the sweep may use: calls a second of the fleet, its share of them for known merchants, calls at a time.

    Entries are too old above `stale_seconds`.
    """

    per_second: float
    share: float
    concurrency: int
    stale_seconds: float

    @property
    def headroom(self) -> int:
        """How many slots of the concurrency a sweep leaves to callers."""
        return 0 if self.concurrency == 1 else max(1, self.concurrency // 4)

    def round_seconds(self, merchants: int, reached: float = 1.0) -> float:
        """Return the seconds that a round over so many merchants takes, at the share of the rate that is reached."""
        return merchants / (self.per_second * reached)

    def oldest_seconds(self, merchants: int, reached: float = 1.0) -> float:
        """Return the age that the oldest entry reaches: known merchants get only a share of the rate."""
        return self.round_seconds(merchants, reached) / self.share

    def rate_that_would_do(self, merchants: int, reached: float) -> float:
        """Return the calls a second with which no entry would get too old, beside what callers take now."""
        return merchants / (self.share * self.stale_seconds) + self.per_second * (1 - reached)

    def judge(self, *, merchants: int, unknown: int, reached: float, demanded: bool) -> SweepStatus:
        """Return how a sweep is."""
        state = SweepState.RUNNING if demanded else SweepState.IDLE
        if demanded and self.oldest_seconds(merchants, reached) > self.stale_seconds:
            state = SweepState.STARVED
        seconds = self.round_seconds(merchants, reached)
        return SweepStatus(state, ceil(self.round_seconds(unknown, reached)), ceil(seconds))


class ReachedShare:
    """Measure which share of its rate a sweep gets, over windows of two seconds in which it always had work.

    The latest window weighs three tenths. Times are seconds of one monotonic clock.
    """

    def __init__(self) -> None:
        self.value: float | None = None
        self._began_at: float | None = None
        self._got = 0.0

    def count(self, now: float, per_second: float) -> None:
        """Count a call, made where `per_second` would have been allowed."""
        if self._began_at is None:
            self._began_at, self._got = now, 0.0
        self._got += 1 / per_second
        self.check(now)

    def check(self, now: float) -> None:
        """Close the window if it is over."""
        if self._began_at is not None and (elapsed := now - self._began_at) >= _WINDOW_SECONDS:
            share = min(max(self._got / elapsed, _LEAST_SHARE), 1.0)
            self.value = share if self.value is None else self.value + _WEIGHT * (share - self.value)
            self._began_at, self._got = now, 0.0

    def forget_window(self) -> None:
        """Drop the window: the sweep had no turn, or the upstream was away, so it says nothing of the budget."""
        self._began_at = None

    def end_shortage(self) -> None:
        """Take the whole rate as reached: nothing is due, so no former shortage lasts."""
        self._began_at, self.value = None, 1.0


class Outage:
    """Notice when this replica did not reach the upstream for ten seconds. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._began_at: float | None = None

    def has_lasted(self, now: float) -> bool:
        """Note that no call is admitted, and return whether ten seconds passed since that, or since it last returned so."""
        if self._began_at is None:
            self._began_at = now
        if now - self._began_at < _LONG_OUTAGE_SECONDS:
            return False
        self._began_at = now
        return True

    def end(self) -> None:
        """Note that a call succeeded, or that none is needed here."""
        self._began_at = None


class Starvation:
    """Notice when a sweep begins and ends to be starved, with some hysteresis."""

    def __init__(self, options: SweepOptions) -> None:
        self._options: Final = options
        self._is_on = False

    def changed(self, merchants: int, reached: float, *, demanded: bool) -> bool | None:
        """Return whether it is starved from now on, None if nothing changed."""
        seconds = self._options.oldest_seconds(merchants, reached) if demanded else 0.0
        limit = self._options.stale_seconds * (_RECOVERED if self._is_on else 1)
        if (seconds > limit) is self._is_on:
            return None
        self._is_on = not self._is_on
        return self._is_on
