import asyncio
from collections.abc import Iterator

import msgspec
import pytest
from fakeredis import FakeAsyncRedis, FakeServer

from app.fleet.view_versions import KEPT_SECONDS, Slice, ViewVersions
from app.redis.client import RedisFailure
from tests.support.replica import make_shared
from tests.support.virtual_redis import virtual_redis_time
from tests.support.virtual_time import monotonic

ITEMS = [b'{"number":%d}' % number for number in range(1234)]


@pytest.fixture(autouse=True)
async def _virtual() -> Iterator[None]:  # type: ignore[misc]
    with virtual_redis_time():
        yield


def make(server: FakeServer, *, capacity: int = 8, capacity_bytes: int = 10**7) -> ViewVersions:
    return ViewVersions(make_shared(server), capacity=capacity, capacity_bytes=capacity_bytes, monotonic=monotonic)


def numbers(found: Slice | RedisFailure | None) -> list[int]:
    assert isinstance(found, Slice)
    return [msgspec.json.decode(item)["number"] for item in found.items]


@pytest.mark.parametrize(
    ("start", "limit"), [(0, 10), (495, 10), (499, 1), (500, 1), (0, 1000), (700, 1000), (1233, 5)]
)
async def test_any_slice_is_found_here_and_at_another_replica(server: FakeServer, start: int, limit: int) -> None:
    here, elsewhere = make(server), make(server)
    await here.save("v", b'{"a":1}', ITEMS)
    for versions in (here, elsewhere):
        found = await versions.slice("v", start, limit)
        assert numbers(found) == list(range(1234))[start : start + limit]
        assert isinstance(found, Slice)
        assert (bytes(found.head), found.count) == (b'{"a":1}', 1234)


async def test_past_the_end_there_is_nothing(server: FakeServer) -> None:
    versions = make(server)
    await versions.save("v", b"1", ITEMS[:3])
    assert numbers(await versions.slice("v", 3, 5)) == []
    assert numbers(await versions.slice("v", 9999, 5)) == []


async def test_what_was_never_kept_is_not_found(server: FakeServer) -> None:
    assert await make(server).slice("v", 0, 5) is None


async def test_a_version_is_gone_after_its_time_everywhere(server: FakeServer) -> None:
    here, elsewhere = make(server), make(server)
    await here.save("v", b"1", ITEMS[:3])
    await asyncio.sleep(KEPT_SECONDS - 1)
    assert numbers(await here.slice("v", 0, 5)) == numbers(await elsewhere.slice("v", 0, 5)) == [0, 1, 2]
    await asyncio.sleep(2)
    assert await here.slice("v", 0, 5) is await elsewhere.slice("v", 0, 5) is None


async def test_the_oldest_go_first_here_and_in_redis(server: FakeServer) -> None:
    here, elsewhere = make(server, capacity=2), make(server)
    for version in "abc":
        await here.save(version, b"1", ITEMS[:3])
    for versions in (here, elsewhere):
        assert [await versions.slice(version, 0, 1) is not None for version in "abc"] == [False, True, True]
    assert len(await FakeAsyncRedis(server=server).keys("*")) == 2


async def test_bytes_are_bounded_too(server: FakeServer) -> None:
    versions = make(server, capacity_bytes=100)
    for version in "abc":
        await versions.save(version, b"1", ITEMS)
    assert [await versions.slice(version, 0, 1) is not None for version in "abc"] == [False, False, True]


async def test_while_redis_is_away_a_version_is_known_where_it_was_made(server: FakeServer) -> None:
    here, elsewhere = make(server), make(server)
    server.connected = False
    await here.save("v", b"1", ITEMS[:3])
    assert numbers(await here.slice("v", 0, 5)) == [0, 1, 2]
    assert await elsewhere.slice("v", 0, 5) is RedisFailure.UNAVAILABLE


async def test_a_version_written_in_part_is_not_there(server: FakeServer) -> None:
    await FakeAsyncRedis(server=server).hset("t:{version:v}", "0", b"x")
    assert await make(server).slice("v", 0, 5) is None
