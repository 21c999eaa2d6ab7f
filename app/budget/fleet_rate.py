"""Fleet-wide rate limiter (GCRA) in Redis, and this replica's share of the rate while Redis is away."""

from collections.abc import Callable
from typing import Final

from app.redis import lua_budget
from app.redis.client import RedisFailure
from app.redis.commands import is_one_server
from app.redis.results import read_flag, read_permits
from app.redis.scripts import ExtraArguments, make_single, run_single
from app.redis.shared import Shared
from app.resilience.rate_limiter import RateLimiter

_HEADROOM: Final = 0.5

_CENSUS_SECONDS: Final = 0.5
"""Each replica counts those that ask so often, and by that is counted by them for a second."""


class FleetRateLimiter:
    """Take permits at `per_second`, up to `burst` together after a rest. `monotonic` returns seconds.

    `active_replicas` asked within about the last second. Without Redis, each of the `replicas` counted last takes its share.
    """

    def __init__(
        self,
        shared: Shared,
        *,
        per_second: float,
        burst: float,
        monotonic: Callable[[], float],
        replicas: Callable[[], int],
    ) -> None:
        self._redis_client: Final = shared.client
        self._keys: Final = [f"{shared.key_prefix}:{{budget}}", f"{shared.key_prefix}:{{budget}}:asking"]
        self._is_one_server: Final = is_one_server(shared.client.client)
        self._replica_id: Final = shared.replica_id
        self._burst: Final = max(burst, 1)
        self._monotonic: Final = monotonic
        self._replicas: Final = replicas
        self._take_script: Final = make_single(lua_budget.TAKE_PERMITS)
        self._pause_script: Final = make_single(lua_budget.PAUSE)
        self._local: Final = RateLimiter(per_second, burst)
        interval = 1_000_000 / per_second
        self._rate: Final = interval, (self._burst - 1) * interval
        self._rate_with_headroom: Final = interval, (self._burst - 1) * interval * _HEADROOM
        self._next_at = self._paused_until = self._next_census_at = float("-inf")
        self.active_replicas = 1

    async def take(self, wanted: int, *, leave_headroom: bool) -> tuple[int, float]:
        """Take up to `wanted` permits. Return how many, and the seconds until there are more.

        With `leave_headroom`, half of the burst is left to more urgent requests.
        """
        if (left := self._paused_until - self._monotonic()) > 0:
            return 0, self._record_wait(left)
        interval, tolerance, census = self._rate_arguments(leave_headroom=leave_headroom)
        arguments = [self._replica_id, interval, tolerance, wanted, census]
        found = await self._redis_client.execute(
            lambda: run_single(self._redis_client.client, self._take_script, self._keys, arguments),
            lambda result: read_permits(result, wanted),
            writes=True,
        )
        if isinstance(found, RedisFailure):
            return self._take_local(wanted)
        return self.record(*found)

    def script_arguments(self, *, leave_headroom: bool) -> ExtraArguments | None:
        """Return the arguments by which a script also takes a permit. None during a pause, and in a cluster."""
        if self._paused_until > self._monotonic() or not self._is_one_server:
            return None
        return ExtraArguments(self._keys, self._rate_arguments(leave_headroom=leave_headroom))

    def record(self, granted: int, wait_us: int, active_replicas: int) -> tuple[int, float]:
        """Record the result of `TAKE_PERMITS`. Return how many permits are ours, and the seconds until more.

        Without a census, `active_replicas` is 0, and those counted last remain.
        """
        if active_replicas:
            self.active_replicas = active_replicas
            self._next_census_at = self._monotonic() + _CENSUS_SECONDS
        if granted:
            self._local.spend(self._monotonic(), granted)
        return granted, self._record_wait(wait_us / 1_000_000)

    async def pause(self, seconds: float) -> None:
        """Grant no permit in the fleet for so many seconds, and fewer for a while after."""
        self._paused_until = max(self._paused_until, self._monotonic() + seconds)
        self._local.pause_until(self._monotonic() + seconds)
        arguments = [round(seconds * 1_000_000)]
        await self._redis_client.execute(
            lambda: run_single(self._redis_client.client, self._pause_script, self._keys[:1], arguments),
            read_flag,
            writes=True,
        )

    @property
    def is_shared(self) -> bool:
        """Whether the whole fleet shares one rate now; without Redis each replica keeps to its share."""
        return self._redis_client.available

    def available_now(self) -> int:
        """Estimate how many permits need no wait."""
        return 0 if self.wait_seconds() else int(self._burst)

    def pause_seconds(self) -> float:
        """Return the seconds until the pause ends."""
        return max(0.0, self._paused_until - self._monotonic())

    def wait_seconds(self) -> float:
        """Return the seconds until the next permit, by the last answer."""
        return max(0.0, max(self._next_at, self._paused_until) - self._monotonic())

    def _rate_arguments(self, *, leave_headroom: bool) -> tuple[float, float, int]:
        """Return the interval between permits and the burst's tolerance, in microseconds, and whether a census is due."""
        interval, tolerance = self._rate_with_headroom if leave_headroom else self._rate
        return interval, tolerance, int(self._monotonic() >= self._next_census_at)

    def _take_local(self, wanted: int) -> tuple[int, float]:
        self.active_replicas = max(1, self._replicas())
        self._next_census_at = float("-inf")
        granted = 0
        wait = 0.0
        while granted < wanted and not (wait := self._local.acquire(self._monotonic(), share=1 / self.active_replicas)):
            granted += 1
        return granted, self._record_wait(wait)

    def _record_wait(self, seconds: float) -> float:
        self._next_at = self._monotonic() + seconds
        return seconds
