"""The path about the caller itself."""

from typing import Final

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency

from app.api.openapi import document
from app.api.rendering.responses import VARY
from app.api.replies import Reply
from app.api.requests.formats import MEDIA_TYPES, Format
from app.api.routes.exchange import Exchange, as_response
from app.api.views.me import MeView


@get(
    "/v1/me",
    operation_id="getMe",
    summary="Who you are, and what you may read",
    responses=document.caller_responses(MeView, "The caller, as it is known now."),
    sync_to_thread=False,
)
def read_me(exchange: NamedDependency[Exchange]) -> Response[bytes]:
    """Give the caller's name, rights and limits, and when its key or token ends."""
    headers = [("Content-Type", MEDIA_TYPES[Format.JSON]), ("Cache-Control", "no-store"), ("Vary", VARY)]
    return as_response(Reply.of(200, headers, msgspec.json.encode(MeView.of(exchange.caller))))


ME: Final = (read_me,)
