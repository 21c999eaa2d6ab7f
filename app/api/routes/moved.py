"""The paths of moves: notices of our own programs, and signed events of the upstream."""

from typing import Annotated, Final

import msgspec
from litestar import Request, Response, Router, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import Body
from msgspec import Meta, Struct

from app.access.failed_logins import FailedLogins
from app.api.context import context_of
from app.api.openapi import document
from app.api.openapi.events import TakesEvent, event_responses
from app.api.replies import Reply
from app.api.requests import parameters
from app.api.requests.formats import MEDIA_TYPES, Format
from app.api.requests.headers import find_lines
from app.api.routes.batch import BatchQuestion
from app.api.routes.exchange import Exchange, as_response
from app.api.routes.guards import make_guard
from app.api.routes.litestar_quirks import AnyRequest, JsonRequest
from app.api.views.accounts import format_time
from app.errors import BadSignature, Forbidden
from app.moved.events import MAX_EVENT_BYTES, Events
from app.moved.notices import Notices

_TAKEN: Final = b'{"callbackStatus":"SUCCESS"}'


class MovedView(Struct, frozen=True, rename="camel"):
    """What was marked, and when."""

    moved_at: Annotated[str, Meta(description="What is older is fetched before it is served.")]
    merchants: Annotated[int, Meta(ge=1, description="How many merchants were named.")]


@post(
    "/v1/moved",
    query=(),
    operation_id="reportMoves",
    summary="Report that money was moved",
    status_code=202,
    responses=document.post_responses(MovedView, "They are marked, and looked at.", takes_body=True, status=202),
    request_max_body_size=parameters.MAX_BODY_BYTES,
    request_class=JsonRequest,
)
async def report_moves(
    data: Annotated[BatchQuestion, Body(description="Which merchants.")],
    request: Request[None, None, State],
    exchange: NamedDependency[Exchange],
    notices: NamedDependency[Notices],
) -> Response[bytes]:
    """Have what is known of merchants fetched again, since their money was moved. It needs the right `moves`."""
    merchants = [str(merchant) for merchant in data.merchant_ids]
    parameters.check_body_digits(merchants, await request.body())
    account_ids = exchange.authorise_all(parameters.read_merchant_ids(merchants))
    if not exchange.caller.moves:
        raise Forbidden("You may not report moves.")
    moved_at = await notices.take(account_ids)
    return _as_json(msgspec.json.encode(MovedView(format_time(moved_at), len(account_ids))), 202)


MOVED: Final = (report_moves,)


def event_routes(events: Events, failed_logins: FailedLogins) -> Router:
    """Make the path of the upstream's events."""

    @post(
        "/v1/upstream/events",
        operation_id="takeEvent",
        operation_class=TakesEvent,
        summary="Take a signed event of the upstream",
        tags=["Moves"],
        status_code=200,
        responses=event_responses(),
        request_max_body_size=MAX_EVENT_BYTES,
    )
    async def take_event(request: AnyRequest) -> Response[bytes]:
        """Have what is known of a merchant fetched again, since the upstream says that something happened to it.

        No program of yours calls this. It is here only where the gateway has keys of the upstream, and takes no key of a
        caller: the signature admits an event.
        """
        body = await request.body()
        signatures = find_lines(request.scope["headers"], b"signature")
        if not events.verify(body, signatures[0] if len(signatures) == 1 else None):
            address = context_of(request.scope).address or ""
            failed_logins.check(address)
            failed_logins.count(address)
            raise BadSignature("The signature of this event is missing, or wrong.")
        await events.take(body)
        return _as_json(_TAKEN, 200)

    return Router("/", route_handlers=[take_event], guards=[make_guard(None)])


def _as_json(body: bytes, status: int) -> Response[bytes]:
    return as_response(
        Reply.of(status, [("Content-Type", MEDIA_TYPES[Format.JSON]), ("Cache-Control", "no-store")], body)
    )
