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
from app.accounts import AccountResult, Accounts, Available, Question
from app.api.openapi.document import FormatParameter
from app.api.rendering.batch_fragments import BatchFragments
from app.api.rendering.list_headers import age_header, etag_of_list, etag_of_result, link_next, list_headers
from app.api.rendering.representations import Representation, RepresentationCache
from app.api.rendering.responses import (
    VARY,
    ResponsePreferences,
    etag_of_bytes,
    etag_of_format,
    matches,
    render_representation,
    render_response,
)
from app.api.rendering.view_tables import Tabular, write
from app.api.replies import Reply
from app.api.requests.cache_control import parse_request_directives
from app.api.requests.formats import MEDIA_TYPES, Format, choose_format
from app.api.requests.headers import join_lines
from app.api.requests.parameters import read_format
from app.api.requests.selection import Selection
from app.api.routes.paging import Page
from app.api.views.accounts import RowFilter, View
from app.api.views.batch import BatchView
from app.api.views.merchants import MerchantsView
from app.api.views.parts import PartView, oldest
from app.api.views.portfolio import BreakdownView, HoldersView, PagedView, ReconciliationView, SweepView
from app.balances.snapshots import AGGREGATE, AccountId, Snapshot
from app.cache.freshness import FreshnessPolicy
from app.errors import Forbidden
from app.portfolio.parts import Parts

AnyRequest = Request[Any, Any, Any]


