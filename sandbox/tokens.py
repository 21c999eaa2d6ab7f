"""Tokens: the static one, and those minted for a signature."""

import hmac
from collections.abc import Callable
from random import Random
from uuid import UUID

import msgspec

SKEW_SECONDS = 300
"""How far a signed timestamp may be from now, either way."""


class Minted(msgspec.Struct, frozen=True, rename="camel"):
    """Hold a minted token and the time it ends: milliseconds since the epoch, as text."""

    token: str
    expire_time: str


class Tokens:
    """Decide which tokens are good, and mint new ones.

    The static token is good until `expire_all`. A minted one is good for `lifetime_seconds`, and with `new_voids_old`
    only until the next is minted: the document leaves that open, so both are possible.
    """

    def __init__(
        self,
        static: str,
        api_key: str,
        api_secret: str,
        *,
        lifetime_seconds: float,
        new_voids_old: bool,
        clock: Callable[[], float],
        random: Random,
    ) -> None:
        self._static: str | None = static
        self._api_key = api_key
        self._api_secret = api_secret
        self.lifetime_seconds = lifetime_seconds
        self.new_voids_old = new_voids_old
        self._clock = clock
        self._random = random
        self._minted: dict[str, float] = {}

    def accepts(self, token: str | None) -> bool:
        """Say whether a token is good now."""
        if token is None:
            return False
        return token == self._static or self._clock() < self._minted.get(token, 0)

    def set_static(self, token: str) -> None:
        """Replace the static token; what was minted stays good."""
        self._static = token

    def expire_all(self) -> None:
        """End every token there is, the static one too."""
        self._static = None
        self._minted.clear()

    def may_mint(self, api_key: str | None, timestamp_ms: int, signature: str) -> bool:
        """Check the key, the signature (hex, any case) and that the timestamp is near enough to now."""
        message = f"timestamp={timestamp_ms}".encode()
        expected = hmac.digest(self._api_secret.encode(), message, "sha256").hex()
        right_key = hmac.compare_digest(self._api_key.encode(), (api_key or "").encode())
        right_signature = hmac.compare_digest(expected.encode(), signature.lower().encode())
        return right_key and right_signature and abs(self._clock() - timestamp_ms / 1000) <= SKEW_SECONDS

    def mint(self) -> Minted:
        """Make a token that is good from now on."""
        now = self._clock()
        kept = {} if self.new_voids_old else self._minted
        self._minted = {token: end for token, end in kept.items() if now < end}
        token = str(UUID(int=self._random.getrandbits(128), version=4))
        self._minted[token] = now + self.lifetime_seconds
        return Minted(token=token, expire_time=str(int(self._minted[token] * 1000)))
