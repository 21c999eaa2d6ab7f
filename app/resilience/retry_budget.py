"""Retry budget: whether a failed call may be retried, and when."""

from collections.abc import Callable
from typing import Final

MAX_RETRIES: Final = 2
_FIRST_DELAY_SECONDS: Final = 0.1
_DEPOSIT_PER_CALL: Final = 0.1
_MAX_SAVED: Final = 10.0


class RetryBudget:
    """Grant retries with exponential delay and full jitter, from a budget that calls fill.

    Each call deposits a tenth of a retry, and at most ten are saved. So a failing upstream gets at most a tenth more
    calls, not three times as many. `random` returns numbers in [0, 1).
    """

    def __init__(self, random: Callable[[], float]) -> None:
        self._random: Final = random
        self._saved = _MAX_SAVED

    def deposit(self) -> None:
        """Deposit for a new call."""
        self._saved = min(self._saved + _DEPOSIT_PER_CALL, _MAX_SAVED)

    def withdraw(self, retries_so_far: int) -> float | None:
        """Return the seconds to wait before the next retry of a call, or None if it gets none."""
        if retries_so_far >= MAX_RETRIES or self._saved < 1:
            return None
        self._saved -= 1
        return self._random() * _FIRST_DELAY_SECONDS * (1 << retries_so_far)
