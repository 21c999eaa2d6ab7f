"""Exponential backoff for each account whose last fetch failed."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from app.balances.snapshots import AccountId
from app.errors import TallygateError, UpstreamRefusal
from app.runtime import Runtime

_FIRST_SECONDS: Final = 0.5
_LONGEST_SECONDS: Final = 30.0


class _Failure(Struct, frozen=True):
    error: TallygateError
    count: int
    until: float
    is_refused: bool


class Backoff:
    """Remember the last failures of up to `capacity` accounts.

    `on_failure` is called for each. A pause lasts half a second, then twice as long each time up to half a minute, less up to a quarter at random.
    """

    def __init__(
        self,
        capacity: int,
        runtime: Runtime,
        on_failure: Callable[[AccountId, TallygateError], None] = lambda _, __: None,
    ) -> None:
        self._capacity: Final = capacity
        self._on_failure: Final = on_failure
        self._monotonic: Final = runtime.monotonic
        self._random: Final = runtime.random
        self._failures: Final[OrderedDict[AccountId, _Failure]] = OrderedDict()

    def failure(self, account_id: AccountId) -> TallygateError | None:
        """Return the last error of an account while it is too early to try again."""
        last = self._failures.get(account_id)
        return last.error if last is not None and self._monotonic() < last.until else None

    def refusal(self, account_id: AccountId) -> TallygateError | None:
        """Return the last error of an account that was refused since its last answer. Other failures do not reset that."""
        last = self._failures.get(account_id)
        return last.error if last is not None and last.is_refused else None

    def record_failure(self, account_id: AccountId, error: TallygateError) -> None:
        """Start or lengthen the pause of an account."""
        last = self._failures.get(account_id)
        count = 0 if last is None else last.count + 1
        is_refused = isinstance(error, UpstreamRefusal) or (last is not None and last.is_refused)
        pause = min(_FIRST_SECONDS * (1 << min(count, 16)), _LONGEST_SECONDS) * (1 - self._random() / 4)
        self._failures[account_id] = _Failure(error.with_traceback(None), count, self._monotonic() + pause, is_refused)
        self._failures.move_to_end(account_id)
        if len(self._failures) > self._capacity:
            self._failures.popitem(last=False)
        self._on_failure(account_id, error)

    def record_success(self, account_id: AccountId) -> None:
        """Forget the failures of an account."""
        self._failures.pop(account_id, None)
