"""The paths of account reads, as the OpenAPI document shows them. `AccountReads` answers them before Litestar reads parameters."""

from typing import Final

from litestar import Response, Router, get

from app.api.context import context_of
from app.api.openapi import document
from app.api.reads.account_reads import AccountReads, ReadRequest
from app.api.routes.exchange import as_response
from app.api.routes.litestar_quirks import AnyRequest, before_parsing
from app.api.views.accounts import AccountView, AssetView, UpstreamEnvelope
from app.api.views.history import PastView


@get(
    "/v1/merchants/{merchantId:str}/balances",
    operation_class=document.InFormats,
    operation_id="getMerchantBalances",
    summary="A merchant's balances",
    responses=document.balance_responses(AccountView | PastView, "The balances.", paged=True),
)
async def read_merchant(
    merchantId: document.MerchantIdParameter,  # noqa: N803  # the name that callers see
    named_format: document.FormatParameter = None,
    bom: document.BomParameter = None,
    assets: document.AssetsParameter = None,
    nonzero: document.FlagParameter = None,
    at: document.AtParameter = None,
) -> Response[bytes]:
    """Give a merchant's balances, all of its assets or some."""
    raise NotImplementedError


@get(
    "/v1/merchants/{merchantId:str}/balances/{assetId:str}",
    operation_class=document.InFormats,
    operation_id="getAssetBalance",
    summary="One asset of a merchant",
    responses=document.balance_responses(AssetView, "The asset's row."),
)
async def read_asset(
    merchantId: document.MerchantIdParameter,  # noqa: N803
    assetId: document.AssetIdParameter,  # noqa: N803
    named_format: document.FormatParameter = None,
    bom: document.BomParameter = None,
) -> Response[bytes]:
    """Give one row of a merchant's balances. An asset that is not listed is a 404, which is not the same as zero."""
    raise NotImplementedError


@get(
    "/v1/portfolio",
    operation_class=document.InFormats,
    operation_id="getPortfolio",
    summary="All merchants together",
    responses=document.balance_responses(
        AccountView | PastView, "The balances, as the upstream aggregates them.", paged=True
    ),
)
async def read_portfolio(
    named_format: document.FormatParameter = None,
    bom: document.BomParameter = None,
    assets: document.AssetsParameter = None,
    nonzero: document.FlagParameter = None,
    at: document.AtParameter = None,
) -> Response[bytes]:
    """Give the upstream's own aggregate over all merchants, in the shape of a merchant's balances."""
    raise NotImplementedError


@get(
    "/v2/assets/account/assets",
    operation_id="getUpstreamBalances",
    summary="Balances in the upstream's own shape",
    responses=document.balance_responses(UpstreamEnvelope, "The balances."),
)
async def read_as_upstream(account_id: document.AccountIdParameter) -> Response[bytes]:
    """Give balances as the upstream does, to programs that were written for it."""
    raise NotImplementedError


ACCOUNTS: Final = (read_merchant, read_asset, read_portfolio, read_as_upstream)


def account_routes(tag: str, reads: AccountReads) -> Router:
    """Have `reads` answer every account read. It admits callers itself, so these paths need no guard."""

    async def read_account(request: AnyRequest) -> Response[bytes]:
        return as_response(await reads.respond(ReadRequest.of(request.scope), context_of(request.scope)))

    return Router(
        "/",
        route_handlers=ACCOUNTS,
        before_request=before_parsing(read_account),
        security=document.SECURITY,
        tags=[tag],
    )
