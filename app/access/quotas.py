"""Quota of a caller: what is left of its rate, and its requests under way."""

from collections.abc import Callable
from math import ceil, floor
from typing import Final

from app.errors import TooFast, TooManyStreams
from app.resilience.rate_limiter import RateLimiter

DEFAULT_CONCURRENCY: Final = 1000
DEFAULT_STREAMS: Final = 20

Headers = tuple[tuple[str, str], ...]

_ROUNDING: Final = 1e-6


class CallerQuota:
    """Count one caller's requests in this process, which admits its share of the limits for `workers` processes."""

    def __init__(self, workers: int) -> None:
        self._workers: Final = workers
        self._rate: RateLimiter | None = None
        self._quota = 0
        self._policy = ""
        self._places = max(1, DEFAULT_CONCURRENCY // workers)
        self._inside = 0
        self._streams = 0

    def configure(self, per_second: float | None, concurrency: int | None) -> None:
        """Apply the caller's limits. An unchanged rate keeps what was used of it."""
        self._places = max(1, (concurrency or DEFAULT_CONCURRENCY) // self._workers)
        if per_second is None:
            self._rate = None
            return
        share = per_second / self._workers
        if self._rate is None or self._rate.per_second != share:
            self._rate = RateLimiter(share, share)
        self._quota = max(1, floor(share))
        self._policy = f'"default";q={self._quota};w={ceil(self._quota / share)}'

    def count_request(self, now: float) -> None:
        """Count a request. Raises `TooFast` above the rate."""
        if self._rate is not None and (wait := self._rate.acquire(now)) > 0:
            raise TooFast("You are above your rate.", retry_after_seconds=wait)

    def acquire_slot(self) -> Callable[[], None]:
        """Acquire a slot for a request. Return what releases it, once. Raises `TooFast` if none is free."""
        if self._inside >= self._places:
            raise TooFast("Too many of your requests are being answered.", retry_after_seconds=1)
        self._inside += 1
        left = False

        def leave() -> None:
            nonlocal left
            self._inside -= not left
            left = True

        return leave

    def acquire_stream(self, most: int | None, retry_after_seconds: float) -> Callable[[], None]:
        """Acquire a place for one of `most` streams in this process. Return what releases it, once.

        Raises `TooManyStreams` if none is free.
        """
        if self._streams >= (DEFAULT_STREAMS if most is None else most):
            raise TooManyStreams("You have as many streams here as you may.", retry_after_seconds=retry_after_seconds)
        self._streams += 1
        left = False

        def leave() -> None:
            nonlocal left
            self._streams -= not left
            left = True

        return leave

    def limits(self, now: float) -> Headers:
        """Return the headers of a quota and what is left of it (draft-ietf-httpapi-ratelimit-headers)."""
        if self._rate is None:
            return ()
        left = min(self._quota, floor(self._rate.remaining(now) + _ROUNDING))
        seconds = ceil(self._rate.seconds_to_full_burst(now) - _ROUNDING)
        return (("RateLimit-Policy", self._policy), ("RateLimit", f'"default";r={left};t={seconds}'))
