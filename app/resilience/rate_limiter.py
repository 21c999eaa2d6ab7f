"""Rate limiter by the generic cell rate algorithm (GCRA, ITU-T I.371): a rate with a burst, kept as one number."""

from typing import Final

_ROUNDING_SECONDS: Final = 1e-9


class RateLimiter:
    """Admit `per_second` events a second, and a `burst` after a rest. Times are seconds of one monotonic clock."""

    def __init__(self, per_second: float, burst: float) -> None:
        self.per_second: Final = per_second
        self._burst: Final = burst
        self._next = float("-inf")

    def acquire(self, now: float, patience_seconds: float = 0, share: float = 1) -> float:
        """Reserve the next event if it is due within `patience_seconds`. Return the seconds until it is due.

        More than `patience_seconds` means that nothing was reserved. `share` is our part of rate and burst, in (0, 1].
        """
        interval = 1 / (self.per_second * share)
        due = max(self._next, now)
        wait = max(0.0, due - (max(self._burst * share, 1) - 1) * interval - now)
        if wait < _ROUNDING_SECONDS:  # the rounding errors of many additions
            wait = 0.0
        if wait <= patience_seconds:
            self._next = due + interval
        return wait

    def spend(self, now: float, count: int) -> None:
        """Reserve so many events however late they are due: another limiter has admitted them."""
        self._next = max(self._next, now) + count / self.per_second

    def pause_until(self, until: float) -> None:
        """Admit nothing before `until`."""
        tolerance = (max(self._burst, 1) - 1) / self.per_second
        self._next = max(self._next, until + tolerance)

    def wait_seconds(self, now: float) -> float:
        """Return the seconds until the next event is due, without reserving it."""
        return max(0.0, self._next - (max(self._burst, 1) - 1) / self.per_second - now)

    def remaining(self, now: float) -> float:
        """Return how many events are due now."""
        return max(0.0, max(self._burst, 1) - self.seconds_to_full_burst(now) * self.per_second)

    def seconds_to_full_burst(self, now: float) -> float:
        """Return the seconds until the whole burst is due."""
        return max(0.0, self._next - now)
