"""One request for balances: who asks, on which terms, and how the answer goes back."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.di import NamedDependency
from litestar.enums import HttpMethod
from msgspec import UNSET

from app.access.callers import ALL, Caller, authorise
from app.accounts import Desk, Part, Question, Told
from app.api.openapi.document import FormatText
from app.api.rendering.batch_fragments import Strips
from app.api.rendering.list_headers import headers_of_many, link_next, tag_many, tag_result, tell_age
from app.api.rendering.representations import Sheet, Shelf
from app.api.rendering.responses import VARY, Wish, matches, render_answer, render_sheet, tag_bytes, tag_format
from app.api.rendering.view_tables import Tabular, write
from app.api.replies import Reply
from app.api.requests.cache_control import read_terms
from app.api.requests.formats import MEDIA_TYPES, Format, choose_format
from app.api.requests.headers import join_lines
from app.api.requests.parameters import read_format
from app.api.requests.selection import Choice
from app.api.routes.paging import Page, PagedView
from app.api.views.accounts import Keep, View
from app.api.views.batch import BatchView
from app.api.views.merchants import MerchantsView
from app.api.views.parts import PartView, oldest
from app.api.views.portfolio import BreakdownView, HoldersView, ReconciliationView
from app.balances.snapshots import AGGREGATE, Key, Snapshot
from app.cache.freshness import Policy
from app.errors import Forbidden
from app.portfolio.parts import Parts

AnyRequest = Request[Any, Any, Any]


class Asking:
    """Stand between a handler and its request, with the `desk` that it asks at. `now_ms` is Unix time in milliseconds."""

    def __init__(
        self,
        request: AnyRequest,
        *,
        desk: Desk,
        shelf: Shelf,
        strips: Strips,
        policy: Policy,
        now_ms: Callable[[], int],
    ) -> None:
        self.desk: Final = desk
        self._request: Final = request
        self._shelf: Final = shelf
        self._strips: Final = strips
        self._policy: Final = policy
        self._now_ms: Final = now_ms
        self._caller: Final[Caller] = request.state["caller"]

    def authorise(self, key: Key) -> Key:
        """Give the key back if the caller may read it. Raises `Forbidden`."""
        self._request.scope["state"]["merchant"] = key
        authorise(self._caller, key)
        return key

    def authorise_all(self, keys: Sequence[Key]) -> Sequence[Key]:
        """Give the keys back if the caller may read every one of them. Raises `Forbidden`."""
        self._request.scope["state"]["merchants"] = len(keys)
        for key in keys:
            authorise(self._caller, key)
        return keys

    def question(self) -> Question:
        """Say who asks, and on which terms. Raises `InvalidRequest`."""
        cache_control = self._header(b"cache-control") or ""
        return Question(self._caller.name, read_terms(cache_control, self._now_ms(), self._policy.fresh_ms))

    def form(self, named: str | None) -> Format:
        """Say how the answer is to be written: as named, else as Accept has it. Raises `InvalidRequest`."""
        return choose_format(self._header(b"accept")) if named is None else read_format(named)

    def readable(self) -> frozenset[Key] | str:
        """Give the merchants that the caller may read, or `ALL`."""
        return self._caller.merchants

    def authorise_portfolio(self) -> frozenset[Key] | str:
        """Give the merchants that the caller may see together, or `ALL`. Raises `Forbidden` without the portfolio right."""
        authorise(self._caller, AGGREGATE)
        return self._caller.merchants

    def authorise_everything(self) -> None:
        """Let a caller see what tells of every merchant there is. Raises `Forbidden`."""
        if self.authorise_portfolio() != ALL:
            raise Forbidden("You may not read this.")

    def scope(self, view: str) -> str:
        """Name a view and the merchants that are in it for this caller."""
        merchants = self._caller.merchants
        return f"{view} of {ALL if merchants == ALL else ','.join(sorted(merchants))}"

    def as_of(self, parts: Parts) -> int:
        """Tell since when a view of parts stands: like its oldest part, or as of now if there is none."""
        stands = oldest(parts.parts)
        return self._now_ms() if stands is None else stands

    def reply(self, told: Told, query: str, view: Callable[[Snapshot], View]) -> Response[bytes]:
        """Send a view as JSON, which is rendered once for this path, canonical query and snapshot; or a 304."""
        name = (self._request.scope["path"], query)
        sheet = self._shelf.render(name, told.snapshot, lambda snapshot: render_sheet(snapshot, view(snapshot)))
        return self._send(sheet, told)

    def reply_table(self, told: Told, keep: Keep, form: Format) -> Response[bytes]:
        """Send the rows to keep as a table, which is made anew each time; or a 304. It says whether they are stale."""
        part = PartView.of(told, keep)
        etag = tag_format(tag_bytes(msgspec.json.encode(msgspec.structs.replace(part, as_of=UNSET))), form)
        return self._send(Sheet(told.snapshot, MEDIA_TYPES[form], VARY, etag, write(part, form)), told)

    async def reply_page(self, page: Page, parts: Parts | None, form: Format) -> Response[bytes]:
        """Send a page, or a 304 if the caller has it; `parts` are those that it was made of just now."""
        return await self._reply_many(page.view, page.as_of, None if parts is None else parts.parts, form)

    async def reply_batch(self, parts: Sequence[Part], choice: Choice, form: Format) -> Response[bytes]:
        """Send many merchants' balances, or a 304 if the caller has them."""
        if choice.is_all and form is Format.JSON:
            written = self._strips.write(parts)
            headers = headers_of_many(oldest(parts), parts, self._policy, self._now_ms())
            return await self._reply_unless_known(written.etag, headers, written.body, form)
        return await self._reply_many(BatchView.of(parts, choice.keeps), oldest(parts), parts, form)

    async def reply_result(
        self, view: ReconciliationView | MerchantsView, form: Format, *, as_of: int | None = None
    ) -> Response[bytes]:
        """Send a result that stands until there is another, or a 304; and its age, where it is `as_of` a time (Unix milliseconds)."""
        headers = [("Cache-Control", "private, no-cache"), ("Vary", VARY), *tell_age(as_of, self._now_ms())]
        return await self._reply_unless_known(tag_result(view), headers, view, form)

    async def reply_state(
        self, view: ReconciliationView, form: Format, *, status: int = 200, location: str | None = None
    ) -> Response[bytes]:
        """Send how a job is now."""
        headers = [("Content-Type", MEDIA_TYPES[form]), ("Cache-Control", "no-store"), ("Vary", VARY)]
        headers += [] if location is None else [("Location", location)]
        return as_response(Reply(status, headers, await _write(view, form)))

    async def _reply_many(
        self, view: PagedView | BatchView, as_of: int | None, parts: Sequence[Part] | None, form: Format
    ) -> Response[bytes]:
        headers = headers_of_many(as_of, parts, self._policy, self._now_ms())
        return await self._reply_unless_known(tag_many(view), headers, view, form)

    async def _reply_unless_known(
        self, etag: str, headers: list[tuple[str, str]], view: Tabular | bytes, form: Format
    ) -> Response[bytes]:
        """Send a view, which may be written already, or a 304 to a GET whose caller has it (RFC 9110, 13.1.2), and say where it goes on."""
        etag = tag_format(etag, form)
        headers = [("ETag", etag), *headers, *self._link(view)]
        if self._request.method == HttpMethod.GET and matches(self._header(b"if-none-match") or "", etag):
            return as_response(Reply(304, headers, b""))
        return as_response(Reply(200, [("Content-Type", MEDIA_TYPES[form]), *headers], await _write(view, form)))

    def _link(self, view: Tabular | bytes) -> list[tuple[str, str]]:
        match view:
            case BreakdownView(next=str(after)) | HoldersView(next=str(after)) | MerchantsView(next=str(after)):
                return [link_next(self._request.scope["path"], self._request.scope["query_string"], after)]
            case _:
                return []

    def _send(self, sheet: Sheet, told: Told) -> Response[bytes]:
        wish = Wish(self._header(b"if-none-match"), self._header(b"accept-encoding"))
        return as_response(render_answer(sheet, told.served, self._policy, self._now_ms(), wish))

    def _header(self, name: bytes) -> str | None:
        return join_lines(self._request.scope["headers"], name)


def read_form(asking: NamedDependency[Asking], named: FormatText = None) -> Format:
    """Settle how a request wants its answer written. It builds on `asking`: for two that do not, Litestar makes tasks."""
    return asking.form(named)


async def _write(view: Tabular | bytes, form: Format) -> bytes:
    """Write a view; a table in a thread of its own, as one of many thousand rows would hold everybody up."""
    if isinstance(view, bytes):
        return view
    return write(view, form) if form is Format.JSON else await asyncio.to_thread(write, view, form)


def as_response(reply: Reply) -> Response[bytes]:
    """Hand a finished reply to Litestar."""
    return Response(reply.body, status_code=reply.status, headers=dict(reply.headers))
