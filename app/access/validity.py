"""Validity of a credential: the span of time in which it authenticates its caller."""

from typing import Final, Self

from msgspec import Struct

FOREVER: Final = 253_402_300_800_000
"""The end of the year 9999, which is the last one that RFC 3339 can write."""


class Validity(Struct, frozen=True, gc=False):
    """A span from `since` until before `until`, in Unix milliseconds. By default it has no ends."""

    since: int = 0
    until: int = FOREVER

    @property
    def is_limited(self) -> bool:
        """Whether it has a beginning or an end."""
        return self.since > 0 or self.until < FOREVER

    def has(self, now: int) -> bool:
        """Return whether a moment is in it (Unix milliseconds)."""
        return self.since <= now < self.until

    def clip(self, since: int, until: int) -> tuple[int, int]:
        """Return what it has in common with another span, which is empty if nothing."""
        return max(self.since, since), min(self.until, until)

    def seconds_left(self, now: int) -> float | None:
        """Return the seconds until its end, 0 after it, or None if it has none."""
        return None if self.until == FOREVER else max(0, self.until - now) / 1000

    def ending_in_seconds(self, until: float) -> Self:
        """Return the same span with another end, in Unix seconds."""
        return type(self)(self.since, min(FOREVER, int(until * 1000)))
