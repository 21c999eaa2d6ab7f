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
    AccountIdParameter,
    AssetIdParameter,
    AssetsParameter,
    FlagParameter,
    InFormats,
    MerchantIdParameter,
    document_responses,
)
from app.api.requests.formats import Format
from app.api.requests.parameters import read_account_id, read_merchant_id
from app.api.requests.selection import Selection
from app.api.routes.batch import ask_for_many, read_many
from app.api.routes.exchange import Exchange
from app.api.routes.guards import check_parameters
from app.api.routes.portfolio import PORTFOLIO
from app.api.views.accounts import AccountView, AssetView, UpstreamEnvelope
from app.balances.snapshots import AGGREGATE


@get(
    "/v1/merchants/{merchantId:str}/balances",
    query=("assets", "nonzero", "format"),
    operation_class=InFormats,
    summary="A merchant's balances",
    responses=document_responses(AccountView, described="The balances.", not_found=True),
)
async def read_merchant(
    merchantId: MerchantIdParameter,  # noqa: N803  # the name that callers see
    exchange: NamedDependency[Exchange],
    form: NamedDependency[Format],
    assets: AssetsParameter = None,
    nonzero: FlagParameter = None,
) -> Response[bytes]:
    """Give a merchant's balances, all of its assets or some."""
    key = exchange.authorise(read_merchant_id(merchantId))
    choice = Selection.read(assets, nonzero)
    told = await exchange.accounts.get(key, exchange.read_directives())
    if form is not Format.JSON:
        return exchange.respond_table(told, choice.keeps, form)
    return exchange.reply(told, choice.query, lambda snapshot: AccountView.of(snapshot, choice.keeps))


@get(
    "/v1/merchants/{merchantId:str}/balances/{assetId:str}",
    query=("format",),
    operation_class=InFormats,
    summary="One asset of a merchant",
    responses=document_responses(AssetView, described="The asset's row.", not_found=True),
)
async def read_asset(
    merchantId: MerchantIdParameter,  # noqa: N803
    assetId: AssetIdParameter,  # noqa: N803
    exchange: NamedDependency[Exchange],
    form: NamedDependency[Format],
) -> Response[bytes]:
    """Give one row of a merchant's balances. An asset that is not listed is a 404, which is not the same as zero."""
    key = exchange.authorise(read_merchant_id(merchantId))
    row, told = await exchange.accounts.tell_asset(key, assetId, exchange.read_directives())
    if form is not Format.JSON:
        return exchange.respond_table(told, lambda each: each is row, form)
    return exchange.reply(told, "", lambda snapshot: AssetView.of(snapshot, take_row(snapshot, assetId)))


@get(
    "/v1/portfolio",
    query=("assets", "nonzero", "format"),
    operation_class=InFormats,
    summary="All merchants together",
    responses=document_responses(
        AccountView, described="The balances, as the upstream aggregates them.", not_found=False
    ),
)
async def read_portfolio(
    exchange: NamedDependency[Exchange],
    form: NamedDependency[Format],
    assets: AssetsParameter = None,
    nonzero: FlagParameter = None,
) -> Response[bytes]:
    """Give the upstream's own aggregate over all merchants, in the shape of a merchant's balances."""
    exchange.authorise(AGGREGATE)
    choice = Selection.read(assets, nonzero)
    told = await exchange.accounts.tell_portfolio(exchange.read_directives())
    if form is not Format.JSON:
        return exchange.respond_table(told, choice.keeps, form)
    return exchange.reply(told, choice.query, lambda snapshot: AccountView.of(snapshot, choice.keeps))


@get(
    "/v2/assets/account/assets",
    query=("merchantId",),
    summary="Balances in the upstream's own shape",
    responses=document_responses(UpstreamEnvelope, described="The balances.", not_found=True),
)
async def read_as_upstream(account_id: AccountIdParameter, exchange: NamedDependency[Exchange]) -> Response[bytes]:
    """Give balances as the upstream does, to programs that were written for it."""
    key = exchange.authorise(read_account_id(account_id))
    told = await exchange.accounts.get(key, exchange.read_directives())
    return exchange.reply(told, f"merchantId={key}", UpstreamEnvelope.of)


BALANCES: Final = (read_merchant, read_asset, read_portfolio, read_many, ask_for_many, read_as_upstream)


def answer_routes(admission: Guard, dependencies: dict[str, Provide]) -> list[Router]:
    """Put every path that tells of merchants behind the doorkeeper."""
    return [
        Router(
            "/",
            route_handlers=[*_name_methods(handlers), *handlers],
            guards=[admission, check_parameters],
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
