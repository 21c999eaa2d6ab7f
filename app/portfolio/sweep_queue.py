"""Priority queue of merchants by age: which of them a sweep fetches next."""

from collections import deque
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from heapq import heapify, heappop, heappush, heapreplace
from typing import Final

from msgspec import Struct

from app.balances.snapshots import AccountId, Entry
from app.errors import AccessRefused, BreakerOpen, BudgetSpent, TallygateError, TokenRefused, UpstreamBusy
from app.fleet.bus import Failure

UNKNOWN: Final = 0
"""The `as_of` of a merchant of which no entry is known."""

_RETRIES_AS_UNKNOWN: Final = 3
"""An unknown merchant that failed so often comes no longer before those that are known."""

_FIRST_PAUSE_MS: Final = 500
_LONGEST_PAUSE_MS: Final = 30_000
_LEAST_PAUSE_MS: Final = 250

_FETCHES_PER_RETRY: Final = 4
"""Of so many fetches one may be a retry: failing merchants in a row would open the upstream's circuit breaker."""

_RETRY_MS: Final = 5_000
"""Where nothing else is due, there is a retry so often all the same."""


class Need(Struct, frozen=True, gc=False):
    """A merchant to fetch, and the `as_of` of the entry that is known of it, or `UNKNOWN`."""

    account_id: AccountId
    as_of: int


class _Failed(Struct, frozen=True):
    error: TallygateError
    count: int
    at: int

    @property
    def retry_at(self) -> int:
        return self.at + min(_FIRST_PAUSE_MS << min(self.count - 1, 16), _LONGEST_PAUSE_MS)

    @property
    def is_urgent(self) -> bool:
        return self.count < _RETRIES_AS_UNKNOWN


