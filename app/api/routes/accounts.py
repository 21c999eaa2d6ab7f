"""The paths that give balances."""

from collections.abc import Iterable, Iterator
from typing import Final

from litestar import Response, Router, get, route
from litestar.di import NamedDependency, Provide
from litestar.enums import HttpMethod
from litestar.handlers import HTTPRouteHandler
from litestar.types import Guard

from app.accounts import take_row
from app.api.openapi.document import (
    SECURITY,
    AccountIdText,
    AssetIdText,
    AssetsText,
    FlagText,
    InFormats,
    MerchantIdText,
    document_answers,
)
from app.api.requests.formats import Format
from app.api.requests.parameters import read_account_id, read_merchant_id
from app.api.requests.selection import Choice
from app.api.routes.batch import ask_for_many, read_many
from app.api.routes.exchange import Asking
from app.api.routes.guards import check_parameters
from app.api.routes.portfolio import PORTFOLIO
from app.api.views.accounts import AccountView, AssetView, UpstreamEnvelope
from app.balances.snapshots import AGGREGATE


@get(
    "/v1/merchants/{merchantId:str}/balances",
    query=("assets", "nonzero", "format"),
    operation_class=InFormats,
    summary="A merchant's balances",
    responses=document_answers(AccountView, described="The balances.", not_found=True),
)
async def read_merchant(
    merchantId: MerchantIdText,  # noqa: N803  # the name that callers see
    asking: NamedDependency[Asking],
    form: NamedDependency[Format],
    assets: AssetsText = None,
    nonzero: FlagText = None,
) -> Response[bytes]:
    """Give a merchant's balances, all of its assets or some."""
    key = asking.authorise(read_merchant_id(merchantId))
    choice = Choice.read(assets, nonzero)
    told = await asking.desk.tell_account(key, asking.question())
    if form is not Format.JSON:
        return asking.reply_table(told, choice.keeps, form)
    return asking.reply(told, choice.query, lambda snapshot: AccountView.of(snapshot, choice.keeps))


@get(
    "/v1/merchants/{merchantId:str}/balances/{assetId:str}",
    query=("format",),
    operation_class=InFormats,
    summary="One asset of a merchant",
    responses=document_answers(AssetView, described="The asset's row.", not_found=True),
)
async def read_asset(
    merchantId: MerchantIdText,  # noqa: N803
    assetId: AssetIdText,  # noqa: N803
    asking: NamedDependency[Asking],
    form: NamedDependency[Format],
) -> Response[bytes]:
    """Give one row of a merchant's balances. An asset that is not listed is a 404, which is not the same as zero."""
    key = asking.authorise(read_merchant_id(merchantId))
    row, told = await asking.desk.tell_asset(key, assetId, asking.question())
    if form is not Format.JSON:
        return asking.reply_table(told, lambda each: each is row, form)
    return asking.reply(told, "", lambda snapshot: AssetView.of(snapshot, take_row(snapshot, assetId)))


@get(
    "/v1/portfolio",
    query=("assets", "nonzero", "format"),
    operation_class=InFormats,
    summary="All merchants together",
    responses=document_answers(
        AccountView, described="The balances, as the upstream aggregates them.", not_found=False
    ),
)
async def read_portfolio(
    asking: NamedDependency[Asking],
    form: NamedDependency[Format],
    assets: AssetsText = None,
    nonzero: FlagText = None,
) -> Response[bytes]:
    """Give the upstream's own aggregate over all merchants, in the shape of a merchant's balances."""
    asking.authorise(AGGREGATE)
    choice = Choice.read(assets, nonzero)
    told = await asking.desk.tell_portfolio(asking.question())
    if form is not Format.JSON:
        return asking.reply_table(told, choice.keeps, form)
    return asking.reply(told, choice.query, lambda snapshot: AccountView.of(snapshot, choice.keeps))


@get(
    "/v2/assets/account/assets",
    query=("merchantId",),
    summary="Balances in the upstream's own shape",
    responses=document_answers(UpstreamEnvelope, described="The balances.", not_found=True),
)
async def read_as_upstream(account_id: AccountIdText, asking: NamedDependency[Asking]) -> Response[bytes]:
    """Give balances as the upstream does, to programs that were written for it."""
    key = asking.authorise(read_account_id(account_id))
    told = await asking.desk.tell_account(key, asking.question())
    return asking.reply(told, f"merchantId={key}", UpstreamEnvelope.of)


BALANCES: Final = (read_merchant, read_asset, read_portfolio, read_many, ask_for_many, read_as_upstream)


def answer_routes(doorkeeper: Guard, dependencies: dict[str, Provide]) -> list[Router]:
    """Put every path that tells of merchants behind the doorkeeper."""
    return [
        Router(
            "/",
            route_handlers=[*_name_methods(handlers), *handlers],
            guards=[doorkeeper, check_parameters],
            dependencies=dependencies,
            security=SECURITY,
            tags=[tag],
        )
        for tag, handlers in (("Balances", BALANCES), ("Portfolio", PORTFOLIO))
    ]


def _name_methods(handlers: Iterable[HTTPRouteHandler]) -> Iterator[HTTPRouteHandler]:
    """Answer OPTIONS where handlers share a path, before they do: Litestar's own answer (2.25.0) knows but the first."""
    methods: dict[str, list[str]] = {}
    for handler in handlers:
        for path in handler.paths:
            methods.setdefault(path, []).extend(handler.http_methods)
    for path, names in methods.items():
        if len(names) > 1:
            yield _tell_methods(path, ", ".join(sorted([*names, HttpMethod.OPTIONS])))


def _tell_methods(path: str, names: str) -> HTTPRouteHandler:
    @route(path, http_method=HttpMethod.OPTIONS, status_code=204, include_in_schema=False, sync_to_thread=False)
    def tell_methods() -> Response[None]:
        return Response(None, headers={"Allow": names})

    return tell_methods
