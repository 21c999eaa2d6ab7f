"""Stream scope: the accounts that streams of one view show, kept once for all of these streams."""

from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from app.accounts import Available
from app.api.streams.events import Heartbeat
from app.api.views.parts import Coverage
from app.balances.snapshots import AccountId
from app.watch.board import Board


class Reader(Protocol):
    """A stream of a scope."""

    def mark(self, account_id: AccountId, /) -> None:
        """Note that an account has changed."""

    def forget(self, account_id: AccountId, /) -> None:
        """Note that an account is shown no longer."""


class Scope:
    """Pass changes of accounts on to all streams that show them. What a heartbeat says is made once a second for all."""

    def __init__(self, board: Board, account_ids: tuple[AccountId, ...], now_ms: Callable[[], int]) -> None:
        self.board: Final = board
        self.account_ids = account_ids
        self._now_ms: Final = now_ms
        self.readers: Final[dict[Reader, None]] = {}
        self._heartbeat: tuple[int, bytes, bool] | None = None
        board.add(self, account_ids)

    def mark(self, account_id: AccountId, /) -> None:
        """Pass a change on."""
        if not self.board.is_fresh(account_id):  # positions of the readers must not say that all were
            self._heartbeat = None
        for reader in self.readers:
            reader.mark(account_id)

    def replace(self, account_ids: tuple[AccountId, ...]) -> None:
        """Show these accounts from now on."""
        before, after = frozenset(self.account_ids), frozenset(account_ids)
        gone = [account_id for account_id in self.account_ids if account_id not in after]
        come = [account_id for account_id in account_ids if account_id not in before]
        self.account_ids, self._heartbeat = account_ids, None
        self.board.remove(self, gone)
        self.board.add(self, come)
        for reader in self.readers:
            for account_id in gone:
                reader.forget(account_id)
            for account_id in come:
                if self.board.result(account_id) is not None:
                    reader.mark(account_id)

    def close(self) -> None:
        """Let the board show nothing for it any more."""
        self.board.remove(self, self.account_ids)

    def coverage(self) -> Coverage:
        """Count the accounts."""
        return Coverage.of(self.board.results(self.account_ids))

    def heartbeat(self) -> tuple[bytes, bool]:
        """Return the data of a heartbeat, and whether every account is fresh."""
        now = self._now_ms()
        if self._heartbeat is None or now // 1000 != self._heartbeat[0]:
            results = self.board.results(self.account_ids)
            fresh = all(isinstance(one, Available) and not one.served.is_stale for one in results)
            self._heartbeat = now // 1000, msgspec.json.encode(Heartbeat.of(results, now)), fresh
        return self._heartbeat[1:]