class Exchange:
    """Stand between a handler and its request, with the `desk` that it asks at. `now_ms` is Unix time in milliseconds."""

    def __init__(
        self,
        request: AnyRequest,
        *,
        accounts: Accounts,
        representations: RepresentationCache,
        fragments: BatchFragments,
        policy: FreshnessPolicy,
        now_ms: Callable[[], int],
    ) -> None:
        self.accounts: Final = accounts
        self._request: Final = request
        self._representations: Final = representations
        self._fragments: Final = fragments
        self._policy: Final = policy
        self._now_ms: Final = now_ms
        self._caller: Final[Caller] = request.state["caller"]

    def authorise(self, key: AccountId) -> AccountId:
        """Give the key back if the caller may read it. Raises `Forbidden`."""
        self._request.scope["state"]["merchant"] = key
        authorise(self._caller, key)
        return key

    def authorise_all(self, keys: Sequence[AccountId]) -> Sequence[AccountId]:
        """Give the keys back if the caller may read every one of them. Raises `Forbidden`."""
        self._request.scope["state"]["merchants"] = len(keys)
        for key in keys:
            authorise(self._caller, key)
        return keys

    def read_directives(self) -> Question:
        """Say who asks, and on which terms. Raises `InvalidRequest`."""
        cache_control = self._header(b"cache-control") or ""
        return Question(
            self._caller.name, parse_request_directives(cache_control, self._now_ms(), self._policy.fresh_ms)
        )

    def format(self, named: str | None) -> Format:
        """Say how the answer is to be written: as named, else as Accept has it. Raises `InvalidRequest`."""
        return choose_format(self._header(b"accept")) if named is None else read_format(named)

    def readable(self) -> frozenset[AccountId] | str:
        """Give the merchants that the caller may read, or `ALL`."""
        return self._caller.merchants

    def authorise_portfolio(self) -> frozenset[AccountId] | str:
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

    def reply(self, told: Available, query: str, view: Callable[[Snapshot], View]) -> Response[bytes]:
        """Send a view as JSON, which is rendered once for this path, canonical query and snapshot; or a 304."""
        name = (self._request.scope["path"], query)
        representation = self._representations.render(
            name, told.snapshot, lambda snapshot: render_representation(snapshot, view(snapshot))
        )
        return self._send(representation, told)

    def respond_table(self, told: Available, keep: RowFilter, form: Format) -> Response[bytes]:
        """Send the rows to keep as a table, which is made anew each time; or a 304. It says whether they are stale."""
        part = PartView.of(told, keep)
        etag = etag_of_format(etag_of_bytes(msgspec.json.encode(msgspec.structs.replace(part, as_of=UNSET))), form)
        return self._send(Representation(told.snapshot, MEDIA_TYPES[form], VARY, etag, write(part, form)), told)

    async def respond_page(self, page: Page, parts: Parts | None, form: Format) -> Response[bytes]:
        """Send a page, or a 304 if the caller has it; `parts` are those that it was made of just now."""
        return await self._respond_list(page.view, page.as_of, None if parts is None else parts.parts, form)

    async def respond_batch(self, parts: Sequence[AccountResult], choice: Selection, form: Format) -> Response[bytes]:
        """Send many merchants' balances, or a 304 if the caller has them."""
        if choice.is_all and form is Format.JSON:
            written = self._fragments.write(parts)
            headers = list_headers(oldest(parts), parts, self._policy, self._now_ms())
            return await self._respond_unless_known(written.etag, headers, written.body, form)
        return await self._respond_list(BatchView.of(parts, choice.keeps), oldest(parts), parts, form)

    async def respond_result(
        self, view: ReconciliationView | MerchantsView, form: Format, *, as_of: int | None = None
    ) -> Response[bytes]:
        """Send a result that stands until there is another, or a 304; and its age, where it is `as_of` a time (Unix milliseconds)."""
        headers = [("Cache-Control", "private, no-cache"), ("Vary", VARY), *age_header(as_of, self._now_ms())]
        return await self._respond_unless_known(etag_of_result(view), headers, view, form)

    async def respond_state(
        self, view: ReconciliationView, form: Format, *, status: int = 200, location: str | None = None
    ) -> Response[bytes]:
        """Send how a job is now."""
        headers = [("Content-Type", MEDIA_TYPES[form]), ("Cache-Control", "no-store"), ("Vary", VARY)]
        headers += [] if location is None else [("Location", location)]
        return as_response(Reply(status, headers, await _write(view, form)))

    async def _respond_list(
        self, view: PagedView | BatchView, as_of: int | None, parts: Sequence[AccountResult] | None, form: Format
    ) -> Response[bytes]:
        headers = list_headers(as_of, parts, self._policy, self._now_ms())
        return await self._respond_unless_known(etag_of_list(view), headers, view, form)

    async def _respond_unless_known(
        self, etag: str, headers: list[tuple[str, str]], view: Tabular | bytes, form: Format
    ) -> Response[bytes]:
        """Send a view, which may be written already, or a 304 to a GET whose caller has it (RFC 9110, 13.1.2), and say where it goes on."""
        etag = etag_of_format(etag, form)
        headers = [("ETag", etag), *headers, *_sweep_header(view), *self._link(view)]
        if self._request.method == HttpMethod.GET and matches(self._header(b"if-none-match") or "", etag):
            return as_response(Reply(304, headers, b""))
        return as_response(Reply(200, [("Content-Type", MEDIA_TYPES[form]), *headers], await _write(view, form)))

    def _link(self, view: Tabular | bytes) -> list[tuple[str, str]]:
        match view:
            case BreakdownView(next=str(after)) | HoldersView(next=str(after)) | MerchantsView(next=str(after)):
                return [link_next(self._request.scope["path"], self._request.scope["query_string"], after)]
            case _:
                return []

    def _send(self, representation: Representation, told: Available) -> Response[bytes]:
        preferences = ResponsePreferences(self._header(b"if-none-match"), self._header(b"accept-encoding"))
        return as_response(render_response(representation, told.served, self._policy, self._now_ms(), preferences))

    def _header(self, name: bytes) -> str | None:
        return join_lines(self._request.scope["headers"], name)


def read_form(exchange: NamedDependency[Exchange], named: FormatParameter = None) -> Format:
    """Settle how a request wants its answer written. It builds on `asking`: for two that do not, Litestar makes tasks."""
    return exchange.format(named)


def _sweep_header(view: Tabular | bytes) -> list[tuple[str, str]]:
    """Say how the sweep is, where the view does."""
    match view:
        case BreakdownView(sweep=SweepView() as sweep) | HoldersView(sweep=SweepView() as sweep):
            return [sweep.header]
        case _:
            return []


async def _write(view: Tabular | bytes, form: Format) -> bytes:
    """Write a view; a table in a thread of its own, as one of many thousand rows would hold everybody up."""
    if isinstance(view, bytes):
        return view
    return write(view, form) if form is Format.JSON else await asyncio.to_thread(write, view, form)


def as_response(reply: Reply) -> Response[bytes]:
    """Hand a finished reply to Litestar."""
    return Response(reply.body, status_code=reply.status, headers=dict(reply.headers))
