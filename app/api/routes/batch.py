"""The batch path: balances of many merchants by id, in one answer."""

from collections.abc import Iterable
from typing import Annotated, Final

from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import Body
from msgspec import Meta, Struct

from app.accounts import AccountResult, Unavailable
from app.api.openapi import document
from app.api.requests import parameters
from app.api.requests.formats import Format
from app.api.requests.selection import Selection
from app.api.routes.exchange import Exchange
from app.api.routes.litestar_quirks import JsonRequest
from app.api.views.batch import BatchView
from app.errors import Incomplete, MalformedAnswer, TallygateError

_PATH: Final = "/v1/balances"

_DESCRIBED: Final = "Each merchant's balances, or why they are missing."


class BatchQuestion(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The body of a question about many merchants."""

    merchant_ids: Annotated[
        list[Annotated[str, Meta(pattern=parameters.MERCHANT_ID_PATTERN)] | Annotated[int, Meta(ge=1)]],
        Meta(min_length=1, max_length=parameters.MAX_MERCHANTS, description="Merchant ids, as numbers or as text."),
    ]


@get(
    _PATH,
    query=("merchantId", "require", "assets", "nonzero", "format", "bom"),
    operation_class=document.InFormats,
    operation_id="getBalances",
    summary="Many merchants' balances",
    responses=document.balance_responses(BatchView, _DESCRIBED, not_found=False),
)
async def read_many(
    merchant_ids: document.MerchantIdsParameter,
    exchange: NamedDependency[Exchange],
    output_format: NamedDependency[Format],
    require: document.RequireParameter = None,
    assets: document.AssetsParameter = None,
    nonzero: document.FlagParameter = None,
) -> Response[bytes]:
    """Give many merchants' balances, in the order asked for, each with its own status."""
    return await _answer(merchant_ids.split(","), exchange, output_format, require, assets, nonzero)


@post(
    _PATH,
    query=("require", "assets", "nonzero", "format", "bom"),
    operation_class=document.InFormats,
    operation_id="queryBalances",
    summary="Many merchants' balances, for long lists",
    status_code=200,
    responses=document.post_responses(BatchView, _DESCRIBED, takes_body=True),
    request_max_body_size=parameters.MAX_BODY_BYTES,
    request_class=JsonRequest,
)
async def ask_for_many(
    data: Annotated[BatchQuestion, Body(description="Which merchants.")],
    request: Request[None, None, State],
    exchange: NamedDependency[Exchange],
    output_format: NamedDependency[Format],
    require: document.RequireParameter = None,
    assets: document.AssetsParameter = None,
    nonzero: document.FlagParameter = None,
) -> Response[bytes]:
    """Give many merchants' balances, in the order asked for, each with its own status."""
    merchants = [str(merchant) for merchant in data.merchant_ids]
    parameters.check_body_digits(merchants, await request.body())
    return await _answer(merchants, exchange, output_format, require, assets, nonzero)


BATCH: Final = (read_many, ask_for_many)


async def _answer(
    merchants: list[str],
    exchange: Exchange,
    output_format: Format,
    require: str | None,
    assets: str | None,
    nonzero: str | None,
) -> Response[bytes]:
    account_ids = exchange.authorise_all(parameters.read_merchant_ids(merchants))
    all_or_nothing = parameters.read_require(require)
    selection = Selection.read(assets, nonzero)

    async def look() -> Response[bytes]:
        parts = await exchange.accounts.get_many(account_ids, exchange.directives, exchange.caller.name)
        failed = _find_failed(parts) if all_or_nothing else {}
        if failed:
            raise Incomplete(f"There are no balances of {len(failed)} of {len(parts)} merchants: see failed.", failed)
        return await exchange.respond_batch(parts, selection, output_format)

    return await exchange.respond_changed(account_ids, look)


def _find_failed(parts: Iterable[AccountResult]) -> dict[str, TallygateError]:
    """Return why parts are missing or lack rows, by merchant."""
    failed: dict[str, TallygateError] = {}
    for part in parts:
        if isinstance(part, Unavailable):
            failed[part.account_id] = part.error
        elif not part.snapshot.is_whole:
            failed[part.snapshot.account_id] = MalformedAnswer("A row of the upstream's answer cannot be read.")
    return failed
