"""Callers: known by the hash of their key or by a token, allowed some merchants or all, at a rate of their own."""

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final, Literal, Protocol

from msgspec import Struct

from app.access.quotas import CallerQuota, Headers
from app.balances.snapshots import AGGREGATE, AccountId
from app.errors import Forbidden, Unauthenticated

KEY_PREFIX: Final = "tg_"

ALL: Final = "all"

MAX_CREDENTIAL_CHARACTERS: Final = 8 * 1024
MAX_TOKEN_CALLERS: Final = 10_000

_JSON_BEGINS: Final = "eyJ"
"""How an object of JSON begins in base64, and a JWT with it."""


class Caller(Struct, frozen=True):
    """A program that may ask: what it may read, and how hard it may press.

    `rate` is requests a second, None for as many as it likes; `concurrency` is requests at once, None for the default.
    `other_key_sha256` is known too, while one key replaces the other. A guest comes with a token and has no key.
    """

    name: str
    key_sha256: str
    merchants: frozenset[AccountId] | Literal["all"]
    portfolio: bool = False
    rate: float | None = None
    concurrency: int | None = None
    other_key_sha256: str | None = None

    @property
    def has_token(self) -> bool:
        """Tell whether this caller came with a token."""
        return not self.key_sha256

    @property
    def key_hashes(self) -> tuple[str, ...]:
        """The SHA-256 of each key that it may send."""
        return (self.key_sha256,) if self.other_key_sha256 is None else (self.key_sha256, self.other_key_sha256)

    def may_read(self, key: AccountId) -> bool:
        """Tell whether this caller may read a merchant, or, under `AGGREGATE`, the portfolio."""
        if key == AGGREGATE:
            return self.portfolio
        return self.merchants == ALL or key in self.merchants


class TokenAuthenticator(Protocol):
    """Who knows whose token is whose, by its digest; see `Judge`."""

    def find_known(self, digest: bytes) -> Caller | None:
        """Give the caller of a token that was taken and is still good."""

    async def verify(self, text: str, digest: bytes) -> Caller:
        """Give the caller that a token is of. Raises `Unauthenticated` or `IssuerUnavailable`."""


class Callers:
    """Judge keys, rights and rates, and have tokens judged, if there is a `judge`.

    `monotonic` gives seconds; what is allowed is divided between `workers` processes. What is said of a key, and of the rights
    of a caller who is no guest, stays so within one `generation`.
    """

    def __init__(
        self,
        callers: Iterable[Caller],
        *,
        workers: int,
        monotonic: Callable[[], float],
        judge: TokenAuthenticator | None = None,
    ) -> None:
        self._workers: Final = workers
        self._monotonic: Final = monotonic
        self._judge: Final = judge
        self._callers: tuple[Caller, ...] = ()
        self._by_digest: dict[bytes, Caller] = {}
        self._quotas: Final[dict[str, CallerQuota]] = {}
        self._guests: Final[OrderedDict[tuple[object, ...], CallerQuota]] = OrderedDict()
        self.generation = 0
        self.replace_all(callers)

    def __len__(self) -> int:
        return len(self._callers)

    def replace_all(self, callers: Iterable[Caller]) -> bool:
        """Take other callers, and tell whether they are others.

        Those that stay keep what they have used up of a rate, and their requests under way.
        """
        callers = tuple(callers)
        if callers == self._callers:
            return False
        self.generation += 1
        self._callers = callers
        self._by_digest = {bytes.fromhex(digest): caller for caller in callers for digest in caller.key_hashes}
        for name in self._quotas.keys() - {caller.name for caller in callers}:
            del self._quotas[name]
        for caller in callers:
            self.quota_of(caller).configure(caller.rate, caller.concurrency)
        return True

    def find_known(self, presented: str | None) -> Caller | None:
        """Give the caller of a key, or of a token that was taken before; None of anything else.

        A digest is looked up, never the credential, so that the time taken tells nothing about any.
        """
        if not presented or len(presented) > MAX_CREDENTIAL_CHARACTERS:
            return None
        digest = _digest(presented)
        caller = self._by_digest.get(digest)
        return self._judge.find_known(digest) if caller is None and self._judge is not None else caller

    async def identify(self, presented: str | None) -> Caller:
        """Give the caller of any credential. Raises `Unauthenticated`, or `IssuerUnavailable` if that cannot be told."""
        if not presented:
            raise Unauthenticated("Send your key as Authorization: Bearer <key>, or as X-BH-TOKEN.")
        if len(presented) > MAX_CREDENTIAL_CHARACTERS:
            raise Unauthenticated(f"A key or token may have {MAX_CREDENTIAL_CHARACTERS} characters.")
        caller = self.find_known(presented)
        if caller is not None:
            return caller
        if self._judge is None or not presented.startswith(_JSON_BEGINS):
            raise Unauthenticated("This key is not known.")
        return await self._judge.verify(presented, _digest(presented))

    def admit(self, caller: Caller) -> None:
        """Count a request of a caller. Raises `TooFast` if it is above its rate."""
        self.quota_of(caller).count_request(self._monotonic())

    def acquire_slot(self, caller: Caller) -> Callable[[], None]:
        """Give a request of a caller a place while it is answered, and what gives the place back. Raises `TooFast`."""
        return self.quota_of(caller).acquire_slot()

    def limits(self, caller: Caller) -> Headers:
        """Give the headers that tell a rated caller what is left of its rate; none to a caller without one."""
        return self.quota_of(caller).limits(self._monotonic())

    def quota_of(self, caller: Caller) -> CallerQuota:
        """Give how a caller stands in this process."""
        if caller.has_token:
            return self._quota_of_token(caller)
        quota = self._quotas.get(caller.name)
        if quota is None:
            quota = self._quotas[caller.name] = CallerQuota(self._workers)
            quota.configure(caller.rate, caller.concurrency)
        return quota

    def _quota_of_token(self, caller: Caller) -> CallerQuota:
        """Give how the subject of tokens stands, of which there may be any number: those that came last are kept.

        One whose tokens allow it different rates stands under each, lest one token give it back what another used up.
        """
        name = (caller.name, caller.rate, caller.concurrency)
        quota = self._guests.get(name)
        if quota is None:
            quota = self._guests[name] = CallerQuota(self._workers)
            quota.configure(caller.rate, caller.concurrency)
            if len(self._guests) > MAX_TOKEN_CALLERS:
                self._guests.popitem(last=False)
        self._guests.move_to_end(name)
        return quota


def authorise(caller: Caller, key: AccountId) -> None:
    """Let a caller read a merchant or the portfolio, or raise `Forbidden`: the same words whether it exists or not."""
    if not caller.may_read(key):
        raise Forbidden("You may not read this.")


def hash_key(key: str) -> str:
    """Give the SHA-256 of a key in hex, as the clients file holds it. Keys are random, so no salt is needed."""
    return _digest(key).hex()


def _digest(credential: str) -> bytes:
    return hashlib.sha256(credential.encode("utf-8", "surrogatepass")).digest()


def make_key() -> str:
    """Make a new key: 256 random bits behind a prefix by which secret scanners know it."""
    return KEY_PREFIX + secrets.token_urlsafe(32)
