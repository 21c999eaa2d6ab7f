"""Callers: known by the hash of their key, allowed some merchants or all, at a rate of their own."""

import hashlib
import secrets
from collections.abc import Callable, Iterable
from typing import Final, Literal

from msgspec import Struct

from app.access.standing import Headers, Standing
from app.balances.snapshots import AGGREGATE, Key
from app.errors import Forbidden, Unauthenticated

KEY_PREFIX: Final = "tg_"

ALL: Final = "all"


class Caller(Struct, frozen=True):
    """A program that may ask: what it may read, and how hard it may press.

    `rate` is requests a second, None for as many as it likes; `concurrency` is requests at once, None for the default.
    `other_key_sha256` is known too, while one key replaces the other.
    """

    name: str
    key_sha256: str
    merchants: frozenset[Key] | Literal["all"]
    portfolio: bool = False
    rate: float | None = None
    concurrency: int | None = None
    other_key_sha256: str | None = None

    @property
    def key_hashes(self) -> tuple[str, ...]:
        """The SHA-256 of each key that it may send."""
        return (self.key_sha256,) if self.other_key_sha256 is None else (self.key_sha256, self.other_key_sha256)

    def may_read(self, key: Key) -> bool:
        """Tell whether this caller may read a merchant, or, under `AGGREGATE`, the portfolio."""
        if key == AGGREGATE:
            return self.portfolio
        return self.merchants == ALL or key in self.merchants


class Callers:
    """Judge keys, rights and rates. `monotonic` gives seconds; what is allowed is divided between `workers` processes."""

    def __init__(self, callers: Iterable[Caller], *, workers: int, monotonic: Callable[[], float]) -> None:
        self._workers: Final = workers
        self._monotonic: Final = monotonic
        self._callers: tuple[Caller, ...] = ()
        self._by_hash: dict[str, Caller] = {}
        self._standings: Final[dict[str, Standing]] = {}
        self.renew(callers)

    def __len__(self) -> int:
        return len(self._standings)

    def renew(self, callers: Iterable[Caller]) -> bool:
        """Take other callers, and tell whether they are others.

        Those that stay keep what they have used up of a rate, and their requests under way.
        """
        callers = tuple(callers)
        if callers == self._callers:
            return False
        self._callers = callers
        self._by_hash = {digest: caller for caller in callers for digest in caller.key_hashes}
        for name in self._standings.keys() - {caller.name for caller in callers}:
            del self._standings[name]
        for caller in callers:
            self.standing_of(caller).adopt(caller.rate, caller.concurrency)
        return True

    def identify(self, presented: str | None) -> Caller:
        """Give the caller that a key belongs to. Raises `Unauthenticated`.

        A digest is looked up, never the key, so that the time taken tells nothing about any key.
        """
        if not presented:
            raise Unauthenticated("Send your key as Authorization: Bearer <key>, or as X-BH-TOKEN.")
        caller = self._by_hash.get(hash_key(presented))
        if caller is None:
            raise Unauthenticated("This key is not known.")
        return caller

    def admit(self, caller: Caller) -> None:
        """Count a request of a caller. Raises `TooFast` if it is above its rate."""
        self.standing_of(caller).count(self._monotonic())

    def enter(self, caller: Caller) -> Callable[[], None]:
        """Give a request of a caller a place while it is answered, and what gives the place back. Raises `TooFast`."""
        return self.standing_of(caller).enter()

    def limits(self, caller: Caller) -> Headers:
        """Give the headers that tell a rated caller what is left of its rate; none to a caller without one."""
        return self.standing_of(caller).limits(self._monotonic())

    def standing_of(self, caller: Caller) -> Standing:
        """Give how a caller stands in this process."""
        standing = self._standings.get(caller.name)
        if standing is None:
            standing = self._standings[caller.name] = Standing(self._workers)
            standing.adopt(caller.rate, caller.concurrency)
        return standing


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
