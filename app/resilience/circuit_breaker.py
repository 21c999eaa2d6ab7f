"""Circuit breaker: stops calls for a while when several in a row have failed."""

import math
from enum import StrEnum
from typing import Final

from app.runtime import Runtime

_MAX_THRESHOLD_FACTOR: Final = 8


class State(StrEnum):
    """The state of a breaker."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


class CircuitBreaker:
    """Allow calls until `threshold` in a row have failed, then only one probe after each pause.

    A failed call does not count if another one succeeded after it began. While more calls are pending, up to eight
    times the threshold may fail, so that some bad accounts in a large request do not block the others.

    The first pause lasts `first_pause_seconds`, each further one twice as long up to `longest_pause_seconds`, all less
    up to a quarter at random so that replicas do not probe together. One success closes the breaker.
    """

    def __init__(
        self, runtime: Runtime, *, threshold: int, first_pause_seconds: float, longest_pause_seconds: float
    ) -> None:
        self._threshold: Final = threshold
        self._first_pause_seconds: Final = first_pause_seconds
        self._longest_pause_seconds: Final = longest_pause_seconds
        self._monotonic: Final = runtime.monotonic
        self._random: Final = runtime.random
        self._succeeded_at = -math.inf
        self._failures = 0
        self._pauses = 0
        self._open_until = 0.0
        self.state = State.CLOSED

    def seconds_open(self) -> float:
        """Return the seconds in which no call is allowed: 0 if a call, or a probe, is."""
        match self.state:
            case State.CLOSED:
                return 0.0
            case State.OPEN:
                return max(0.0, self._open_until - self._monotonic())
            case State.PROBING:
                return self._first_pause_seconds

    def try_enter(self) -> float:
        """Ask to make a call. 0 allows it: `record_success` or `record_failure` must follow. Else see `seconds_open`."""
        left = self.seconds_open()
        if not left and self.state is State.OPEN:
            self.state = State.PROBING
        return left

    def record_success(self) -> bool:
        """Record a success. Return whether it closed the breaker."""
        changed = self.state is not State.CLOSED
        self._succeeded_at = self._monotonic()
        self.state = State.CLOSED
        self._failures = self._pauses = 0
        return changed

    def record_failure(self, began: float = math.inf, pending: int = 0) -> bool:
        """Record the failure of a call that `began` then, with so many `pending`. Return whether it opened the breaker.

        While the breaker is open, the call began before that, so its failure does not lengthen the pause.
        """
        if self.state is State.OPEN:
            return False
        if self.state is State.CLOSED:
            self._failures += began >= self._succeeded_at
            if self._failures < max(self._threshold, min(pending, _MAX_THRESHOLD_FACTOR * self._threshold)):
                return False
        opened = self.state is State.CLOSED
        pause = min(self._first_pause_seconds * 2**self._pauses, self._longest_pause_seconds)
        self._open_until = self._monotonic() + pause * (1 - self._random() / 4)
        self._pauses = min(self._pauses + 1, 32)
        self.state = State.OPEN
        return opened
