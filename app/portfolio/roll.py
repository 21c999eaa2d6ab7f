"""The roll: which merchants there are. One replica asks for all, and an outage leaves the last list in place."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final

import msgspec
import structlog

from app.balances.merchants import Directory, Merchant
from app.balances.snapshots import Key
from app.errors import TallygateError

_TRY_AGAIN_SECONDS: Final = 10.0
_KEPT_MS: Final = 7 * 24 * 3600 * 1000
_REST_MS: Final = 0
_EARLIEST: Final = 0.9

log = structlog.get_logger()

Made = tuple[bytes, int, int]
Share = Callable[[bytes, Callable[[], Awaitable[Made]]], Awaitable[tuple[bytes, int]]]
"""Gives what the fleet keeps, unless it is the unwanted one: then one replica makes a new one (`Vault.obtain`)."""


class Roll:
    """Name the merchants: those that are set, or those that `fetch` names, asked for anew every `refresh_seconds`.

    The first who asks waits; after that the list is refreshed behind, a little early or late at random. `now_ms` is Unix
    time in milliseconds, `random` gives numbers in [0, 1).
    """

    def __init__(
        self,
        *,
        merchants: Collection[Key] | None,
        fetch: Callable[[], Awaitable[Directory]],
        share: Share,
        refresh_seconds: float,
        now_ms: Callable[[], int],
        random: Callable[[], float],
    ) -> None:
        self._set: Final = merchants
        self._fetch: Final = fetch
        self._share: Final = share
        self._refresh_seconds: Final = refresh_seconds
        self._now_ms: Final = now_ms
        self._random: Final = random
        self._turn: Final = asyncio.Lock()
        self._wanted: Final = asyncio.Event()
        self._packed = b""
        self._known: Directory | None = None
        self._names: Mapping[Key, str] = {}

    async def list(self) -> Collection[Key]:
        """Give the merchants as known. Raises the `UpstreamError` that kept us from ever knowing."""
        return _keys(await self.tell())

    async def list_afresh(self) -> Collection[Key]:
        """Give the merchants that there are now. Raises the `UpstreamError` that keeps us from knowing."""
        return _keys(self._fixed() if self._set is not None else await self._renew(self._now_ms()))

    async def name(self) -> Mapping[Key, str]:
        """Give the merchants as known, with their names; one whose name is not known has an empty one."""
        return {Key(str(merchant.id)): merchant.name or "" for merchant in (await self.tell()).merchants}

    def names(self) -> Mapping[Key, str]:
        """Give the names that are known here, without waiting, and see to it that they are asked for."""
        self.peek()
        return self._names

    async def tell(self) -> Directory:
        """Give the directory as known. Raises the `UpstreamError` that kept us from ever knowing."""
        return self.peek() or await self._renew(0)

    def peek(self) -> Directory | None:
        """Give the directory as known, if it is, and see to it that it is asked for."""
        if self._set is not None:
            return self._fixed()
        self._wanted.set()
        return self._known

    async def keep(self) -> None:
        """Refresh the list behind, for as long as somebody asks for it, until cancelled."""
        while True:
            await self._wanted.wait()
            await asyncio.sleep(self._seconds_left())
            self._wanted.clear()
            try:
                await self._renew(self._now_ms() - round(_EARLIEST * self._refresh_seconds * 1000))
            except TallygateError as error:
                log.warning("directory.stale", error=type(error).__name__)
                self._wanted.set()
                await asyncio.sleep(_TRY_AGAIN_SECONDS)

    def _fixed(self) -> Directory:
        merchants = sorted(map(int, self._set or ()))
        return Directory(self._now_ms(), tuple(map(Merchant, merchants)))

    def _seconds_left(self) -> float:
        if self._known is None:
            return 0
        lifetime_seconds = self._refresh_seconds * (_EARLIEST + (1 - _EARLIEST) * self._random())
        return max(0.0, lifetime_seconds - (self._now_ms() - self._known.as_of) / 1000)

    async def _renew(self, oldest_as_of: int) -> Directory:
        """Get a list that is no older: the one that the fleet keeps, or a new one."""
        async with self._turn:
            while self._known is None or self._known.as_of < oldest_as_of:
                self._packed, _ = await self._share(self._packed, self._make)
                found = _unpack(self._packed)
                if found is not None and (self._known is None or self._known.as_of < found.as_of):
                    self._known = found
                    self._names = {Key(str(one.id)): one.name for one in found.merchants if one.name}
            return self._known

    async def _make(self) -> Made:
        return _pack(await self._fetch()), _KEPT_MS, _REST_MS


def _keys(directory: Directory) -> Collection[Key]:
    return [Key(str(merchant.id)) for merchant in directory.merchants]


def _pack(directory: Directory) -> bytes:
    """Write a directory small: it is sent whole, within the time that Redis has for a command."""
    return zlib.compress(msgspec.json.encode(directory), 1)


def _unpack(packed: bytes) -> Directory | None:
    """Read what the fleet keeps; None if it cannot be read, and a new one is to be made."""
    try:
        return msgspec.json.decode(zlib.decompress(packed), type=Directory)
    except (zlib.error, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        log.warning("directory.unreadable")
        return None
