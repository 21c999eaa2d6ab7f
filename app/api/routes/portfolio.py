"""The portfolio paths: all merchants together, and whether the upstream's aggregate agrees with them."""

from typing import Final

from litestar import Response, get, post
from litestar.di import NamedDependency

from app.api.openapi import document
from app.api.requests.formats import Format
from app.api.requests.parameters import read_limit, read_sort
from app.api.requests.paths import read_asset_id
from app.api.routes.exchange import Exchange
from app.api.routes.merchants import read_merchants
from app.api.routes.paging import Paginator
from app.api.views.parts import PartView
from app.api.views.past_breakdown import PastBreakdownView, PastPartView
from app.api.views.portfolio import BreakdownView, HoldersView, HolderView, ReconciliationView
from app.errors import InvalidRequest
from app.portfolio.portfolio import Portfolio

_RECONCILIATIONS: Final = "/v1/portfolio/reconciliations"


@get(
    "/v1/portfolio/merchants",
    query=("sort", "limit", "after", "format", "bom", "at"),
    operation_class=document.InPages,
    operation_id="getBreakdown",
    summary="Every merchant, and the totals",
    responses=document.balance_responses(
        BreakdownView | PastBreakdownView, "The merchants that the caller may read.", paged=True
    ),
)
async def read_breakdown(
    exchange: NamedDependency[Exchange],
    portfolio: NamedDependency[Portfolio],
    output_format: NamedDependency[Format],
    sort: document.SortParameter = None,
    limit: document.LimitParameter = None,
    after: document.AfterParameter = None,
    at: document.AtParameter = None,
) -> Response[bytes]:
    """Give each merchant's balances and their exact totals by asset. All pages of a version show one moment."""
    readable = exchange.authorise_portfolio()
    page_size, order = read_limit(limit), read_sort(sort)
    pages = Paginator(portfolio.versions)
    if at is not None:
        if sort is not None:
            raise InvalidRequest("at shows merchants by id, without sort.")
        return await _respond_past(exchange, portfolio, pages, (at, after, page_size), output_format)
    scope = exchange.scope("merchants")
    if after is not None:
        if sort is not None:
            raise InvalidRequest("sort goes with the first page: those after it keep its order.")
        page = await pages.next_page(BreakdownView, after, scope=scope, limit=page_size)
        return await exchange.respond_page(page.with_sweep(portfolio.sweep_status(readable)), None, output_format)

    async def look() -> Response[bytes]:
        parts, ordered = await portfolio.get_breakdown(readable, order, exchange.directives, exchange.caller.name)
        items = [PartView.of(part, name=parts.name_of(part)) for part in ordered]
        as_of = exchange.as_of(parts)
        page = await pages.first_page(BreakdownView.of(parts), items, scope=scope, as_of=as_of, limit=page_size)
        return await exchange.respond_page(page.with_sweep(parts.sweep), parts, output_format)

    return await exchange.respond_changed(readable, look)


async def _respond_past(
    exchange: Exchange,
    portfolio: Portfolio,
    pages: Paginator,
    asked: tuple[str, str | None, int],
    output_format: Format,
) -> Response[bytes]:
    """Respond with each merchant at a moment: the page of `asked`, which is that moment, the cursor and a size."""
    at, after, page_size = asked
    moment = exchange.read_past(at)
    scope = exchange.scope(f"merchants at {moment}")
    if after is not None:
        page = await pages.next_page(PastBreakdownView, after, scope=scope, limit=page_size)
    else:
        parts = await portfolio.get_past(exchange.authorise_portfolio(), moment)
        items = [PastPartView.of(part, parts.name_of(part)) for part in parts.parts]
        head = PastBreakdownView.of(parts, moment)
        page = await pages.first_page(head, items, scope=scope, as_of=moment, limit=page_size)
    return await exchange.respond_page(page, None, output_format)


