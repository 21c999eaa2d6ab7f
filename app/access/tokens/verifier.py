"""Token verification: once for each token, remembered until it expires, or issuers or their keys change."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, Final

from msgspec import Struct

from app.access.callers import Caller
from app.access.tokens.issuers import Issuer, Source
from app.access.tokens.jwks import PublicKey
from app.access.tokens.jwks_cache import JwksCache
from app.access.tokens.jwts import Token, read_claims, read_token
from app.errors import Unauthenticated

MAX_REMEMBERED: Final = 10_000
REFUSED_SECONDS: Final = 5

MakeRing = Callable[[Source, Callable[[], None]], JwksCache]
"""Makes the cache of a source's keys, which calls back when they change."""


class _Accepted(Struct, frozen=True):
    caller: Caller
    until: float
    source: Source


class _Refused(Struct, frozen=True):
    detail: str
    until: float


class TokenVerifier:
    """Verify tokens of some issuers. `now` returns Unix seconds.

    Tokens are remembered only by their digests: up to `MAX_REMEMBERED` accepted ones, and for `REFUSED_SECONDS` as many
    with a wrong signature or wrong claims.
    """

    def __init__(self, make_ring: MakeRing, now: Callable[[], float]) -> None:
        self._make_ring: Final = make_ring
        self._now: Final = now
        self._issuers: dict[str, Issuer] = {}
        self._jwks_caches: dict[Source, JwksCache] = {}
        self._taken: OrderedDict[bytes, _Accepted] = OrderedDict()
        self._refused: Final[OrderedDict[bytes, _Refused]] = OrderedDict()
        self._renewed: Final = asyncio.Event()

    def replace_all(self, issuers: Iterable[Issuer]) -> bool:
        """Replace the issuers. Return whether they differ. Keys of a source that stays are kept."""
        by_name = {issuer.source.issuer: issuer for issuer in issuers}
        if by_name == self._issuers:
            return False
        self._issuers = by_name
        sources = {issuer.source for issuer in by_name.values()}
        self._jwks_caches = {source: self._jwks_caches.get(source) or self._jwks_cache(source) for source in sources}
        self._taken.clear()
        self._refused.clear()
        self._renewed.set()
        return True

    async def tend(self) -> None:
        """Keep the keys of all current issuers fresh, until cancelled. A fetch for one that stays is not cancelled."""
        tended: dict[JwksCache, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                self._renewed.clear()
                jwks_caches = set(self._jwks_caches.values())
                for jwks_cache in tended.keys() - jwks_caches:
                    tended.pop(jwks_cache).cancel()
                for jwks_cache in jwks_caches - tended.keys():
                    tended[jwks_cache] = group.create_task(jwks_cache.keep_fresh())
                await self._renewed.wait()

    def find_known(self, digest: bytes) -> Caller | None:
        """Return the caller of a token that was accepted and is still valid."""
        taken = self._taken.get(digest)
        if taken is None or self._now() >= taken.until:
            return None
        self._taken.move_to_end(digest)
        return taken.caller

    async def verify(self, text: str, digest: bytes) -> Caller:
        """Return the caller of a token. May wait a second for the keys of its issuer.

        Raises `Unauthenticated`, or `IssuerUnavailable` if the keys were never fetched.
        """
        refused = self._refused.get(digest)
        if refused is not None and self._now() < refused.until:
            raise Unauthenticated(refused.detail)
        token = read_token(text)
        while True:
            issuer = self._issuer_of(token)
            key = await self._jwks_caches[issuer.source].get(token.key_id, token.algorithm)
            if self._issuers.get(token.issuer) == issuer:  # they may have changed meanwhile
                break
        if key is None:
            raise Unauthenticated("The key of this token is not known.")
        return self.find_known(digest) or self._decide(token, digest, issuer, key)

    def _issuer_of(self, token: Token) -> Issuer:
        issuer = self._issuers.get(token.issuer)
        if issuer is None:
            raise Unauthenticated("The issuer of this token is not known here.")
        if token.algorithm not in issuer.algorithms:
            raise Unauthenticated("Tokens signed like this are not taken.")
        return issuer

    def _decide(self, token: Token, digest: bytes, issuer: Issuer, key: PublicKey) -> Caller:
        """Verify a token and remember the result."""
        now = self._now()
        try:
            caller, until = _verify(token, issuer, key, now)
        except Unauthenticated as error:
            _remember(self._refused, digest, _Refused(error.detail, now + REFUSED_SECONDS))
            raise
        _remember(self._taken, digest, _Accepted(caller, until, issuer.source))
        return caller

    def _jwks_cache(self, source: Source) -> JwksCache:
        return self._make_ring(source, lambda: self._forget(source))

    def _forget(self, source: Source) -> None:
        """Forget results by keys that may be withdrawn now, or without keys that are new."""
        self._taken = OrderedDict((digest, taken) for digest, taken in self._taken.items() if taken.source != source)
        self._refused.clear()


def _verify(token: Token, issuer: Issuer, key: PublicKey, now: float) -> tuple[Caller, float]:
    """Return caller and expiry of a token. No claim is read before the signature is verified."""
    if not key.verifies(token.signed, token.signature):
        raise Unauthenticated("The signature of this token is wrong.")
    return read_claims(token.payload, issuer, now)


def _remember(memory: OrderedDict[bytes, Any], digest: bytes, verdict: _Accepted | _Refused) -> None:
    memory[digest] = verdict
    memory.move_to_end(digest)
    if len(memory) > MAX_REMEMBERED:
        memory.popitem(last=False)
