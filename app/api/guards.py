"""What stands before every handler: who is it, and are the parameters ones that there are."""

from collections.abc import Iterable
from typing import Any, Final, Self

from litestar.connection import ASGIConnection
from litestar.enums import HttpMethod
from litestar.handlers import BaseRouteHandler

from app.access.callers import Callers
from app.api.parameters import check_query
from app.errors import Unauthenticated

Connection = ASGIConnection[Any, Any, Any, Any]

QUERY: Final = "query"
"""The handler option that names the query parameters that it takes."""


async def check_parameters(connection: Connection, handler: BaseRouteHandler) -> None:
    """Refuse parameters that the handler does not name. What methods there are may be asked anyhow."""
    if connection.scope.get("method") == HttpMethod.OPTIONS:
        return
    check_query(connection.scope["query_string"], handler.opt.get(QUERY, ()))


class Doorkeeper:
    """Let known callers in, at their rate."""

    def __init__(self, callers: Callers) -> None:
        self._callers: Final = callers

    async def __call__(self, connection: Connection, _: BaseRouteHandler) -> None:
        """Note who is asking. Raises `Unauthenticated` or `TooFast`."""
        if connection.scope.get("method") == HttpMethod.OPTIONS:
            return
        headers = connection.headers
        key = find_key(headers.getall("authorization", []), headers.getall("x-bh-token", []))
        caller = self._callers.identify(key)
        self._callers.admit(caller)
        connection.state["caller"] = caller

    def __deepcopy__(self, _: object) -> Self:
        """Stay the one that it is: Litestar copies guards with all that they hold, and the rates would count twice."""
        return self


def find_key(authorization: Iterable[str], tokens: Iterable[str]) -> str | None:
    """Find the one key of a request, as a bearer token (RFC 6750, 2.1) or as programs of the upstream send it."""
    keys = set(tokens)
    for value in authorization:
        scheme, _, key = value.partition(" ")
        if scheme.lower() == "bearer":
            keys.add(key.strip(" "))
    if len(keys) > 1:
        raise Unauthenticated("Send one key, not several.")
    return next(iter(keys), None)
