"""The clients file, watched: whoever is in it now may ask, without a restart."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from app.access.clients_file import Clients
from app.errors import StartError

EVERY_SECONDS: Final = 0.5

log = structlog.get_logger()


class ClientsFileWatcher:
    """Look at the clients file each half second, by its content: Kubernetes replaces mounted files behind a link.

    `read` gives its text, `parse` what it says, `renew` takes that over and tells whether it is new. Reading and
    parsing raise `StartError`: then the last good callers stay, and what is wrong is logged, once a change. `is_ok` tells
    whether the file was good at the last look.
    """

    def __init__(
        self,
        *,
        read: Callable[[], Awaitable[str]],
        parse: Callable[[str], Clients],
        renew: Callable[[Clients], bool],
    ) -> None:
        self._read: Final = read
        self._parse: Final = parse
        self._renew: Final = renew
        self._seen: str | None = None
        self.is_ok = True

    async def keep_watching(self) -> None:
        """Watch for ever."""
        while True:
            await self.check_once()
            await asyncio.sleep(EVERY_SECONDS)

    async def check_once(self) -> None:
        """Take over what has changed since the last look."""
        try:
            text = await self._read()
        except StartError as error:
            self._refuse(error.detail, error)
            return
        if text == self._seen:
            return
        try:
            clients = self._parse(text)
        except StartError as error:
            self._refuse(text, error)
            return
        if self._renew(clients):
            log.info("clients.renewed", callers=len(clients.callers), issuers=len(clients.issuers))
        self._seen = text
        self.is_ok = True

    def _refuse(self, seen: str, error: StartError) -> None:
        if seen != self._seen:
            log.error("clients.refused", reason=error.detail)
        self._seen = seen
        self.is_ok = False
