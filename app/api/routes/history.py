"""The paths of the past: changes of one account, and the feed of all that a caller may read."""

from typing import Final

from litestar import Response, get
from litestar.di import NamedDependency

from app.api.openapi import document
from app.api.reads.long_polls import counted_wait, judge_again
from app.api.requests.formats import Format
from app.api.requests.moments import read_moment
from app.api.requests.parameters import read_assets, read_limit, read_merchant_id, read_merchant_ids
from app.api.requests.prefer import applied
from app.api.routes.exchange import Exchange
from app.api.views.history import ChangesView, FeedView
from app.balances.snapshots import AGGREGATE, AccountId
from app.errors import InvalidRequest
from app.history.past import Window, no_history


@get(
    "/v1/merchants/{merchantId:str}/changes",
    operation_id="getMerchantChanges",
    query=("from", "until", "assets", "limit", "after", "format", "bom"),
    operation_class=document.InFormats,
    summary="What changed in a merchant's balances",
    responses=document.past_responses(ChangesView, "Its changes, oldest first."),
)
async def read_changes(
    merchantId: document.MerchantIdParameter,  # noqa: N803  # the name that callers see
    exchange: NamedDependency[Exchange],
    window: NamedDependency[Window],
    output_format: NamedDependency[Format],
    limit: document.LimitParameter = None,
    after: document.AfterChangeParameter = None,
) -> Response[bytes]:
    """Give what changed in a merchant's balances, and between which two looks at them."""
    (account_id,) = exchange.authorise_all([read_merchant_id(merchantId)])
    return await _respond(exchange, account_id, window, (limit, after), output_format)


@get(
    "/v1/portfolio/changes",
    operation_id="getPortfolioChanges",
    query=("from", "until", "assets", "limit", "after", "format", "bom"),
    operation_class=document.InFormats,
    summary="What changed in the aggregate",
    responses=document.past_responses(ChangesView, "Its changes, oldest first."),
)
async def read_portfolio_changes(
    exchange: NamedDependency[Exchange],
    window: NamedDependency[Window],
    output_format: NamedDependency[Format],
    limit: document.LimitParameter = None,
    after: document.AfterChangeParameter = None,
) -> Response[bytes]:
    """Give what changed in the upstream's own aggregate over all merchants."""
    exchange.authorise_portfolio()
    return await _respond(exchange, AGGREGATE, window, (limit, after), output_format)


@get(
    "/v1/changes",
    operation_id="getChanges",
    query=("merchantId", "limit", "after", "format", "bom"),
    operation_class=document.InFormats,
    summary="What changed, of all that you may read",
    responses=document.past_responses(FeedView, "Changes in the order recorded, each at least once."),
)
async def read_feed(
    exchange: NamedDependency[Exchange],
    merchant_ids: document.FeedMerchantsParameter,
    output_format: NamedDependency[Format],
    limit: document.LimitParameter = None,
    after: document.AfterChangeParameter = None,
) -> Response[bytes]:
    """Give the changes after a cursor. With `Prefer: wait=20` it waits up to 25 s where there is none."""
    wanted = None if merchant_ids == document.ALL_MERCHANTS else read_merchant_ids(merchant_ids.split(","))
    readable = exchange.readable(wanted)
    page_size = read_limit(limit)
    following = exchange.accounts.histories.following
    if following is None:
        raise no_history()
    wait_seconds = min(exchange.wait_seconds, following.longest_wait_seconds)
    if not wait_seconds:
        followed = await following.read(readable.accounts, readable.has, after, page_size, 0)
        return await exchange.respond_changes(FeedView.of(followed), output_format)
    with counted_wait(exchange.context):
        followed = await following.read(readable.accounts, readable.has, after, page_size, wait_seconds)
    await judge_again(exchange.context, wanted)
    return await exchange.respond_changes(FeedView.of(followed), output_format, [applied(wait_seconds)])


HISTORY: Final = (read_changes, read_portfolio_changes, read_feed)


async def _respond(
    exchange: Exchange,
    account_id: AccountId,
    window: Window,
    page: tuple[str | None, str | None],
    output_format: Format,
) -> Response[bytes]:
    """Respond with a page of changes: its size, and the cursor that it follows."""
    limit, after = page
    page_size = read_limit(limit)
    past = exchange.accounts.histories.past
    if past is None:
        raise no_history()
    found = await past.changes(account_id, window, after, page_size)
    return await exchange.respond_changes(ChangesView.of(account_id, found, window.assets), output_format)


def read_window(
    since: document.FromParameter = None,
    until: document.UntilParameter = None,
    assets: document.AssetsParameter = None,
) -> Window:
    """Read which changes are wanted. Raises `InvalidRequest`."""
    window = Window(read_moment("from", since), read_moment("until", until), read_assets(assets))
    if window.since is not None and window.until is not None and window.until < window.since:
        raise InvalidRequest("until is before from.")
    return window
