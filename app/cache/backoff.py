"""Which keys failed just now, and when to try them again."""

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
    """Remember failures of up to `capacity` keys: half a second, then twice as long each time up to half a minute.

    Each pause is shortened at random by up to a quarter.
    """

    def __init__(self, capacity: int, runtime: Runtime) -> None:
        self._capacity: Final = capacity
        self._monotonic: Final = runtime.monotonic
        self._random: Final = runtime.random
        self._troubles: Final[OrderedDict[AccountId, _Failure]] = OrderedDict()

    def failure(self, key: AccountId) -> TallygateError | None:
        """Give the last error of a key while it is too early to try again."""
        trouble = self._troubles.get(key)
        return trouble.error if trouble is not None and self._monotonic() < trouble.until else None

    def is_refused(self, key: AccountId) -> bool:
        """Tell whether the upstream refused a key since it last gave an answer: other failures do not take that back."""
        trouble = self._troubles.get(key)
        return trouble is not None and trouble.is_refused

    def failed(self, key: AccountId, error: TallygateError) -> None:
        """Note a failure."""
        before = self._troubles.get(key)
        count = 0 if before is None else before.count + 1
        is_refused = isinstance(error, UpstreamRefusal) or (before is not None and before.is_refused)
        pause = min(_FIRST_SECONDS * (1 << min(count, 16)), _LONGEST_SECONDS) * (1 - self._random() / 4)
        self._troubles[key] = _Failure(error.with_traceback(None), count, self._monotonic() + pause, is_refused)
        self._troubles.move_to_end(key)
        if len(self._troubles) > self._capacity:
            self._troubles.popitem(last=False)

    def succeeded(self, key: AccountId) -> None:
        """Forget the failures of a key."""
        self._troubles.pop(key, None)
