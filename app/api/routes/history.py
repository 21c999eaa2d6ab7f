"""The paths of the past: changes of one account, and the feed of all that a caller may read."""

from typing import Final

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency

from app.api.openapi import document
from app.api.reads.past_reads import no_history
from app.api.rendering.responses import VARY
from app.api.replies import Reply
from app.api.requests.formats import MEDIA_TYPES, Format
from app.api.requests.moments import read_moment
from app.api.requests.parameters import read_assets, read_limit, read_merchant_id, read_merchant_ids
from app.api.routes.exchange import Exchange, as_response
from app.api.views.history import ChangesView, FeedView
from app.balances.snapshots import AGGREGATE, AccountId
from app.errors import InvalidRequest
from app.history.histories import Histories
from app.history.past import Window


@get(
    "/v1/merchants/{merchantId:str}/changes",
    operation_id="getMerchantChanges",
    query=("from", "until", "assets", "limit", "after"),
    summary="What changed in a merchant's balances",
    responses=document.past_responses(ChangesView, "Its changes, oldest first."),
)
async def read_changes(
    merchantId: document.MerchantIdParameter,  # noqa: N803  # the name that callers see
    exchange: NamedDependency[Exchange],
    since: document.FromParameter = None,
    until: document.UntilParameter = None,
    assets: document.AssetsParameter = None,
    limit: document.LimitParameter = None,
    after: document.AfterChangeParameter = None,
) -> Response[bytes]:
    """Give what changed in a merchant's balances, and between which two looks at them."""
    (account_id,) = exchange.authorise_all([read_merchant_id(merchantId)])
    return await _respond(account_id, exchange.accounts.histories, (since, until, assets), limit, after)


@get(
    "/v1/portfolio/changes",
    operation_id="getPortfolioChanges",
    query=("from", "until", "assets", "limit", "after"),
    summary="What changed in the aggregate",
    responses=document.past_responses(ChangesView, "Its changes, oldest first."),
)
async def read_portfolio_changes(
    exchange: NamedDependency[Exchange],
    since: document.FromParameter = None,
    until: document.UntilParameter = None,
    assets: document.AssetsParameter = None,
    limit: document.LimitParameter = None,
    after: document.AfterChangeParameter = None,
) -> Response[bytes]:
    """Give what changed in the upstream's own aggregate over all merchants."""
    exchange.authorise_portfolio()
    return await _respond(AGGREGATE, exchange.accounts.histories, (since, until, assets), limit, after)


@get(
    "/v1/changes",
    operation_id="getChanges",
    query=("merchantId", "limit", "after"),
    summary="What changed, of all that you may read",
    responses=document.past_responses(FeedView, "Changes in the order recorded, each at least once."),
)
async def read_feed(
    exchange: NamedDependency[Exchange],
    merchant_ids: document.FeedMerchantsParameter,
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
    followed = await following.read(readable.accounts, readable.has, after, page_size, wait_seconds)
    applied = [("Preference-Applied", f"wait={wait_seconds}")] if wait_seconds else []
    return _as_json(FeedView.of(followed), applied)


HISTORY: Final = (read_changes, read_portfolio_changes, read_feed)


async def _respond(
    account_id: AccountId,
    histories: Histories,
    window: tuple[str | None, str | None, str | None],
    limit: str | None,
    after: str | None,
) -> Response[bytes]:
    since, until, assets = read_moment("from", window[0]), read_moment("until", window[1]), read_assets(window[2])
    if since is not None and until is not None and until < since:
        raise InvalidRequest("until is before from.")
    page_size = read_limit(limit)
    if histories.past is None:
        raise no_history()
    page = await histories.past.changes(account_id, Window(since, until, assets), after, page_size)
    return _as_json(ChangesView.of(account_id, page, assets))


def _as_json(view: ChangesView | FeedView, headers: list[tuple[str, str]] | None = None) -> Response[bytes]:
    sent = [("Content-Type", MEDIA_TYPES[Format.JSON]), ("Cache-Control", "no-store"), ("Vary", VARY)]
    return as_response(Reply(200, [*sent, *(headers or [])], msgspec.json.encode(view)))