@get(
    "/v1/portfolio/assets/{assetId:str}",
    query=("limit", "after", "format", "bom"),
    operation_class=document.InPages,
    operation_id="getHolders",
    summary="Who holds an asset",
    responses=document.balance_responses(HoldersView, "The holders, the largest first.", paged=True),
)
async def read_holders(
    assetId: document.AssetIdParameter,  # noqa: N803  # the name that callers see
    exchange: NamedDependency[Exchange],
    portfolio: NamedDependency[Portfolio],
    pages: NamedDependency[Paginator],
    output_format: NamedDependency[Format],
    limit: document.LimitParameter = None,
    after: document.AfterParameter = None,
) -> Response[bytes]:
    """Give the merchants that hold an asset, and their exact shares of the whole: of what the caller may read."""
    readable = exchange.authorise_portfolio()
    page_size = read_limit(limit)
    asset_id = read_asset_id(assetId)
    scope = exchange.scope(f"asset {asset_id}")
    if after is not None:
        page = await pages.next_page(HoldersView, after, scope=scope, limit=page_size)
        return await exchange.respond_page(page.with_sweep(portfolio.sweep_status(readable)), None, output_format)

    async def look() -> Response[bytes]:
        parts, holders = await portfolio.get_holders(readable, asset_id, exchange.directives, exchange.caller.name)
        items = [HolderView.of(holder, name=parts.name_of(holder.part)) for holder in holders.holders]
        head = HoldersView.of(asset_id, parts, holders)
        page = await pages.first_page(head, items, scope=scope, as_of=exchange.as_of(parts), limit=page_size)
        return await exchange.respond_page(page.with_sweep(parts.sweep), parts, output_format)

    return await exchange.respond_changed(readable, look)


@get(
    "/v1/portfolio/reconciliation",
    query=("format", "bom"),
    operation_class=document.InFormats,
    operation_id="getLastReconciliation",
    summary="Does the aggregate agree with the merchants?",
    responses=document.balance_responses(ReconciliationView, "The last result."),
)
async def read_reconciliation(
    exchange: NamedDependency[Exchange], portfolio: NamedDependency[Portfolio], output_format: NamedDependency[Format]
) -> Response[bytes]:
    """Give the last result: by asset the aggregate, the sum of the merchants, the difference and a verdict."""
    exchange.authorise_everything()
    return await exchange.respond_result(ReconciliationView.of(await portfolio.reconciler.get_last()), output_format)


@post(
    "/v1/portfolio/reconciliation",
    operation_id="startReconciliation",
    summary="Start a reconciliation",
    status_code=202,
    responses=document.post_responses(ReconciliationView, "It runs; Location names it.", status=202),
)
async def start_reconciliation(
    exchange: NamedDependency[Exchange], portfolio: NamedDependency[Portfolio]
) -> Response[bytes]:
    """Start a reconciliation, or, if one is running, lead to that one. It takes as long as the budget wants."""
    exchange.authorise_everything()
    job = await portfolio.start_reconciliation()
    location = f"{_RECONCILIATIONS}/{job.id}"
    return await exchange.respond_state(ReconciliationView.of(job), Format.JSON, status=202, location=location)


@get(
    f"{_RECONCILIATIONS}/{{reconciliationId:str}}",
    query=("format", "bom"),
    operation_class=document.InFormats,
    operation_id="getReconciliation",
    summary="How a reconciliation is",
    responses=document.balance_responses(ReconciliationView, "Its state, or its result."),
)
async def read_reconciliation_by_id(
    reconciliationId: document.ReconciliationIdParameter,  # noqa: N803
    exchange: NamedDependency[Exchange],
    portfolio: NamedDependency[Portfolio],
    output_format: NamedDependency[Format],
) -> Response[bytes]:
    """Give a reconciliation's progress, or its result. `lost` is one whose replica died."""
    exchange.authorise_everything()
    return await exchange.respond_state(
        ReconciliationView.of(await portfolio.reconciler.get(reconciliationId)), output_format
    )


PORTFOLIO: Final = (
    read_merchants,
    read_breakdown,
    read_holders,
    read_reconciliation,
    start_reconciliation,
    read_reconciliation_by_id,
)
