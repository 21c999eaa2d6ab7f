"""Which account_ids failed just now, and when to try them again."""

from collections import OrderedDict
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
    """Remember failures of up to `capacity` account_ids: half a second, then twice as long each time up to half a minute.

    Each pause is shortened at random by up to a quarter.
    """

    def __init__(self, capacity: int, runtime: Runtime) -> None:
        self._capacity: Final = capacity
        self._monotonic: Final = runtime.monotonic
        self._random: Final = runtime.random
        self._failures: Final[OrderedDict[AccountId, _Failure]] = OrderedDict()

    def failure(self, account_id: AccountId) -> TallygateError | None:
        """Give the last error of a account_id while it is too early to try again."""
        trouble = self._failures.get(account_id)
        return trouble.error if trouble is not None and self._monotonic() < trouble.until else None

    def is_refused(self, account_id: AccountId) -> bool:
        """Tell whether the upstream refused a account_id since it last gave an answer: other failures do not take that back."""
        trouble = self._failures.get(account_id)
        return trouble is not None and trouble.is_refused

    def record_failure(self, account_id: AccountId, error: TallygateError) -> None:
        """Note a failure."""
        before = self._failures.get(account_id)
        count = 0 if before is None else before.count + 1
        is_refused = isinstance(error, UpstreamRefusal) or (before is not None and before.is_refused)
        pause = min(_FIRST_SECONDS * (1 << min(count, 16)), _LONGEST_SECONDS) * (1 - self._random() / 4)
        self._failures[account_id] = _Failure(error.with_traceback(None), count, self._monotonic() + pause, is_refused)
        self._failures.move_to_end(account_id)
        if len(self._failures) > self._capacity:
            self._failures.popitem(last=False)

    def record_success(self, account_id: AccountId) -> None:
        """Forget the failures of a account_id."""
        self._failures.pop(account_id, None)
