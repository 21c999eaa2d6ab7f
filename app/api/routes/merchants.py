"""The path that tells which merchants there are."""

from litestar import Response, get
from litestar.di import NamedDependency

from app.api.openapi.document import (
    AfterMerchantParameter,
    InFormats,
    LimitParameter,
    SearchParameter,
    document_responses,
)
from app.api.requests.formats import Format
from app.api.requests.parameters import read_limit, read_merchant_id, read_search
from app.api.routes.exchange import Exchange
from app.api.views.merchants import MerchantsView
from app.portfolio.portfolio import Portfolio


@get(
    "/v1/merchants",
    query=("search", "limit", "after", "format"),
    operation_class=InFormats,
    summary="The merchants that you may read",
    responses=document_responses(MerchantsView, described="Those that the caller may read.", not_found=False),
)
async def read_merchants(
    exchange: NamedDependency[Exchange],
    portfolio: NamedDependency[Portfolio],
    form: NamedDependency[Format],
    search: SearchParameter = None,
    limit: LimitParameter = None,
    after: AfterMerchantParameter = None,
) -> Response[bytes]:
    """Give the merchants that the caller may read, by id, with their names. No other is in it, nor counted."""
    seen = 0 if after is None else int(read_merchant_id(after, "after"))
    wanted, sought = read_limit(limit), read_search(search)
    listing = await portfolio.list_merchants(exchange.readable())
    view = MerchantsView.of(listing, search=sought, after=seen, limit=wanted)
    return await exchange.respond_result(view, form, as_of=listing.as_of)
