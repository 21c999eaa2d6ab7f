"""Scopes by what they show, with the demand that keeps their accounts young, and the sweep where they show all."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from math import ceil
from typing import Final

from msgspec import Struct

from app.api.requests.formats import StreamFormat
from app.api.requests.selection import Selection
from app.api.streams.events import encode_part, encode_rows
from app.api.streams.scope import Scope
from app.api.views.accounts import select_rows
from app.balances.snapshots import AGGREGATE, AccountId
from app.cache.freshness import FreshnessPolicy
from app.errors import TallygateError
from app.portfolio.directory import MerchantDirectory
from app.portfolio.sweep import Sweep
from app.watch.board import Board, Surroundings
from app.watch.demand import WatchDemand
from app.watch.judgement import Limits
from app.watch.news import AccountNews

_ASK_SECONDS: Final = 10.0
_SPARE: Final = 1.25
"""What a sweep may take longer than it says before its parts count as stale."""


class View(Struct, frozen=True):
    """What a stream wants to see of its accounts, how young, and whether a sweep keeps all of them young."""

    selection: Selection
    within_seconds: int
    is_text: bool
    is_swept: bool


class ScopeKey(Struct, frozen=True):
    """A view, and the accounts in it: all merchants for None, with the aggregate if `portfolio`."""

    view: View
    merchants: tuple[AccountId, ...] | None
    portfolio: bool


class Scopes:
    """Make scopes, one for all streams that show the same, and drop those that no stream shows any more."""

    def __init__(
        self,
        *,
        news: AccountNews,
        demand: WatchDemand,
        sweep: Sweep,
        directory: MerchantDirectory,
        surroundings: Surroundings,
        policy: FreshnessPolicy,
        monotonic: Callable[[], float],
    ) -> None:
        self._news: Final = news
        self._demand: Final = demand
        self._sweep: Final = sweep
        self._directory: Final = directory
        self._surroundings: Final = surroundings
        self._policy: Final = policy
        self._monotonic: Final = monotonic
        self._boards: Final[dict[View, Board]] = {}
        self._scopes: Final[dict[ScopeKey, Scope]] = {}
        self._asked_at = float("-inf")

    @property
    def sweeps(self) -> bool:
        """Whether a sweep keeps all merchants young, once asked for."""
        return self._sweep.demand.is_possible

    async def list_all(self) -> tuple[AccountId, ...]:
        """Return all merchants. Raises the `UpstreamError` that prevents a list."""
        listing = await self._directory.list()
        if self.sweeps:
            self._sweep.set_merchants(listing.names)
        return tuple(listing.names)

    def expected_seconds(self, view: View) -> int:
        """Return the age that the parts of a view reach."""
        if not view.is_swept:
            return ceil(self._demand.expected_seconds(view.within_seconds))
        reached = self._sweep.options.oldest_seconds(len(self._sweep.queue), self._sweep.reached)
        return max(view.within_seconds, ceil(_SPARE * reached))

    def acquire(self, key: ScopeKey, all_merchants: tuple[AccountId, ...]) -> Scope:
        """Return the scope of a key. `release` must follow. `all_merchants` counts where the key names none."""
        scope = self._scopes.get(key)
        if scope is None:
            board = self._boards.get(key.view) or self._boards.setdefault(key.view, self._make_board(key.view))
            merchants = all_merchants if key.merchants is None else key.merchants
            scope = Scope(board, _with_aggregate(key, merchants), self._surroundings.now_ms)
            self._scopes[key] = scope
            self._demand.add(self._demanded(key, scope), key.view.within_seconds * 1000)
            if key.view.is_swept:
                self._sweep.ask()
        return scope

    def release(self, key: ScopeKey, scope: Scope) -> None:
        """Drop a scope that no stream shows any more."""
        if not scope.readers:
            del self._scopes[key]
            self._demand.remove(self._demanded(key, scope), key.view.within_seconds * 1000)
            scope.close()
            if not len(scope.board):
                del self._boards[key.view]

    async def tick(self) -> None:
        """Show what time has changed, keep the sweep going, and follow the directory."""
        for board in tuple(self._boards.values()):
            board.tick()
        swept = {key: scope for key, scope in self._scopes.items() if key.view.is_swept}
        if swept and self._monotonic() >= self._asked_at + _ASK_SECONDS:
            self._asked_at = self._monotonic()
            self._sweep.ask()
            with suppress(TallygateError):
                merchants = await self.list_all()
                for key, scope in swept.items():
                    if scope.readers and scope.account_ids != (wanted := _with_aggregate(key, merchants)):
                        scope.replace(wanted)

    def read_again(self) -> None:
        """Look all watched accounts up in Redis: news of them may have been missed."""
        swept = [scope.account_ids for key, scope in self._scopes.items() if key.view.is_swept]
        self._demand.read_again([account_id for account_ids in swept for account_id in account_ids])

    def _demanded(self, key: ScopeKey, scope: Scope) -> tuple[AccountId, ...]:
        """Return the accounts that no sweep keeps young."""
        return ((AGGREGATE,) if key.portfolio else ()) if key.view.is_swept else scope.account_ids

    def _make_board(self, view: View) -> Board:
        keeps = None if view.selection.is_all else view.selection.keeps
        return Board(
            self._news,
            self._surroundings,
            lambda: self._limits(view),
            lambda snapshot: select_rows(snapshot, keeps),
            partial(encode_rows if view.is_text else encode_part, keeps=keeps),
        )

    def _limits(self, view: View) -> Limits:
        policy, fresh_ms = self._policy, 1000 * self.expected_seconds(view)
        stale_ms = policy.portfolio_stale_ms if view.is_swept else policy.stale_if_error_ms
        return Limits(fresh_ms, policy.fresh_ms, max(fresh_ms, stale_ms))


def view_of(selection: Selection, within_seconds: int, stream_format: StreamFormat, *, is_swept: bool) -> View:
    """Name the view of a stream. All JSON of a view is encoded once."""
    return View(selection, within_seconds, stream_format is StreamFormat.TEXT, is_swept)


def _with_aggregate(key: ScopeKey, merchants: tuple[AccountId, ...]) -> tuple[AccountId, ...]:
    return (AGGREGATE, *merchants) if key.portfolio else merchants
