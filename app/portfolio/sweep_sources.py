"""Sources of a sweep: who the merchants are, what is known of them, and where they are loaded, unless the upstream is away."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from msgspec import Struct

from app.balances.snapshots import AccountId, Entry
from app.cache.cache import Cache
from app.portfolio.directory import MerchantDirectory

LookUp = Callable[[Sequence[AccountId]], Awaitable[Mapping[AccountId, Entry]]]
"""Looks accounts up in Redis, for memory."""


class SweepSources(Struct, frozen=True):
    """What a sweep reads and where it loads: the directory, the look-up in Redis, memory's entries, and the cache.

    `pause_seconds` returns for how long the circuit breaker admits no call, 0 if it admits one.
    """

    directory: MerchantDirectory
    look_up: LookUp
    peek: Callable[[AccountId], Entry | None]
    cache: Cache
    pause_seconds: Callable[[], float]
