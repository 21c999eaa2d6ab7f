"""Guards of all handlers but account reads: the caller is admitted, and every parameter is a documented one."""

from collections.abc import Iterable
from typing import Any, Final

from litestar import Router
from litestar.connection import ASGIConnection
from litestar.di import Provide
from litestar.enums import HttpMethod
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.types import Guard

from app.api.context import context_of
from app.api.openapi.document import SECURITY
from app.api.reads.admission import Admission
from app.api.requests.headers import find_credential, find_lines
from app.api.requests.parameters import read_query
from app.api.routes.litestar_quirks import options_handlers

QUERY: Final = "query"
"""The handler option that names the query parameters of a path."""


def guard_routes(
    tag: str, handlers: Iterable[HTTPRouteHandler], admission: Admission, dependencies: dict[str, Provide]
) -> Router:
    """Guard the handlers of one topic."""
    return Router(
        "/",
        route_handlers=[*options_handlers(handlers), *handlers],
        guards=[make_guard(admission)],
        dependencies=dependencies,
        security=SECURITY,
        tags=[tag],
    )


def make_guard(admission: Admission | None) -> Guard:
    """Make a guard that admits the caller, unless the paths are public, and then checks parameter names.

    It is a function, since Litestar 2.25 deep-copies guards for each handler, and copies only functions as themselves.
    """

    async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        if connection.scope.get("method") == HttpMethod.OPTIONS:
            return
        headers = connection.scope["headers"]
        if admission is not None:
            credential = find_credential(find_lines(headers, b"authorization"), find_lines(headers, b"x-bh-token"))
            await admission.admit(credential, context_of(connection.scope))
        read_query(connection.scope["query_string"], handler.opt.get(QUERY, ()))

    return guard
