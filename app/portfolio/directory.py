"""Merchant directory: which merchants there are. One replica fetches it for all; in an outage the last list stays."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from typing import Final

import msgspec
import structlog
from msgspec import Struct

from app.balances.merchants import Directory
from app.balances.snapshots import AccountId
from app.cache.freshness import latest_plausible_as_of
from app.decoding import Undecodable, decode_json, decompress
from app.errors import TallygateError
from app.fleet.shared_value import Created, GetShared
from app.runtime import Runtime

_TRY_AGAIN_SECONDS: Final = 10.0
_KEPT_MS: Final = 7 * 24 * 3600 * 1000
_REST_MS: Final = 0
_MAX_BYTES: Final = 256 * 1024 * 1024
_EARLIEST: Final = 0.9
_MOST_LOOKS: Final = 3
"""The shared lists that one renewal tries: more would not help against clocks that disagree."""
_STALE_AFTER: Final = 2
"""After so many times `refresh_seconds` a list is stale, since a whole refresh failed or took as long again."""

log = structlog.get_logger()


class Listing(Struct, frozen=True):
    """Merchants by ascending id, with their names, empty where there is none.

    `as_of` is when the upstream listed them (Unix milliseconds), None if they are configured. A stale one may lack new
    merchants.
    """

    names: Mapping[AccountId, str]
    as_of: int | None
    is_stale: bool


class MerchantDirectory:
    """List the merchants: the configured ones, or those that `fetch` returns, refreshed every `refresh_seconds`.

    The first caller waits. From then on the list is refreshed in the background, a little early at random. A list older
    than twice `refresh_seconds` is stale.
    """

    def __init__(
        self,
        *,
        merchants: Collection[AccountId] | None,
        fetch: Callable[[], Awaitable[Directory]],
        share: GetShared,
        refresh_seconds: float,
        runtime: Runtime,
    ) -> None:
        self._set: Final = None if merchants is None else _set(merchants)
        self._fetch: Final = fetch
        self._share: Final = share
        self._refresh_seconds: Final = refresh_seconds
        self._now_ms: Final = runtime.unix_ms
        self._random: Final = runtime.random
        self._turn: Final = asyncio.Lock()
        self._begun = False
        self._wanted: Final = asyncio.Event()
        self._packed = b""
        self._known: Directory | None = None
        self._names: Mapping[AccountId, str] = {}

    async def list(self) -> Listing:
        """Return the merchants as known. Raises the `UpstreamError` of the first fetch if none ever succeeded."""
        return self._set or await self._report()

    async def list_now(self) -> Collection[AccountId]:
        """Return the merchants that there are now. Raises the `UpstreamError` that prevents a fetch."""
        if self._set is not None:
            return self._set.names.keys()
        await self._renew(self._now_ms())
        return self._names.keys()

    def names(self) -> Mapping[AccountId, str]:
        """Return the names that are known here, without waiting, and request them in the background."""
        if self._set is None:
            self._wanted.set()
        return self._names

    def known(self) -> Collection[AccountId]:
        """Return the merchants that are known here, without waiting, and request a list in the background."""
        return self.names().keys() if self._set is None else self._set.names.keys()

    @property
    def configured(self) -> int | None:
        """How many merchants are set, None where they are discovered."""
        return None if self._set is None else len(self._set.names)

    @property
    def age_seconds(self) -> float | None:
        """Return the age of the list, None while there is none or if merchants are configured."""
        return None if self._known is None else max(0, self._now_ms() - self._known.as_of) / 1000

    @property
    def is_stale(self) -> bool:
        """Whether the list, if there is one, is too old, or from the future."""
        oldest = self._now_ms() - round(_STALE_AFTER * self._refresh_seconds * 1000)
        return self._known is not None and not self._is_within(self._known, oldest)

    async def keep_fresh(self) -> None:
        """Refresh the list, from the first request for it until cancelled."""
        await self._wanted.wait()
        while True:
            await asyncio.sleep(self._seconds_left())
            try:
                await self._renew(self._now_ms() - round(_EARLIEST * self._refresh_seconds * 1000))
            except TallygateError as error:
                log.warning("directory.stale", error=type(error).__name__, detail=error.detail)
                await asyncio.sleep(_TRY_AGAIN_SECONDS)

    async def _begin(self) -> None:
        """Get the first list: the shared one, unless it is stale and a newer one can be fetched."""
        await self._renew(0)
        if self.is_stale:
            with suppress(TallygateError):
                await self._renew(self._now_ms())
        self._begun = True

    async def _report(self) -> Listing:
        self._wanted.set()
        if not self._begun:
            await self._begin()
        known = self._known or await self._renew(0)
        return Listing(self._names, known.as_of, self.is_stale)

    def _seconds_left(self) -> float:
        if self.age_seconds is None or self.is_stale:
            return 0
        lifetime_seconds = self._refresh_seconds * (_EARLIEST + (1 - _EARLIEST) * self._random())
        return max(0.0, lifetime_seconds - self.age_seconds)

    async def _renew(self, oldest_as_of: int) -> Directory:
        """Get a list that is no older: the shared one, or a new one. If clocks disagree, get the newest available."""
        async with self._turn:
            looks = 0
            while (known := self._known) is None or (looks < _MOST_LOOKS and not self._is_within(known, oldest_as_of)):
                looks += 1
                self._packed, _ = await self._share(self._packed, self._make)
                found = _unpack(self._packed)
                if found is not None and self._is_newer(found):
                    self._known = found
                    self._names = {AccountId(str(one.id)): one.name or "" for one in found.merchants}
            return known

    def _is_newer(self, found: Directory) -> bool:
        """Return whether a list is newer than the known one. A list from the future is not."""
        known = self._known
        return self._is_within(found, 0 if known is None or not self._is_within(known, 0) else known.as_of + 1)

    def _is_within(self, directory: Directory, oldest_as_of: int) -> bool:
        """Return whether a list is no older than that, and not from the future."""
        return oldest_as_of <= directory.as_of <= latest_plausible_as_of(self._now_ms())

    async def _make(self) -> Created:
        return _pack(await self._fetch()), _KEPT_MS, _REST_MS


def _set(merchants: Collection[AccountId]) -> Listing:
    return Listing(dict.fromkeys(sorted(merchants, key=int), ""), None, is_stale=False)


def _pack(directory: Directory) -> bytes:
    """Encode a directory compactly: it is sent whole, within the time-out of one Redis command."""
    return zlib.compress(msgspec.json.encode(directory), 1)


def _unpack(packed: bytes) -> Directory | None:
    """Decode the shared directory; None if it is unreadable, so that a new one is created."""
    try:
        return decode_json(decompress(packed, _MAX_BYTES), Directory)
    except Undecodable as error:
        log.warning("directory.unreadable", reason=str(error))
        return None
