"""The path that lists the merchants."""

from litestar import Response, get
from litestar.di import NamedDependency

from app.api.openapi import document
from app.api.requests.formats import Format
from app.api.requests.parameters import read_limit, read_merchant_id, read_search
from app.api.routes.exchange import Exchange
from app.api.views.merchants import MerchantsView
from app.portfolio.portfolio import Portfolio


@get(
    "/v1/merchants",
    query=("search", "limit", "after", "format", "bom"),
    operation_class=document.InFormats,
    operation_id="listMerchants",
    summary="The merchants that you may read",
    responses=document.balance_responses(MerchantsView, "Those that the caller may read.", not_found=False),
)
async def read_merchants(
    exchange: NamedDependency[Exchange],
    portfolio: NamedDependency[Portfolio],
    output_format: NamedDependency[Format],
    search: document.SearchParameter = None,
    limit: document.LimitParameter = None,
    after: document.AfterMerchantParameter = None,
) -> Response[bytes]:
    """Give the merchants that the caller may read, by id, with their names. No other is in it, nor counted."""
    last_shown = 0 if after is None else int(read_merchant_id(after, "after"))
    page_size, search_text = read_limit(limit), read_search(search)
    listing = await portfolio.list_merchants(exchange.caller.merchants)
    view = MerchantsView.of(listing, search=search_text, after=last_shown, limit=page_size)
    return await exchange.respond_result(view, output_format, as_of=listing.as_of)
