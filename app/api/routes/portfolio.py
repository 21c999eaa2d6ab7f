"""The paths that tell of all merchants together."""

from typing import Final

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec

from app.api.openapi.document import (
    AfterText,
    AssetIdText,
    InFormats,
    LimitText,
    ReconciliationIdText,
    SortText,
    document_answers,
)
from app.api.requests.formats import Format
from app.api.requests.parameters import read_limit, read_sort
from app.api.routes.exchange import Asking
from app.api.routes.merchants import read_merchants
from app.api.routes.paging import Pages
from app.api.views.parts import PartView
from app.api.views.portfolio import BreakdownView, HoldersView, HolderView, ReconciliationView
from app.errors import InvalidRequest
from app.portfolio.portfolio import Portfolio

_RECONCILIATIONS: Final = "/v1/portfolio/reconciliations"


@get(
    "/v1/portfolio/merchants",
    query=("sort", "limit", "after", "format"),
    operation_class=InFormats,
    summary="Every merchant, and the totals",
    responses=document_answers(
        BreakdownView, described="The merchants that the caller may read.", not_found=True, paged=True
    ),
)
async def read_breakdown(
    asking: NamedDependency[Asking],
    portfolio: NamedDependency[Portfolio],
    pages: NamedDependency[Pages],
    form: NamedDependency[Format],
    sort: SortText = None,
    limit: LimitText = None,
    after: AfterText = None,
) -> Response[bytes]:
    """Give each merchant's balances and their exact totals by asset. All pages of a version tell of one moment."""
    readable = asking.authorise_portfolio()
    wanted, order_wanted = read_limit(limit), read_sort(sort)
    scope = asking.scope("merchants")
    if after is not None:
        if sort is not None:
            raise InvalidRequest("sort goes with the first page: those after it keep its order.")
        return await asking.reply_page(await pages.follow(BreakdownView, after, scope=scope, limit=wanted), None, form)
    parts, ordered = await portfolio.tell_breakdown(readable, order_wanted, asking.question())
    items = [PartView.of(part, name=parts.name_of(part)) for part in ordered]
    as_of = asking.as_of(parts)
    page = await pages.begin(BreakdownView.of(parts), items, scope=scope, as_of=as_of, limit=wanted)
    return await asking.reply_page(page, parts, form)


@get(
    "/v1/portfolio/assets/{assetId:str}",
    query=("limit", "after", "format"),
    operation_class=InFormats,
    summary="Who holds an asset",
    responses=document_answers(HoldersView, described="The holders, the largest first.", not_found=True, paged=True),
)
async def read_holders(
    assetId: AssetIdText,  # noqa: N803  # the name that callers see
    asking: NamedDependency[Asking],
    portfolio: NamedDependency[Portfolio],
    pages: NamedDependency[Pages],
    form: NamedDependency[Format],
    limit: LimitText = None,
    after: AfterText = None,
) -> Response[bytes]:
    """Give the merchants that hold an asset, and their exact shares of the whole: of what the caller may read."""
    readable = asking.authorise_portfolio()
    wanted = read_limit(limit)
    scope = asking.scope(f"asset {assetId}")
    if after is not None:
        return await asking.reply_page(await pages.follow(HoldersView, after, scope=scope, limit=wanted), None, form)
    parts, holders = await portfolio.tell_holders(readable, assetId, asking.question())
    items = [HolderView.of(holder, name=parts.name_of(holder.part)) for holder in holders.holders]
    head = HoldersView.of(assetId, parts, holders)
    page = await pages.begin(head, items, scope=scope, as_of=asking.as_of(parts), limit=wanted)
    return await asking.reply_page(page, parts, form)


@get(
    "/v1/portfolio/reconciliation",
    query=("format",),
    operation_class=InFormats,
    summary="Does the aggregate agree with the merchants?",
    responses=document_answers(ReconciliationView, described="The last result.", not_found=True),
)
async def read_reconciliation(
    asking: NamedDependency[Asking], portfolio: NamedDependency[Portfolio], form: NamedDependency[Format]
) -> Response[bytes]:
    """Give the last result: by asset the aggregate, the sum of the merchants, the difference and a verdict."""
    asking.authorise_everything()
    return await asking.reply_result(ReconciliationView.of(await portfolio.reconciler.tell_last()), form)


@post(
    "/v1/portfolio/reconciliation",
    summary="Start a reconciliation",
    status_code=202,
    responses={
        **{
            status: answer
            for status, answer in document_answers(ReconciliationView, described="", not_found=False).items()
            if status not in {200, 304}
        },
        202: ResponseSpec(ReconciliationView, generate_examples=False, description="It runs; Location tells of it."),
    },
)
async def start_reconciliation(
    asking: NamedDependency[Asking], portfolio: NamedDependency[Portfolio]
) -> Response[bytes]:
    """Start a reconciliation, or, if one is running, lead to that one. It takes as long as the budget wants."""
    asking.authorise_everything()
    job = await portfolio.reconciler.start()
    location = f"{_RECONCILIATIONS}/{job.id}"
    return await asking.reply_state(ReconciliationView.of(job), Format.JSON, status=202, location=location)


@get(
    f"{_RECONCILIATIONS}/{{reconciliationId:str}}",
    query=("format",),
    operation_class=InFormats,
    summary="How a reconciliation is",
    responses=document_answers(ReconciliationView, described="Its state, or its result.", not_found=True),
)
async def read_reconciliation_by_id(
    reconciliationId: ReconciliationIdText,  # noqa: N803
    asking: NamedDependency[Asking],
    portfolio: NamedDependency[Portfolio],
    form: NamedDependency[Format],
) -> Response[bytes]:
    """Give a reconciliation's progress, or its result. `lost` is one whose replica died."""
    asking.authorise_everything()
    return await asking.reply_state(ReconciliationView.of(await portfolio.reconciler.tell(reconciliationId)), form)


PORTFOLIO: Final = (
    read_merchants,
    read_breakdown,
    read_holders,
    read_reconciliation,
    start_reconciliation,
    read_reconciliation_by_id,
)
