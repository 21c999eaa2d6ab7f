"""The path of streams, as the OpenAPI document shows it. `app/api/streams` answers it before Litestar."""

from litestar import Response, Router, get

from app.api.openapi import document
from app.api.openapi import streams as described


@get(
    "/v1/watch",
    operation_class=described.AsStream,
    operation_id="watch",
    summary="Balances as they change",
    responses=described.stream_responses("Events, until the stream ends."),
)
async def watch(
    merchant_ids: described.MerchantsParameter,
    portfolio: described.PortfolioParameter = None,
    assets: document.AssetsParameter = None,
    within: described.WithinParameter = None,
    after: described.AfterEventParameter = None,
    stream_format: described.StreamFormatParameter = None,
) -> Response[bytes]:
    """Send each balance that changes, whole, and now and then how old all of them are."""
    raise NotImplementedError


def watch_routes(tag: str) -> Router:
    """Document the path, and let Litestar answer the other methods."""
    return Router("/", route_handlers=[watch], security=document.SECURITY, tags=[tag])
