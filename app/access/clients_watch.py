"""Watch of the clients file: changes apply without a restart."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from app.access.clients_file import Clients
from app.errors import StartError

EVERY_SECONDS: Final = 0.5

log = structlog.get_logger()


class ClientsFileWatcher:
    """Check the clients file each half second, by its content, since Kubernetes replaces mounted files by a link.

    `read` returns its text, `parse` its content; `renew` applies that and returns whether it is new. If reading or
    parsing raises `StartError`, the last good callers stay, and the error is logged once. `is_ok` is whether the last
    check succeeded.
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
        """Watch until cancelled."""
        while True:
            await self.check_once()
            await asyncio.sleep(EVERY_SECONDS)

    async def check_once(self) -> None:
        """Apply what has changed since the last check."""
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
