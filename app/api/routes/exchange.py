"""Exchange: what a handler asks of its request, and the responses it sends, for every path but account reads."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final

from litestar import Response
from litestar.di import NamedDependency
from litestar.enums import HttpMethod
from msgspec import UNSET

from app.access.callers import ALL, Caller, authorise
from app.access.readable import Readable
from app.accounts import AccountResult, Accounts
from app.api.context import context_of
from app.api.openapi.document import BomParameter, FormatParameter
from app.api.reads.long_polls import counted_wait, with_rights
from app.api.rendering.batch_fragments import BatchFragments
from app.api.rendering.conditional import etag_of_format, etag_of_list, etag_of_past, etag_of_result, matches
from app.api.rendering.list_headers import age_header, link_next, list_headers
from app.api.rendering.responses import VARY
from app.api.rendering.view_tables import Tabular, write
from app.api.replies import Reply
from app.api.requests.cache_control import parse_request_directives
from app.api.requests.formats import MEDIA_TYPES, Format, choose_format
from app.api.requests.headers import join_lines
from app.api.requests.moments import read_past_moment, read_wait
from app.api.requests.parameters import read_format
from app.api.requests.prefer import applied
from app.api.requests.selection import Selection
from app.api.routes.litestar_quirks import AnyRequest
from app.api.routes.paging import Page
from app.api.views.batch import BatchView
from app.api.views.history import ChangesView, FeedView
from app.api.views.merchants import MerchantsView
from app.api.views.parts import oldest
from app.api.views.past_breakdown import PastBreakdownView
from app.api.views.portfolio import BreakdownView, HoldersView, PagedView, ReconciliationView, SweepView
from app.balances.snapshots import AGGREGATE, AccountId
from app.cache.freshness import FreshnessPolicy, RequestDirectives
from app.errors import Forbidden, InternalError, InvalidRequest
from app.portfolio.parts import Parts
from app.watch.long_polls import LongPolls

_CHECKED: Final = (("Cache-Control", "private, no-cache"), ("Vary", VARY))
_UNCACHED: Final = (("Cache-Control", "no-store"), ("Vary", VARY))


class Exchange:
    """One admitted request and its response. `unix_ms` gives Unix time in milliseconds."""

    def __init__(
        self,
        request: AnyRequest,
        *,
        accounts: Accounts,
        fragments: BatchFragments,
        policy: FreshnessPolicy,
        unix_ms: Callable[[], int],
        long_polls: LongPolls | None = None,
    ) -> None:
        self.accounts: Final = accounts
        self._request: Final = request
        self._fragments: Final = fragments
        self._policy: Final = policy
        self._unix_ms: Final = unix_ms
        self._long_polls: Final = long_polls
        self.context: Final = context_of(request.scope)
        if self.context.caller is None:
            raise InternalError("No guard has admitted this request.")
        self.caller: Final[Caller] = self.context.caller

    @property
    def directives(self) -> RequestDirectives:
        """How old an answer the request accepts. Raises `InvalidRequest`."""
        cache_control = self._header(b"cache-control") or ""
        return parse_request_directives(cache_control, self._unix_ms(), self._policy.fresh_ms)

    def choose_format(self, named: str | None, bom: str | None) -> Format:
        """Choose the format that is named, else the one that Accept prefers. Raises `InvalidRequest`."""
        return read_format(named, bom) or choose_format(self._header(b"accept"))

    def authorise_all(self, account_ids: Sequence[AccountId]) -> Sequence[AccountId]:
        """Return the accounts if the caller may read every one of them. Raises `Forbidden`."""
        self.context.merchants = len(account_ids)
        for account_id in account_ids:
            authorise(self.caller, account_id)
        return account_ids

    @property
    def wait_seconds(self) -> int:
        """For how many seconds the request waits for news (RFC 7240)."""
        return read_wait(self._header(b"prefer"))

    def readable(self, wanted: Sequence[AccountId] | None) -> Readable:
        """Return which of the wanted merchants the caller reads, of all for None. Raises `Forbidden`."""
        self.context.merchants = None if wanted is None else len(wanted)
        return Readable.of(self.caller, wanted)

    def read_past(self, at: str) -> int:
        """Read a moment of the past (Unix ms). Raises `InvalidRequest`, also for a request with directives."""
        moment = read_past_moment(at, self._unix_ms())
        if not self.directives.are_default:
            raise InvalidRequest("at goes with no directives of Cache-Control.")
        return moment

    def authorise_portfolio(self) -> frozenset[AccountId] | str:
        """Return the merchants that the caller may read, or `ALL`. Raises `Forbidden` without the portfolio right."""
        authorise(self.caller, AGGREGATE)
        return self.caller.merchants

    def authorise_everything(self) -> None:
        """Raise `Forbidden` unless the caller may read the portfolio and every merchant."""
        if self.authorise_portfolio() != ALL:
            raise Forbidden("You may not read this.")

    def scope(self, view: str) -> str:
        """Name a view together with the merchants that this caller sees in it."""
        merchants = self.caller.merchants
        return f"{view} of {ALL if merchants == ALL else ','.join(sorted(merchants))}"

    def as_of(self, parts: Parts) -> int:
        """Return the time of the oldest part (Unix milliseconds), or now if there is none."""
        of_oldest = oldest(parts.parts)
        return self._unix_ms() if of_oldest is None else of_oldest

    async def respond_changed(
        self, account_ids: Collection[AccountId] | str, look: Callable[[], Awaitable[Response[bytes]]]
    ) -> Response[bytes]:
        """Respond as `look` does. A 304 is put off, as long as the caller prefers, until there is a 200 instead.

        `account_ids` are those that the response shows, or `ALL`.
        """
        response = await look()
        seconds = read_wait(self._header(b"prefer"))
        is_conditional = self._request.method == HttpMethod.GET and self._header(b"if-none-match") is not None
        if self._long_polls is None or not seconds or not is_conditional:
            return response
        if _is_known(response):
            ids = account_ids if not isinstance(account_ids, str) else None
            look = with_rights(look, self.context, ids)
            with counted_wait(self.context):
                response = await self._long_polls.wait(ids, seconds, look, response, _is_known)
        response.set_header(*applied(seconds))
        return response

    async def respond_page(self, page: Page, parts: Parts | None, output_format: Format) -> Response[bytes]:
        """Respond with a page, or 304. `parts` are those that were read for it, None for a stored version."""
        if isinstance(page.view, PastBreakdownView):  # a later look may still make it more certain
            return await self._respond_unless_known(etag_of_past(page.view), [*_CHECKED], page.view, output_format)
        return await self._respond_list(page.view, page.as_of, None if parts is None else parts.parts, output_format)

    async def respond_batch(
        self, parts: Sequence[AccountResult], selection: Selection, output_format: Format
    ) -> Response[bytes]:
        """Respond with the balances of many merchants, or 304."""
        if selection.is_all and output_format is Format.JSON:
            written = self._fragments.write(parts)
            headers = list_headers(oldest(parts), parts, self._policy, self._unix_ms())
            return await self._respond_unless_known(written.etag, headers, written.body, output_format)
        return await self._respond_list(BatchView.of(parts, selection.keeps), oldest(parts), parts, output_format)

    async def respond_result(
        self, view: ReconciliationView | MerchantsView, output_format: Format, *, as_of: int | None = None
    ) -> Response[bytes]:
        """Respond with a result that is valid until the next one, or 304. `as_of` gives it an age (Unix milliseconds)."""
        headers = [*_CHECKED, *age_header(as_of, self._unix_ms())]
        return await self._respond_unless_known(etag_of_result(view), headers, view, output_format)

    async def respond_state(
        self, view: ReconciliationView, output_format: Format, *, status: int = 200, location: str | None = None
    ) -> Response[bytes]:
        """Respond with the present state of a job."""
        headers = [("Content-Type", MEDIA_TYPES[output_format]), *_UNCACHED]
        headers += [] if location is None else [("Location", location)]
        return as_response(Reply.of(status, headers, await _write(view, output_format)))

    async def respond_changes(
        self, view: ChangesView | FeedView, output_format: Format, headers: Sequence[tuple[str, str]] = ()
    ) -> Response[bytes]:
        """Respond with changes, which nobody caches: a later request finds more of them."""
        sent = [("Content-Type", MEDIA_TYPES[output_format]), *_UNCACHED, *headers, *self._next_link(view)]
        return as_response(Reply.of(200, sent, await _write(view, output_format)))

    async def _respond_list(
        self,
        view: PagedView | BatchView,
        as_of: int | None,
        parts: Sequence[AccountResult] | None,
        output_format: Format,
    ) -> Response[bytes]:
        headers = list_headers(as_of, parts, self._policy, self._unix_ms())
        return await self._respond_unless_known(etag_of_list(view), headers, view, output_format)

    async def _respond_unless_known(
        self, etag: str, headers: list[tuple[str, str]], view: Tabular | bytes, output_format: Format
    ) -> Response[bytes]:
        """Respond with a view, which may be encoded already, or 304 to a GET that names its tag (RFC 9110, 13.1.2)."""
        etag = etag_of_format(etag, output_format)
        headers = [("ETag", etag), *headers, *_sweep_header(view), *self._next_link(view)]
        if self._request.method == HttpMethod.GET and matches(self._header(b"if-none-match"), etag):
            return as_response(Reply.of(304, headers, b""))
        headers = [("Content-Type", MEDIA_TYPES[output_format]), *headers]
        return as_response(Reply.of(200, headers, await _write(view, output_format)))

    def _next_link(self, view: Tabular | bytes) -> list[tuple[str, str]]:
        after = getattr(view, "next", UNSET)
        if not isinstance(after, str):
            return []
        return [link_next(self._request.scope["path"], self._request.scope["query_string"], after)]

    def _header(self, name: bytes) -> str | None:
        return join_lines(self._request.scope["headers"], name)


def choose_output_format(
    exchange: NamedDependency[Exchange], named_format: FormatParameter = None, bom: BomParameter = None
) -> Format:
    """Choose the format of a response. It depends on `exchange`: for two independent dependencies Litestar makes tasks."""
    return exchange.choose_format(named_format, bom)


def _is_known(response: Response[bytes]) -> bool:
    return response.status_code == 304  # noqa: PLR2004


def _sweep_header(view: Tabular | bytes) -> list[tuple[str, str]]:
    """Describe the sweep, where the view does."""
    match view:
        case BreakdownView(sweep=SweepView() as sweep) | HoldersView(sweep=SweepView() as sweep):
            return [sweep.header]
        case _:
            return []


async def _write(view: Tabular | bytes, output_format: Format) -> bytes:
    """Encode a view. Tables are written in a thread, since thousands of rows would block the event loop."""
    if isinstance(view, bytes):
        return view
    return (
        write(view, output_format)
        if output_format is Format.JSON
        else await asyncio.to_thread(write, view, output_format)
    )


def as_response(reply: Reply) -> Response[bytes]:
    """Turn a finished reply into Litestar's response, which adds the length by itself."""
    headers = {name.decode(): value.decode("latin-1") for name, value in reply.headers if name != b"content-length"}
    return Response(reply.body, status_code=reply.status, headers=headers)
