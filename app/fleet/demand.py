"""Demand that all replicas share, and the lease by which one of them meets it."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from app.fleet.lease import LEASE_MS, RENEW_SECONDS
from app.redis import lua_shared
from app.redis.client import RedisFailure
from app.redis.results import WrongShape, read_flag
from app.redis.scripts import make_single, run_single
from app.redis.shared import Shared

ALWAYS: Final = float("inf")
_IDLE_SECONDS: Final = 1.0
_ALWAYS_MS: Final = 60_000
_LEASE_MARGIN_MS: Final = 500
_HAND_OVER_SECONDS: Final = 2 * _IDLE_SECONDS


class Demand:
    """Know whether there is demand, for `seconds` after any replica recorded it, and whether this replica is to meet it.

    `seconds` may be `ALWAYS`, or 0 for never. Without Redis, each replica has its own demand and meets it itself.
    A replica writes demand once a second at most. `monotonic` gives seconds.
    """

    def __init__(self, shared: Shared, seconds: float, monotonic: Callable[[], float]) -> None:
        self._redis_client: Final = shared.client
        self._keys: Final = [f"{shared.key_prefix}:{{demand}}{suffix}" for suffix in ("", ":lease", ":share")]
        self._replica_id: Final = shared.replica_id
        self._seconds: Final = seconds
        self._monotonic: Final = monotonic
        self._script: Final = make_single(lua_shared.RENEW_DEMAND)
        self._release_script: Final = make_single(lua_shared.RELEASE_LEASE)
        self._changed: Final = asyncio.Event()
        self._recorded_at = float("-inf")
        self._is_written = True
        self._until = ALWAYS if seconds == ALWAYS else float("-inf")
        self._lease_until = self._handed_over_until = float("-inf")
        self._share: float | None = None

    @property
    def is_possible(self) -> bool:
        """Whether there is ever any demand."""
        return self._seconds > 0

    @property
    def is_there(self) -> bool:
        """Whether there is demand, as far as this replica knows."""
        return self._monotonic() < self._until

    @property
    def is_ours(self) -> bool:
        """Whether this replica is to meet it: it has the lease, or is alone."""
        return self.is_there and self._monotonic() < self._lease_until

    @property
    def share(self) -> float | None:
        """The share of the rate that the leaseholder gets, as it last said; None if that is not known."""
        return self._share

    def record(self) -> None:
        """Record demand that comes now."""
        if self._seconds:
            now = self._monotonic()
            was_there = self.is_there
            self._recorded_at, self._until = now, max(self._until, now + self._seconds)
            self._is_written = False
            if not was_there:
                self._changed.set()

    async def keep_current(self, share: Callable[[], float | None]) -> None:
        """Exchange demand with the other replicas, and renew or try to take the lease, until cancelled.

        `share` gives the share of the rate that this replica gets while it meets the demand.
        """
        while self._seconds:
            self._changed.clear()
            await self._renew(share() if self.is_ours else None)
            await self._wait(RENEW_SECONDS if self.is_ours else _IDLE_SECONDS)
        await asyncio.Event().wait()

    async def release(self) -> None:
        """Give the lease back, so that another replica goes on now."""
        if self.is_ours:
            self._lease_until = float("-inf")
            await self._redis_client.execute(
                lambda: run_single(
                    self._redis_client.client, self._release_script, self._keys[1:2], [self._replica_id]
                ),
                read_flag,
            )

    def hand_over(self) -> None:
        """Leave the lease to the other replicas for two seconds. If none took it by then, it returns to this one."""
        self._handed_over_until, self._lease_until = self._monotonic() + _HAND_OVER_SECONDS, float("-inf")
        self._changed.set()

    async def _renew(self, share: float | None) -> None:
        sent_at = self._monotonic()
        lease_ms = 0 if sent_at < self._handed_over_until else LEASE_MS
        arguments = [self._replica_id, lease_ms, self._unwritten_ms(), "" if share is None else f"{share:.3f}"]
        found = await self._redis_client.execute(
            lambda: run_single(self._redis_client.client, self._script, self._keys, arguments), _read_demand
        )
        if isinstance(found, RedisFailure):
            self._go_on_alone()
            return
        left_ms, is_ours, said = found
        self._is_written = self._is_written or self._recorded_at <= sent_at
        self._until = ALWAYS if self._seconds == ALWAYS else sent_at + left_ms / 1000
        if not self._is_written:
            self._until = max(self._until, self._recorded_at + self._seconds)
        self._lease_until = sent_at + (LEASE_MS - _LEASE_MARGIN_MS) / 1000 if is_ours else float("-inf")
        self._share = said

    def _unwritten_ms(self) -> int:
        """Return for how long there is demand that Redis does not know of."""
        if self._seconds == ALWAYS:
            return _ALWAYS_MS
        left = self._recorded_at + self._seconds - self._monotonic()
        return 0 if self._is_written else round(max(left, 0) * 1000)  # nothing asked yet: minus infinity

    def _go_on_alone(self) -> None:
        """Meet our own demand where Redis is away. One failed command is no outage: the lease lasts as long as it did."""
        if self._redis_client.available:
            return
        self._is_written = False
        self._until = ALWAYS if self._seconds == ALWAYS else self._recorded_at + self._seconds
        self._lease_until = self._monotonic() + LEASE_MS / 1000
        self._share = None

    async def _wait(self, seconds: float) -> None:
        """Wait, but no longer than until demand begins here."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return


def _read_demand(result: Any) -> tuple[int, bool, float | None]:
    """Read the result of `RENEW_DEMAND`: the milliseconds of demand left, whose the lease is, the share of the rate."""
    if not isinstance(result, list) or [type(one) for one in result] != [int, int, bytes]:
        raise WrongShape
    left_ms, is_ours, said = result
    try:
        return left_ms, bool(is_ours), float(said) if said else None
    except ValueError:
        raise WrongShape from None
