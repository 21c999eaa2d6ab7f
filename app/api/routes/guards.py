"""Guards of the handlers other than account reads: the caller is known and admitted, the parameters are documented ones."""

from collections.abc import Iterable
from typing import Final

from litestar import Router
from litestar.di import Provide
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.types import Guard

from app.api.context import context_of
from app.api.openapi.document import SECURITY
from app.api.reads.admission import Admission
from app.api.requests.credentials import find_credential
from app.api.requests.headers import find_lines
from app.api.requests.parameters import read_query
from app.api.routes.litestar_quirks import Connection, as_guard, options_handlers

QUERY: Final = "query"
"""The handler option that names the query parameters of a path."""


def guard_routes(
    tag: str, handlers: Iterable[HTTPRouteHandler], admission: Admission, dependencies: dict[str, Provide]
) -> Router:
    """Put handlers of one topic behind admission and the check of parameter names."""
    return Router(
        "/",
        route_handlers=[*options_handlers(handlers), *handlers],
        guards=[_admission_guard(admission), parameter_guard],
        dependencies=dependencies,
        security=SECURITY,
        tags=[tag],
    )


def _admission_guard(admission: Admission) -> Guard:
    async def admit(connection: Connection, _: BaseRouteHandler) -> None:
        headers = connection.scope["headers"]
        credential = find_credential(find_lines(headers, b"authorization"), find_lines(headers, b"x-bh-token"))
        await admission.admit(credential, context_of(connection.scope))

    return as_guard(admit)


async def _check_parameters(connection: Connection, handler: BaseRouteHandler) -> None:
    read_query(connection.scope["query_string"], handler.opt.get(QUERY, ()))


parameter_guard: Final = as_guard(_check_parameters)
"""Refuses parameters that the handler does not name."""
