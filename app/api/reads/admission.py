"""Admission: who is asking, and has it a place and a turn of its rate."""

from typing import Any, Final, Self

from litestar.connection import ASGIConnection
from litestar.enums import HttpMethod
from litestar.handlers import BaseRouteHandler
from litestar.types import Scope

from app.access.callers import Caller, Callers
from app.access.failed_logins import FailedLogins
from app.api.requests.credentials import find_credential
from app.api.requests.headers import find_lines
from app.errors import Unauthenticated

Connection = ASGIConnection[Any, Any, Any, Any]


class Admission:
    """Let known callers in, at their rate."""

    def __init__(self, callers: Callers, failures: FailedLogins) -> None:
        self._callers: Final = callers
        self._failures: Final = failures

    def __deepcopy__(self, _: object) -> Self:
        """Stay one: Litestar copies guards for each handler, and each copy would count, and know, its own callers."""
        return self

    async def __call__(self, connection: Connection, _: BaseRouteHandler) -> None:
        """Find out who is asking, and let it in. Raises `Unauthenticated` or `TooFast`."""
        if connection.scope.get("method") == HttpMethod.OPTIONS:
            return
        self.admit(await self._identify(connection), connection.scope)

    def admit(self, caller: Caller, scope: Scope) -> None:
        """Note who is asking, and give it a place, which the edge takes back. Raises `TooFast`."""
        state = scope["state"]
        state["caller"] = caller
        state["limits"] = lambda: self._callers.limits(caller)
        self._callers.admit(caller)
        state["leave"] = self._callers.acquire_slot(caller)

    async def _identify(self, connection: Connection) -> Caller:
        """Find the caller. An address that has sent too many wrong credentials may not send one that is to be judged."""
        headers = connection.scope["headers"]
        key = find_credential(find_lines(headers, b"authorization"), find_lines(headers, b"x-bh-token"))
        caller = self._callers.find_known(key)
        if caller is not None:
            return caller
        address = connection.client.host if connection.client else ""
        if key:
            self._failures.check(address)
        try:
            return await self._callers.identify(key)
        except Unauthenticated:
            if key:
                self._failures.count(address)
            raise
