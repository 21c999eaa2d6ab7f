"""Cursor pagination: the first page of a view made now, and later pages of the version stored with it."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, Self, TypeVar

import msgspec
from msgspec import UNSET, Struct

from app.api.requests.parameters import read_cursor
from app.api.views.parts import PartView
from app.api.views.past_breakdown import PastBreakdownView, PastPartView
from app.api.views.portfolio import BreakdownView, HoldersView, HolderView, PagedView, SweepView
from app.balances.snapshots import UnixMs
from app.decoding import Undecodable, decode_json
from app.errors import StoreUnavailable, ViewGone
from app.fleet.view_versions import ViewVersions
from app.portfolio.sweep_figures import SweepStatus
from app.redis.client import RedisFailure

V = TypeVar("V", BreakdownView, HoldersView, PastBreakdownView)

_ITEMS: Final[dict[type, tuple[str, type]]] = {
    BreakdownView: ("merchants", PartView),
    HoldersView: ("holders", HolderView),
    PastBreakdownView: ("merchants", PastPartView),
}


class Page(Struct, frozen=True):
    """A page of a view, and the time of the oldest part of the whole view (Unix milliseconds)."""

    view: PagedView | PastBreakdownView
    as_of: int

    def with_sweep(self, status: SweepStatus | None) -> Self:
        """Add how the sweep is now. No version keeps that: each page has its own."""
        if status is None or isinstance(self.view, PastBreakdownView):
            return self
        return msgspec.structs.replace(self, view=msgspec.structs.replace(self.view, sweep=SweepView.of(status)))


class _Head(Struct, frozen=True):
    scope: str
    as_of: UnixMs
    view: msgspec.Raw


class Paginator:
    """Split views into pages. `scope` names the view and who may see it: a cursor is valid in one scope only."""

    def __init__(self, versions: ViewVersions) -> None:
        self._versions: Final = versions

    async def first_page(
        self,
        head: PagedView | PastBreakdownView,
        items: Sequence[PartView] | Sequence[HolderView] | Sequence[PastPartView],
        *,
        scope: str,
        as_of: int,
        limit: int,
    ) -> Page:
        """Return the first page, and store the whole view if there are more."""
        encoded = [msgspec.json.encode(item) for item in items]
        kept = msgspec.json.encode(_Head(scope, as_of, msgspec.Raw(msgspec.json.encode(head))))
        version = blake2b(b"\0".join([kept, *encoded]), digest_size=12).hexdigest()
        if len(items) > limit:
            await self._versions.save(version, kept, encoded)
        return Page(_fill(head, version, tuple(items[:limit]), 0, len(items)), as_of)

    async def next_page(self, kind: type[V], cursor: str, *, scope: str, limit: int) -> Page:
        """Return the page at a cursor. Raises `InvalidRequest`, `ViewGone`, or `StoreUnavailable`."""
        version, shown = read_cursor(cursor)
        found = await self._versions.slice(version, shown, limit)
        if isinstance(found, RedisFailure):
            raise StoreUnavailable("The view is kept in Redis, and it is away.", retry_after_seconds=2)
        if found is None or not found.items:
            raise _gone()
        _, item = _ITEMS[kind]
        try:
            head = decode_json(found.head, _Head)
            if head.scope != scope:
                raise _gone()
            items: tuple[Struct, ...] = tuple(decode_json(raw, item) for raw in found.items)
            view = decode_json(head.view, kind)
        except Undecodable as error:
            self._versions.report_unreadable(error)
            raise _gone() from None
        return Page(_fill(view, version, items, shown, found.count), head.as_of)


def _gone() -> ViewGone:
    return ViewGone("The version of the view that this cursor belongs to is not kept any more.")


def _fill(
    head: PagedView | PastBreakdownView, version: str, items: tuple[Struct, ...], shown: int, count: int
) -> PagedView | PastBreakdownView:
    name, _ = _ITEMS[type(head)]
    shown += len(items)
    after = UNSET if shown >= count else f"{version}-{shown}"
    return msgspec.structs.replace(head, **{name: items, "version": version, "next": after})
