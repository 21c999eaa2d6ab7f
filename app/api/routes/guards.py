"""What stands before every handler: who is it, and are the parameters ones that there are."""

from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.enums import HttpMethod
from litestar.handlers import BaseRouteHandler

from app.api.requests.parameters import check_query

Connection = ASGIConnection[Any, Any, Any, Any]

QUERY: Final = "query"
"""The handler option that names the query parameters that it takes."""


async def check_parameters(connection: Connection, handler: BaseRouteHandler) -> None:
    """Refuse parameters that the handler does not name. What methods there are may be asked anyhow."""
    if connection.scope.get("method") == HttpMethod.OPTIONS:
        return
    check_query(connection.scope["query_string"], handler.opt.get(QUERY, ()))
