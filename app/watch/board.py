"""Board: what is shown of each watched account, kept once for all streams that want the same view."""

from collections.abc import Callable, Collection, Iterable, Sequence
from heapq import heappop, heappush
from math import inf
from typing import Final, Protocol

from app.accounts import AccountResult, Available
from app.balances.snapshots import AccountId, Entry
from app.errors import TallygateError
from app.watch.judgement import Content, Limits, judge, not_known_yet, shows_the_same
from app.watch.news import AccountNews

_NOTHING_MS: Final = 5_000
"""How long an account may be unknown until that is shown: about as long as a batch waits for a part."""


class Watcher(Protocol):
    """Something that shows the accounts of a board to somebody."""

    def mark(self, account_id: AccountId, /) -> None:
        """Note that content or status of an account has changed."""


class Surroundings(Protocol):
    """What boards read: the time, memory, and whether the upstream refuses the token."""

    def now_ms(self) -> int:
        """Return the Unix time in milliseconds."""

    def peek(self, account_id: AccountId, /) -> Entry | None:
        """Return what memory has of an account."""

    def refusal(self, account_id: AccountId, /) -> TallygateError | None:
        """Return why the upstream refused an account since its last answer, None if it did not."""

    def token_refusal(self) -> TallygateError | None:
        """Return why the upstream refuses our token, None if it does not."""


class _Part:
    """An account on a board. It changes by itself at `until`; `queued` is the moment at which it is looked at."""

    __slots__ = ("account_id", "entry", "error", "queued", "result", "text", "until", "watchers")

    def __init__(self, account_id: AccountId, entry: Entry | None) -> None:
        self.account_id: Final = account_id
        self.entry = entry
        self.error: TallygateError | None = None
        self.result: AccountResult | None = None
        self.text: bytes | None = None
        self.until = self.queued = inf
        self.watchers: Final[list[Watcher]] = []


class Board:
    """Show accounts by `limits`, encoded once by `encode`. Only what `content` gives of a snapshot counts as a change.

    It follows each account that is watched, and marks its watchers when content or status changes. `tick` shows what
    time alone changes. Each operation on an account takes O(log n) for n accounts.
    """

    def __init__(
        self,
        news: AccountNews,
        surroundings: Surroundings,
        limits: Callable[[], Limits],
        content: Content,
        encode: Callable[[AccountResult], bytes],
    ) -> None:
        self._news: Final = news
        self._surroundings: Final = surroundings
        self._limits: Final = limits
        self._content: Final = content
        self._encode: Final = encode
        self._parts: Final[dict[AccountId, _Part]] = {}
        self._moments: Final[list[tuple[float, AccountId]]] = []
        self._refusal: TallygateError | None = None

    def __len__(self) -> int:
        return len(self._parts)

    def add(self, watcher: Watcher, account_ids: Iterable[AccountId]) -> None:
        """Show accounts to a watcher from now on. What is known of them is there now."""
        for account_id in account_ids:
            part = self._parts.get(account_id)
            if part is None:
                part = self._begin(account_id)
            part.watchers.append(watcher)

    def remove(self, watcher: Watcher, account_ids: Iterable[AccountId]) -> None:
        """Show accounts to a watcher no longer. What nobody watches is dropped."""
        for account_id in account_ids:
            part = self._parts[account_id]
            part.watchers.remove(watcher)
            if not part.watchers:
                del self._parts[account_id]
                self._news.unfollow(account_id, self)

    def result(self, account_id: AccountId) -> AccountResult | None:
        """Return what is shown of a watched account, None while it is not known."""
        return self._parts[account_id].result

    def is_fresh(self, account_id: AccountId) -> bool:
        """Return whether a watched account is shown as fresh."""
        result = self._parts[account_id].result
        return isinstance(result, Available) and not result.served.is_stale

    def results(self, account_ids: Collection[AccountId]) -> Sequence[AccountResult]:
        """Return what is shown of watched accounts, also of those that are not known."""
        parts = self._parts
        return [parts[account_id].result or not_known_yet(account_id, 1) for account_id in account_ids]

    def knows(self, account_ids: Collection[AccountId]) -> bool:
        """Return whether something is shown of each of these watched accounts."""
        parts = self._parts
        return all(parts[account_id].result is not None for account_id in account_ids)

    def text(self, account_id: AccountId) -> bytes:
        """Return the encoded part of a watched account that is known."""
        part = self._parts[account_id]
        if part.text is None:
            if part.result is None:
                raise ValueError("nothing is known of it")
            part.text = self._encode(part.result)
        return part.text

    def on_entry(self, entry: Entry, /) -> None:
        """Show a new entry."""
        part = self._parts[entry.account_id]
        part.entry, part.error = entry, None
        self._show(part)

    def on_failure(self, account_id: AccountId, error: TallygateError, /) -> None:
        """Show a failure, where no entry covers it."""
        part = self._parts[account_id]
        part.error = error
        self._show(part)

    def on_forgotten(self, account_id: AccountId, /) -> None:
        """Show nothing of an account to new watchers until it was loaded again. Those who saw it are not marked."""
        part = self._parts[account_id]
        part.entry = part.result = part.text = None
        self._await(part)

    def tick(self) -> None:
        """Show what time, or a refusal of the token, has changed since the last call."""
        now, moments = self._surroundings.now_ms(), self._moments
        while moments and moments[0][0] <= now:
            moment, account_id = heappop(moments)
            part = self._parts.get(account_id)
            if part is not None and part.queued == moment:
                part.queued = inf
                if part.until <= now:
                    self._on_time(part)
                else:
                    self._queue(part)
        refusal = self._surroundings.token_refusal()
        if (refusal is None) is not (self._refusal is None):
            self._refusal = refusal
            for part in self._parts.values():
                self._show(part)

    def _begin(self, account_id: AccountId) -> _Part:
        part = self._parts[account_id] = _Part(account_id, self._surroundings.peek(account_id))
        part.error = self._surroundings.refusal(account_id)
        self._news.follow(account_id, self)
        self._show(part)
        if part.result is None:
            self._await(part)
        return part

    def _await(self, part: _Part) -> None:
        part.until = self._surroundings.now_ms() + _NOTHING_MS
        self._queue(part)

    def _on_time(self, part: _Part) -> None:
        if part.entry is None and part.error is None and self._refusal is None:
            part.until = inf
            self._put(part, not_known_yet(part.account_id, _NOTHING_MS / 1000))
        else:
            self._show(part)

    def _show(self, part: _Part) -> None:
        now = self._surroundings.now_ms()
        verdict = judge(part.account_id, part.entry, self._refusal or part.error, now, self._limits())
        if verdict is not None:
            part.until = verdict.until
            self._queue(part)
            self._put(part, verdict.result)

    def _queue(self, part: _Part) -> None:
        """Have a part looked at in time. If that is so already, it is looked at early, and then queued again."""
        if part.until < part.queued:
            part.queued = part.until
            heappush(self._moments, (part.until, part.account_id))

    def _put(self, part: _Part, result: AccountResult) -> None:
        is_same = shows_the_same(part.result, result, self._content)
        part.result, part.text = result, None
        if not is_same:
            for watcher in part.watchers:
                watcher.mark(part.account_id)
