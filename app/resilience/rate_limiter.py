"""The generic cell rate algorithm: a rate with a burst, kept as one number (ITU-T I.371)."""

from typing import Final

_ROUNDING_SECONDS: Final = 1e-9


class RateLimiter:
    """Admit `per_second` events a second, and `burst` at once after a rest. Times are seconds of one monotonic clock."""

    def __init__(self, per_second: float, burst: float) -> None:
        self.per_second: Final = per_second
        self._burst: Final = burst
        self._next = float("-inf")

    def acquire(self, now: float, patience_seconds: float = 0, share: float = 1) -> float:
        """Take the next place if it comes within `patience_seconds`; give the seconds until it comes.

        An answer above `patience_seconds` means that no place was taken. With `share`, only that part of rate and burst
        is ours.
        """
        interval = 1 / (self.per_second * share)
        due = max(self._next, now)
        wait = max(0.0, due - (max(self._burst * share, 1) - 1) * interval - now)
        if wait < _ROUNDING_SECONDS:  # what many additions of an interval leave over
            wait = 0.0
        if wait <= patience_seconds:
            self._next = due + interval
        return wait

    def pause_until(self, until: float) -> None:
        """Admit nothing before `until`."""
        tolerance = (max(self._burst, 1) - 1) / self.per_second
        self._next = max(self._next, until + tolerance)

    def wait_seconds(self, now: float) -> float:
        """Give the seconds until the next one may go, without taking its place."""
        return max(0.0, self._next - (max(self._burst, 1) - 1) / self.per_second - now)

    def remaining(self, now: float) -> float:
        """Give how many could go at once."""
        return max(0.0, max(self._burst, 1) - self.seconds_to_full_burst(now) * self.per_second)

    def seconds_to_full_burst(self, now: float) -> float:
        """Give the seconds until the whole burst could go at once."""
        return max(0.0, self._next - now)
