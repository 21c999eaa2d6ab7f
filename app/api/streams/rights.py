"""Rights of a stream: the caller is identified again whenever callers or keys change, and judged as for a read."""

from collections.abc import Collection
from typing import Final

from app.access.callers import Caller, Callers
from app.balances.snapshots import AccountId
from app.errors import Unauthenticated


class StreamRights:
    """What the caller of one stream may read. `shows_all` streams end if the caller's merchants change in any way."""

    def __init__(self, callers: Callers, caller: Caller, credential: str | None, *, shows_all: bool) -> None:
        self._callers: Final = callers
        self._credential: Final = credential
        self._shows_all: Final = shows_all
        self._generation = callers.generation
        self.caller = caller

    @property
    def are_current(self) -> bool:
        """Whether nothing has changed that they depend on. A key or token may lose its validity at any time."""
        if self.caller.has_token or self.caller.validity.is_limited:
            return self._callers.find_known(self._credential) is self.caller
        return self._callers.generation == self._generation

    def have_ended(self, unix_seconds: float) -> bool:
        """Whether reads refuse the key or the token since a moment that was known when it was last identified."""
        until = self.caller.valid_until
        return until is not None and unix_seconds >= until

    def may_read(self, account_id: AccountId) -> bool:
        """Return whether the caller may read an account, by the function that reads ask."""
        return self.caller.may_read(account_id)

    async def renew(self, account_ids: Collection[AccountId]) -> bool:
        """Identify the caller again, and return whether it may still read all of these accounts.

        Raises `IssuerUnavailable` if a token cannot be verified now.
        """
        generation = self._callers.generation
        try:
            caller = await self._callers.identify(self._credential)
        except Unauthenticated:
            return False
        if self._shows_all and caller.merchants != self.caller.merchants:
            return False
        self._generation, self.caller = generation, caller
        return all(map(caller.may_read, account_ids))
