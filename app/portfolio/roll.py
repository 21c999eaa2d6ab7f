"""The roll: which merchants there are."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final

import structlog

from app.balances.snapshots import Key
from app.errors import TallygateError

_REFRESH_SECONDS: Final = 300.0
_TRY_AGAIN_SECONDS: Final = 10.0

log = structlog.get_logger()


class Roll:
    """Name the merchants: those that are set, or those that `fetch` names, kept for five minutes.

    `monotonic` gives seconds.
    """

    def __init__(
        self,
        *,
        merchants: Collection[Key] | None,
        fetch: Callable[[], Awaitable[Collection[Key]]],
        monotonic: Callable[[], float],
    ) -> None:
        self._set: Final = merchants
        self._fetch: Final = fetch
        self._monotonic: Final = monotonic
        self._turn: Final = asyncio.Lock()
        self._known: Collection[Key] | None = None
        self._due = float("-inf")

    async def list(self) -> Collection[Key]:
        """Give the merchants as known. Raises the `UpstreamError` that kept us from ever knowing."""
        if self._set is not None:
            return self._set
        async with self._turn:
            if self._known is None or self._monotonic() >= self._due:
                await self._refresh()
            return self._known or ()

    async def name(self) -> Mapping[Key, str]:
        """Give the merchants as known, with their names; one whose name is not known has an empty one."""
        known = await self.list()
        return known if isinstance(known, Mapping) else dict.fromkeys(known, "")

    async def list_afresh(self) -> Collection[Key]:
        """Give the merchants that there are now. Raises the `UpstreamError` that keeps us from knowing."""
        if self._set is not None:
            return self._set
        async with self._turn:
            self._known = await self._fetch()
            self._due = self._monotonic() + _REFRESH_SECONDS
            return self._known

    async def _refresh(self) -> None:
        try:
            self._known = await self._fetch()
            self._due = self._monotonic() + _REFRESH_SECONDS
        except TallygateError as error:
            if self._known is None:
                raise
            log.warning("directory.stale", error=type(error).__name__)
            self._due = self._monotonic() + _TRY_AGAIN_SECONDS
