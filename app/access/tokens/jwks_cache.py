"""JWKS cache (RFC 7517): an issuer's keys, fetched in the background at a bounded rate, kept through its outages."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import structlog

from app.access.tokens.jwks import Jwks, PublicKey
from app.errors import IssuerUnavailable
from app.resilience.rate_limiter import RateLimiter
from app.runtime import Runtime

EVERY_SECONDS: Final = 300.0
LEAST_SECONDS: Final = 10.0
AT_ONCE: Final = 3
"""The burst of fetches after a rest; then one each `LEAST_SECONDS`."""

PATIENCE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 30.0

log = structlog.get_logger()


class JwksCache:
    """Keep the keys that `fetch` returns; it may raise `IssuerUnavailable`. Only `keep_fresh` fetches.

    `changed` is called whenever the keys differ from before.
    """

    def __init__(
        self, issuer: str, fetch: Callable[[], Awaitable[Jwks]], changed: Callable[[], None], runtime: Runtime
    ) -> None:
        self._issuer: Final = issuer
        self._fetch: Final = fetch
        self._changed: Final = changed
        self._monotonic: Final = runtime.monotonic
        self._random: Final = runtime.random
        self._rate: Final = RateLimiter(1 / LEAST_SECONDS, AT_ONCE)
        self._keys: Jwks | None = None
        self._due = float("-inf")
        self._failures = 0
        self._fetching = False
        self._wanted: Final = asyncio.Event()
        self._over = asyncio.Event()

    async def get(self, key_id: str | None, algorithm: str) -> PublicKey | None:
        """Return a key, or None if the issuer has none of that id for the algorithm.

        For an unknown key it waits up to a second for a fetch, if one is under way or allowed now. Raises
        `IssuerUnavailable` if no fetch ever succeeded. Cancelling it cancels no fetch.
        """
        key = self._find(key_id, algorithm)
        if key is None and self._request_fetch():
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await self._over.wait()
            key = self._find(key_id, algorithm)
        if self._keys is None:
            left = max(0.0, self._due - self._monotonic())
            raise IssuerUnavailable("The keys of this token's issuer cannot be fetched.", retry_after_seconds=left)
        return key

    async def keep_fresh(self) -> None:
        """Fetch the keys each five minutes, when an unknown one is requested, and soon after a failure."""
        while True:
            await self._until_due()
            try:
                self._fetching = True
                self._rate.acquire(self._monotonic())
                await self._renew()
            finally:
                self._fetching = False
                self._wanted.clear()
                over, self._over = self._over, asyncio.Event()
                over.set()

    def _find(self, key_id: str | None, algorithm: str) -> PublicKey | None:
        return None if self._keys is None else self._keys.find(key_id, algorithm)

    def _request_fetch(self) -> bool:
        """Request a fetch. Return whether one is under way now."""
        if not self._fetching and self._rate.wait_seconds(self._monotonic()) == 0:
            self._wanted.set()
        return self._fetching or self._wanted.is_set()

    async def _until_due(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self._due - self._monotonic())):
                await self._wanted.wait()

    async def _renew(self) -> None:
        """Fetch once. Whatever happens, the next fetch has to wait, and no known keys are lost."""
        self._failures += 1
        pause = min(2.0 ** min(self._failures - 1, 10), LONGEST_PAUSE_SECONDS)
        self._due = self._monotonic() + pause * (1 - self._random() / 4)
        try:
            keys = await self._fetch()
        except IssuerUnavailable as error:
            if self._failures == 1:
                log.warning("issuer.lost", issuer=self._issuer, reason=error.detail)
            return
        if self._failures > 1:
            log.info("issuer.found", issuer=self._issuer)
        self._failures = 0
        self._due = self._monotonic() + EVERY_SECONDS
        if keys != self._keys:
            self._keys = keys
            self._changed()
            log.info("issuer.keys_changed", issuer=self._issuer, keys=len(keys))
