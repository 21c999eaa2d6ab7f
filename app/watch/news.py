"""Account news: followers hear each new entry, failed load and withdrawal. Memory and the loads report them."""

from collections.abc import Iterable
from typing import Final, Protocol

from app.balances.snapshots import AccountId, Entry
from app.errors import TallygateError


class Follower(Protocol):
    """A follower of accounts. It must not raise, since it is called in the middle of what others do."""

    def on_entry(self, entry: Entry, /) -> None:
        """Handle an entry that memory keeps from now on. Its content may be the same as before."""

    def on_failure(self, account_id: AccountId, error: TallygateError, /) -> None:
        """Handle a load that failed, here or at another replica."""

    def on_forgotten(self, account_id: AccountId, /) -> None:
        """Handle an account of which memory keeps nothing any more: it may have been another account's."""


class AccountNews:
    """Pass news of each account on to its followers. It is a listener of memory.

    Where nobody follows, an entry costs one look-up. Followers of all hear the news of every account.
    """

    def __init__(self) -> None:
        self._followers: Final[dict[AccountId, list[Follower]]] = {}
        self._of_all: tuple[Follower, ...] = ()

    def follow(self, account_id: AccountId, follower: Follower) -> None:
        """Let a follower hear the news of an account. Each call counts."""
        self._followers.setdefault(account_id, []).append(follower)

    def unfollow(self, account_id: AccountId, follower: Follower) -> None:
        """Undo one `follow`."""
        followers = self._followers[account_id]
        followers.remove(follower)
        if not followers:
            del self._followers[account_id]

    def follow_all(self, follower: Follower) -> None:
        """Let a follower hear the news of all accounts."""
        self._of_all += (follower,)

    def unfollow_all(self, follower: Follower) -> None:
        """Undo `follow_all`."""
        self._of_all = tuple(one for one in self._of_all if one is not follower)

    def on_put(self, entry: Entry) -> None:
        """Pass on an entry that memory keeps from now on."""
        for follower in self._of(entry.account_id):
            follower.on_entry(entry)

    def on_drop(self, account_id: AccountId) -> None:
        """Pass on that memory keeps nothing of an account any more."""
        for follower in self._of(account_id):
            follower.on_forgotten(account_id)

    def on_failure(self, account_id: AccountId, error: TallygateError) -> None:
        """Pass on that a load of an account failed."""
        for follower in self._of(account_id):
            follower.on_failure(account_id, error)

    def _of(self, account_id: AccountId) -> Iterable[Follower]:
        followers = self._followers.get(account_id)
        return self._of_all if followers is None else (*followers, *self._of_all)
