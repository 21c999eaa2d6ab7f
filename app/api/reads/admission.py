"""Admission control: identifies the caller of a request, and holds it to its rate and concurrency."""

from typing import Final

from app.access.callers import Caller, Callers
from app.access.failed_logins import FailedLogins
from app.api.context import RequestContext
from app.errors import Unauthenticated


class Admission:
    """Admit known callers, at their rate."""

    def __init__(self, callers: Callers, failed_logins: FailedLogins) -> None:
        self._callers: Final = callers
        self._failed_logins: Final = failed_logins
        self.find_known: Final = callers.find_known

    async def admit(self, credential: str | None, context: RequestContext) -> Caller:
        """Return the caller, with a slot that the edge releases. Raises `Unauthenticated`, `IssuerUnavailable` or `TooFast`."""
        caller = await self._identify(credential, context)
        context.identify_again = lambda: self._callers.identify(credential)
        self.admit_known(caller, context)
        return caller

    def admit_known(self, caller: Caller, context: RequestContext) -> None:
        """Give an identified caller a slot that the edge releases. Raises `TooFast`."""
        context.caller = caller
        if caller.rate is not None:
            context.limits = lambda: self._callers.limits(caller)
        self._callers.admit(caller)
        context.release = self._callers.acquire_slot(caller)

    async def _identify(self, credential: str | None, context: RequestContext) -> Caller:
        """Identify a caller. An address that sent too many wrong credentials may send only known ones."""
        caller = self.find_known(credential)
        if caller is not None:
            return caller
        address = context.address or ""
        if credential:
            self._failed_logins.check(address)
        try:
            return await self._callers.identify(credential)
        except Unauthenticated:
            if credential:
                self._failed_logins.count(address)
                invalid = self._callers.find_invalid(credential)
                context.refused_key = None if invalid is None else invalid.name
            raise
