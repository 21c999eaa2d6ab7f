"""Callers, authenticated by the hash of a key or by a token: which merchants they may read, and at which rate."""

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final, Literal, Protocol

from msgspec import Struct

from app.access.quotas import CallerQuota, Headers
from app.access.validity import FOREVER, Validity
from app.balances.snapshots import AGGREGATE, AccountId
from app.clock import unix_ms
from app.errors import Forbidden, Unauthenticated

KEY_PREFIX: Final = "tg_"

ALL: Final = "all"

MAX_CREDENTIAL_CHARACTERS: Final = 8 * 1024
MAX_TOKEN_CALLERS: Final = 10_000

_JSON_BEGINS: Final = "eyJ"
"""The beginning of a JSON object in base64, and so of a JWT."""


class Caller(Struct, frozen=True):
    """A client program: what it may read, and its limits.

    `rate` is requests a second, None for no limit; `concurrency` is simultaneous requests, None for the default.
    `other_key_sha256` is accepted too, while one key replaces the other. A caller with a token has no key.
    Reads refuse its keys or its token outside of `validity`. `streams` is open streams in a process, None for the default.
    With `moves` it may report moves of what it reads.
    """

    name: str
    key_sha256: str
    merchants: frozenset[AccountId] | Literal["all"]
    portfolio: bool = False
    rate: float | None = None
    concurrency: int | None = None
    other_key_sha256: str | None = None
    streams: int | None = None
    validity: Validity = Validity()
    moves: bool = False

    @property
    def has_token(self) -> bool:
        """Whether this caller came with a token."""
        return not self.key_sha256

    @property
    def key_hashes(self) -> tuple[str, ...]:
        """The SHA-256 of each accepted key."""
        return (self.key_sha256,) if self.other_key_sha256 is None else (self.key_sha256, self.other_key_sha256)

    @property
    def valid_until(self) -> float | None:
        """From when reads refuse its keys or its token, in Unix seconds; None for never."""
        return None if self.validity.until == FOREVER else self.validity.until / 1000

    def may_read(self, key: AccountId) -> bool:
        """Return whether this caller may read a merchant, or, as `AGGREGATE`, the portfolio."""
        if key == AGGREGATE:
            return self.portfolio
        return self.merchants == ALL or key in self.merchants


class TokenAuthenticator(Protocol):
    """What maps tokens to callers; see `TokenVerifier`."""

    def find_known(self, digest: bytes) -> Caller | None:
        """Return the caller of a token that was accepted and is still valid."""

    async def verify(self, text: str, digest: bytes) -> Caller:
        """Return the caller of a token. Raises `Unauthenticated` or `IssuerUnavailable`."""


class Callers:
    """Authenticate and admit callers. `judge`, if there is one, verifies tokens.

    `monotonic` returns seconds, `now` Unix milliseconds; limits are divided between `workers` processes. Within one `generation`, keys and the
    rights of callers with keys do not change.
    """

    def __init__(
        self,
        callers: Iterable[Caller],
        *,
        workers: int,
        monotonic: Callable[[], float],
        judge: TokenAuthenticator | None = None,
        now: Callable[[], int] = unix_ms,
    ) -> None:
        self._workers: Final = workers
        self._monotonic: Final = monotonic
        self._judge: Final = judge
        self._now: Final = now
        self._callers: tuple[Caller, ...] = ()
        self._by_digest: dict[bytes, Caller] = {}
        self._quotas: Final[dict[str, CallerQuota]] = {}
        self._guests: Final[OrderedDict[tuple[object, ...], CallerQuota]] = OrderedDict()
        self.generation = 0
        self.replace_all(callers)

    def __len__(self) -> int:
        return len(self._callers)

    def replace_all(self, callers: Iterable[Caller]) -> bool:
        """Replace the callers. Return whether they differ.

        A caller that stays keeps its used rate, and its requests under way.
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
        """Return the caller of a valid key, or of a token that was accepted before; None for anything else.

        The look-up is by digest, so that its time reveals nothing about a credential.
        """
        if not presented or len(presented) > MAX_CREDENTIAL_CHARACTERS:
            return None
        digest = _digest(presented)
        caller = self._by_digest.get(digest)
        if caller is not None:
            return caller if caller.validity.has(self._now()) else None
        return None if self._judge is None else self._judge.find_known(digest)

    def find_invalid(self, presented: str) -> Caller | None:
        """Return the caller of a key that is known but not valid now, for the operator only."""
        caller = self._by_digest.get(_digest(presented))
        return None if caller is None or caller.validity.has(self._now()) else caller

    def seconds_left(self) -> dict[str, float]:
        """Return the seconds until the keys of each caller end, 0 after that, by name; only of callers whose keys end."""
        left = ((caller.name, caller.validity.seconds_left(self._now())) for caller in self._callers)
        return {name: seconds for name, seconds in left if seconds is not None}

    async def identify(self, presented: str | None) -> Caller:
        """Return the caller of a credential. Raises `Unauthenticated`, or `IssuerUnavailable` if it is unverifiable."""
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
        """Count a request of a caller. Raises `TooFast` above its rate."""
        self.quota_of(caller).count_request(self._monotonic())

    def acquire_slot(self, caller: Caller) -> Callable[[], None]:
        """Acquire a slot for a request of a caller. Return what releases it. Raises `TooFast`."""
        return self.quota_of(caller).acquire_slot()

    def acquire_stream(self, caller: Caller, retry_after_seconds: float) -> Callable[[], None]:
        """Acquire a place for a stream of a caller. Return what releases it. Raises `TooManyStreams`."""
        return self.quota_of(caller).acquire_stream(caller.streams, retry_after_seconds)

    def limits(self, caller: Caller) -> Headers:
        """Return the rate headers of a caller; none if it has no rate."""
        return self.quota_of(caller).limits(self._monotonic())

    def quota_of(self, caller: Caller) -> CallerQuota:
        """Return the quota of a caller in this process."""
        if caller.has_token:
            return self._quota_of_token(caller)
        quota = self._quotas.get(caller.name)
        if quota is None:
            quota = self._quotas[caller.name] = CallerQuota(self._workers)
            quota.configure(caller.rate, caller.concurrency)
        return quota

    def _quota_of_token(self, caller: Caller) -> CallerQuota:
        """Return the quota of a token's subject. Only the latest of any number of subjects are kept.

        A subject has one quota for each rate of its tokens, so that one token does not restore what another used.
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
    """Allow a caller to read a merchant or the portfolio, or raise `Forbidden`: the same whether it exists or not."""
    if not caller.may_read(key):
        raise Forbidden("You may not read this.")


def hash_key(key: str) -> str:
    """Return the SHA-256 of a key in hex, as in the clients file. Keys are random, so no salt is needed."""
    return _digest(key).hex()


def _digest(credential: str) -> bytes:
    return hashlib.sha256(credential.encode("utf-8", "surrogatepass")).digest()


def make_key() -> str:
    """Make a new key: a prefix that secret scanners recognise, then 256 random bits."""
    return KEY_PREFIX + secrets.token_urlsafe(32)
