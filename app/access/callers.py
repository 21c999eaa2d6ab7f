"""Callers: known by the hash of their key, allowed some merchants or all, at a rate of their own."""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable
from typing import Final, Literal

from msgspec import Struct

from app.balances.snapshots import AGGREGATE, Key
from app.errors import Forbidden, TooFast, Unauthenticated
from app.rate import Rate

KEY_PREFIX: Final = "tg_"

ALL: Final = "all"


class Caller(Struct, frozen=True):
    """A program that may ask: what it may read, and `rate` requests a second, None for as many as it likes."""

    name: str
    key_sha256: str
    merchants: frozenset[Key] | Literal["all"]
    portfolio: bool = False
    rate: float | None = None

    def may_read(self, key: Key) -> bool:
        """Tell whether this caller may read a merchant, or, under `AGGREGATE`, the portfolio."""
        if key == AGGREGATE:
            return self.portfolio
        return self.merchants == ALL or key in self.merchants


class Callers:
    """Judge keys, rights and rates. `monotonic` gives seconds; rates are divided between `workers` processes."""

    def __init__(self, callers: Iterable[Caller], *, workers: int, monotonic: Callable[[], float]) -> None:
        self._by_hash: Final = {caller.key_sha256: caller for caller in callers}
        self._monotonic: Final = monotonic
        self._rates: Final = {
            caller.name: Rate(caller.rate / workers, caller.rate / workers)
            for caller in self._by_hash.values()
            if caller.rate is not None
        }

    def __len__(self) -> int:
        return len(self._by_hash)

    def identify(self, presented: str | None) -> Caller:
        """Give the caller that a key belongs to. Raises `Unauthenticated`.

        A digest is looked up, never the key, so that the time taken tells nothing about any key.
        """
        if not presented:
            raise Unauthenticated("Send your key as Authorization: Bearer <key>, or as X-BH-TOKEN.")
        digest = hash_key(presented)
        caller = self._by_hash.get(digest)
        if caller is None or not hmac.compare_digest(caller.key_sha256, digest):
            raise Unauthenticated("This key is not known.")
        return caller

    def admit(self, caller: Caller) -> None:
        """Count a request of a caller. Raises `TooFast` if it is above its rate."""
        rate = self._rates.get(caller.name)
        if rate is not None and (wait := rate.take(self._monotonic())) > 0:
            raise TooFast("You are above your rate.", retry_after_seconds=wait)


def authorise(caller: Caller, key: Key) -> None:
    """Let a caller read a merchant or the portfolio, or raise `Forbidden`: the same words whether it exists or not."""
    if not caller.may_read(key):
        raise Forbidden("You may not read this.")


def hash_key(key: str) -> str:
    """Give the SHA-256 of a key in hex, as the clients file holds it. Keys are random, so no salt is needed."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def make_key() -> str:
    """Make a new key: 256 random bits behind a prefix by which secret scanners know it."""
    return KEY_PREFIX + secrets.token_urlsafe(32)
