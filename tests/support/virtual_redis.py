"""fakeredis on the virtual clock, so that what expires and is budgeted there does so in virtual time."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import fakeredis._helpers
import fakeredis._socket._base
import fakeredis.commands_mixins.server_mixin
import fakeredis.model._stream
from fakeredis import FakeAsyncRedis

from tests.support.virtual_time import unix_ms

# fakeredis takes no clock: these are its modules that ask for the time.
_MODULES = (
    fakeredis._helpers,
    fakeredis._socket._base,
    fakeredis.commands_mixins.server_mixin,
    fakeredis.model._stream,
)


class RedisClock:
    """The clock of fakeredis. It is `ahead_seconds` of ours, negative where it was set back."""

    ahead_seconds = 0.0

    def time(self) -> float:
        return unix_ms() / 1000 + self.ahead_seconds


@contextmanager
def virtual_redis_time() -> Iterator[RedisClock]:
    """Let fakeredis live in the virtual time of the running loop, by a clock that may be set."""
    originals = [module.__dict__["time"] for module in _MODULES]
    redis_clock = RedisClock()
    clock = SimpleNamespace(time=redis_clock.time, sleep=None)
    try:
        for module in _MODULES:
            module.__dict__["time"] = clock
        yield redis_clock
    finally:
        for module, original in zip(_MODULES, originals, strict=True):
            module.__dict__["time"] = original


async def read_all(redis: FakeAsyncRedis) -> dict[str, tuple[Any, int]]:
    """Read everything in a Redis: by key, the value and the milliseconds for which it is kept yet."""
    names: list[Any] = await redis.keys("*")
    return {name.decode(): (await _read(redis, name), await redis.pttl(name)) for name in names}


async def _read(redis: FakeAsyncRedis, name: bytes) -> Any:
    match await redis.type(name):
        case b"hash":
            return await redis.hgetall(name)
        case b"zset":
            return await redis.zrange(name, 0, -1, withscores=True)
        case _:
            return await redis.get(name)
