"""A circuit breaker: leave alone for a while what keeps failing."""

import math
from enum import StrEnum
from typing import Final

from app.runtime import Runtime

_PATIENCE: Final = 8


class State(StrEnum):
    """Where a breaker stands."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


class CircuitBreaker:
    """Let calls through until `threshold` in a row have failed; then only a probe after each pause.

    A call that fails is no sign of an outage if another one succeeded since it began. Nor are a few, up to eight times the
    threshold, as long as more are to come that may succeed: some bad accounts in a large question do not spoil the others.

    The first pause lasts `first_pause_seconds`, each further one twice as long up to `longest_pause_seconds`, each
    shortened at random by up to a quarter so that replicas do not probe together. One success closes it again.
    """

    def __init__(
        self, runtime: Runtime, *, threshold: int, first_pause_seconds: float, longest_pause_seconds: float
    ) -> None:
        self._threshold: Final = threshold
        self._first_pause_seconds: Final = first_pause_seconds
        self._longest_pause_seconds: Final = longest_pause_seconds
        self._monotonic: Final = runtime.monotonic
        self._random: Final = runtime.random
        self._lived_at = -math.inf
        self._failures = 0
        self._pauses = 0
        self._closed_until = 0.0
        self.state = State.CLOSED

    def seconds_open(self) -> float:
        """Tell the seconds to stay away: 0 if a call, or a probe, may go."""
        match self.state:
            case State.CLOSED:
                return 0.0
            case State.OPEN:
                return max(0.0, self._closed_until - self._monotonic())
            case State.PROBING:
                return self._first_pause_seconds

    def try_enter(self) -> float:
        """Ask to make a call now: 0 means go, and `succeeded` or `failed` must follow; else the seconds to stay away."""
        left = self.seconds_open()
        if not left and self.state is State.OPEN:
            self.state = State.PROBING
        return left

    def record_success(self) -> bool:
        """Note a success; tell whether it closed the breaker."""
        changed = self.state is not State.CLOSED
        self._lived_at = self._monotonic()
        self.state = State.CLOSED
        self._failures = self._pauses = 0
        return changed

    def record_failure(self, began: float = math.inf, others: int = 0) -> bool:
        """Note the failure of a call that `began` then, with `others` to come; tell whether it opened a breaker that was closed.

        While it is open, a failure is of a call that began before, and no reason to stay away longer.
        """
        if self.state is State.OPEN:
            return False
        if self.state is State.CLOSED:
            self._failures += began >= self._lived_at
            if self._failures < max(self._threshold, min(others, _PATIENCE * self._threshold)):
                return False
        opened = self.state is State.CLOSED
        pause = min(self._first_pause_seconds * 2**self._pauses, self._longest_pause_seconds)
        self._closed_until = self._monotonic() + pause * (1 - self._random() / 4)
        self._pauses = min(self._pauses + 1, 32)
        self.state = State.OPEN
        return opened