class SweepQueue:
    """Order the merchants of the directory by need: first the unknown, then the oldest that are older than `due_ms`.

    Ages come from memory, as its listener: it forgets none that memory drops. Times are Unix milliseconds. A merchant
    that failed is retried after a backoff, and after its third failure like one that was fetched when it failed.
    An operation takes O(log n) for n merchants (a heap with lazy invalidation), `set_merchants` O(n).
    """

    def __init__(self, due_ms: int, now_ms: Callable[[], int]) -> None:
        self._due_ms: Final = due_ms
        self._now_ms: Final = now_ms
        self._as_of: dict[AccountId, int] = {}
        self._failed: Final[dict[AccountId, _Failed]] = {}
        self._taken: Final[set[AccountId]] = set()
        self._unknown: deque[AccountId] = deque()
        self._known: list[tuple[int, AccountId]] = []
        self._paused: list[tuple[int, AccountId]] = []
        self._fetches_since_retry = _FETCHES_PER_RETRY
        self._retried_at = 0
        self.unknown = 0
        self.refusal: TallygateError | None = None

    def __len__(self) -> int:
        return len(self._as_of)

    @property
    def oldest_as_of(self) -> int | None:
        """The `as_of` of the oldest entry that is known, None if there is none."""
        while self._known:
            as_of, account_id = self._known[0]
            current = self._as_of.get(account_id)
            if account_id in self._failed or current is None:
                heappop(self._known)
                if current is not None:
                    self._place(account_id)
            elif current == as_of:
                return as_of
            else:
                heapreplace(self._known, (current, account_id))
        return None

    @property
    def failing(self) -> int:
        """How many unknown merchants failed so often that they come no longer first."""
        return sum(
            not failed.is_urgent and not self._as_of.get(account_id) for account_id, failed in self._failed.items()
        )

    def set_merchants(self, merchants: AbstractSet[AccountId], peek: Callable[[AccountId], Entry | None]) -> bool:
        """Replace the merchants, in this order, and return whether they changed. `peek` gives a new one's entry in memory."""
        if merchants == self._as_of.keys():
            return False
        before, self._as_of = self._as_of, {}
        for account_id in merchants:
            entry = None if account_id in before else peek(account_id)
            self._as_of[account_id] = before.get(account_id, UNKNOWN if entry is None else entry.as_of)
        for account_id in self._failed.keys() - self._as_of.keys():
            del self._failed[account_id]
        self.unknown = sum(not as_of for as_of in self._as_of.values())
        waiting = [account_id for account_id in self._as_of if account_id not in self._taken]
        self._paused = []
        self._unknown = deque(account_id for account_id in waiting if not self._as_of[account_id])
        self._known = [(self._as_of[account_id], account_id) for account_id in waiting if self._as_of[account_id]]
        heapify(self._known)
        return True

    def list_unknown(self) -> list[AccountId]:
        """List the merchants of which nothing is known."""
        return [account_id for account_id, as_of in self._as_of.items() if not as_of]

    def positions(self) -> dict[AccountId, int]:
        """Number the unknown merchants in the order in which they are fetched, from 0."""
        waiting = (account_id for account_id in self._unknown if self._as_of.get(account_id) == UNKNOWN)
        return {account_id: number for number, account_id in enumerate(waiting)}

    def last_failure(self, account_id: AccountId) -> TallygateError | None:
        """Return why the last fetch of a merchant failed, None if it succeeded, or there was none."""
        failed = self._failed.get(account_id)
        return None if failed is None else failed.error

    def on_put(self, entry: Entry) -> None:
        """Note the age of an entry that memory keeps from now on."""
        before = self._as_of.get(entry.account_id)
        if before is not None:
            self._as_of[entry.account_id] = entry.as_of
            self.unknown -= not before
            self._failed.pop(entry.account_id, None)
            self.refusal = None

    def on_drop(self, account_id: AccountId) -> None:
        """Keep the age of an entry that memory drops: Redis still has it."""

    def on_failure(self, failure: Failure) -> None:
        """Note a fetch that failed at another replica."""
        self.fail(failure.account_id, failure.to_error())

    def take(self) -> Need | None:
        """Take the neediest merchant that is due, None if none is. `put_back` must follow."""
        now = self._now_ms()
        account_id = self._take_unknown() or self._take_paused(now) or self._take_known(now)
        if account_id is None:
            return None
        self._taken.add(account_id)
        return Need(account_id, self._as_of[account_id])

    def seconds_to_due(self) -> float:
        """Return the seconds until the next merchant is due, at most 1. Call it when `take` returned None."""
        now = self._now_ms()
        moments = [now + 1000]
        if self._known:
            moments.append(self._known[0][0] + self._due_ms)
        if self._paused:
            moments.append(self._paused[0][0])
        return max(min(moments) - now, 1) / 1000

    def put_back(self, account_id: AccountId, *, pause_ms: int = 0) -> None:
        """Queue a merchant again that was taken, after a pause."""
        self._taken.discard(account_id)
        if account_id in self._as_of:
            self._fetches_since_retry += account_id not in self._failed
            if pause_ms:
                heappush(self._paused, (self._now_ms() + pause_ms, account_id))
            else:
                self._place(account_id)

    def fail(self, account_id: AccountId, error: TallygateError) -> None:
        """Note that a fetch failed, which lengthens the backoff of its merchant.

        A refusal of the token or the address concerns no merchant: it stands as `refusal` until the next answer.
        """
        if isinstance(error, TokenRefused | AccessRefused):
            self.refusal = error.with_traceback(None)
        elif account_id in self._as_of and not isinstance(error, BudgetSpent | BreakerOpen | UpstreamBusy):
            before = self._failed.get(account_id)
            count = 1 if before is None else before.count + 1
            self._failed[account_id] = _Failed(error.with_traceback(None), count, self._now_ms())

    def _take_unknown(self) -> AccountId | None:
        while self._unknown:
            account_id = self._unknown.popleft()
            if account_id in self._as_of:
                if self._as_of[account_id] == UNKNOWN and account_id not in self._failed:
                    return account_id
                self._place(account_id)
        return None

    def _take_paused(self, now: int) -> AccountId | None:
        """Take one whose pause is over, if it is its turn by age, and not too many before it were retries."""
        while self._paused and self._paused[0][0] <= now:
            _, account_id = self._paused[0]
            if account_id not in self._as_of:
                heappop(self._paused)
            elif (failed := self._failed.get(account_id)) is None:
                heappop(self._paused)
                self._place(account_id)
            elif (wait := self._wait_ms(account_id, failed, now)) > 0:
                heapreplace(self._paused, (now + wait, account_id))
            elif self._fetches_since_retry < _FETCHES_PER_RETRY and now < self._retried_at + _RETRY_MS:
                return None
            else:
                heappop(self._paused)
                self._fetches_since_retry, self._retried_at = 0, now
                return account_id
        return None

    def _wait_ms(self, account_id: AccountId, failed: _Failed, now: int) -> int:
        """How long one that failed has to wait yet. The sweep goes through ages about as fast as time passes."""
        if failed.retry_at > now:
            return failed.retry_at - now
        oldest = self.oldest_as_of
        if oldest is None or failed.at <= oldest or (self._as_of[account_id] == UNKNOWN and failed.is_urgent):
            return 0
        return min(max(failed.at - oldest, _LEAST_PAUSE_MS), _LONGEST_PAUSE_MS)

    def _take_known(self, now: int) -> AccountId | None:
        oldest = self.oldest_as_of
        if oldest is None or oldest > now - self._due_ms:
            return None
        return heappop(self._known)[1]

    def _place(self, account_id: AccountId) -> None:
        """Queue a merchant where it belongs."""
        if (failed := self._failed.get(account_id)) is not None:
            heappush(self._paused, (failed.retry_at, account_id))
        elif self._as_of[account_id] == UNKNOWN:
            self._unknown.append(account_id)
        else:
            heappush(self._known, (self._as_of[account_id], account_id))
