"""Marks in Redis: what the script writes into an entry, and how the other scripts know a marked one."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from app.balances.snapshots import Snapshot
from app.cache.redis_tier import Found, LeaseAcquired
from app.fleet.bus import Move
from app.redis.client import RedisFailure
from tests.support.replica import KEY, Replica, directives
from tests.support.virtual_time import unix_ms
from tests.unit.moved.conftest import Bank

NAME = f"t:{{{KEY}}}"


async def known(replica: Replica) -> Snapshot:
    entry = (await replica.cache.read(KEY, directives())).entry
    assert isinstance(entry, Snapshot)
    await replica.settle()
    return entry


async def raw(replica: Replica) -> Any:
    return await replica.redis_client.client.get(NAME)


async def test_an_entry_is_marked_once_and_keeps_its_time_to_live(replicas: list[Replica], bank: Bank) -> None:
    one, _ = replicas
    await known(one)
    await one.fleet.moves.mark(KEY)
    first = await raw(one)
    await asyncio.sleep(100)
    await one.fleet.moves.mark(KEY)
    assert await raw(one) == first
    assert first.count(b"movedAt") == 1
    assert 500 <= await one.redis_client.client.ttl(NAME) <= 600


async def test_a_mark_is_no_earlier_than_the_entry(replicas: list[Replica], bank: Bank) -> None:
    one, _ = replicas
    entry = await known(one)
    at = await one.tier.mark_moved(Move(KEY, entry.as_of - 900), latest_as_of=unix_ms() + 1000)
    assert at == entry.as_of
    assert b'"movedAt":%d}' % entry.as_of in await raw(one)


async def test_an_entry_from_the_future_is_left_alone(replicas: list[Replica], bank: Bank) -> None:
    one, _ = replicas
    entry = await known(one)
    before = await raw(one)
    assert await one.tier.mark_moved(Move(KEY, 5), latest_as_of=entry.as_of - 1) == 5
    assert await raw(one) == before


@pytest.mark.parametrize("value", [b"", b"no entry", b"}", b'{"type":"snapshot"}'])
async def test_what_is_no_entry_is_left_alone(replicas: list[Replica], bank: Bank, value: bytes) -> None:
    one, _ = replicas
    await one.redis_client.client.set(NAME, value, px=1000)
    assert await one.tier.mark_moved(Move(KEY, 5), latest_as_of=9) == 5
    assert await raw(one) == value


async def test_an_entry_that_another_program_keeps_for_ever_ends_no_mark(replicas: list[Replica], bank: Bank) -> None:
    one, _ = replicas
    await known(one)
    await one.redis_client.client.persist(NAME)
    assert not isinstance(await one.tier.mark_moved(Move(KEY, unix_ms()), latest_as_of=unix_ms()), RedisFailure)


@pytest.mark.parametrize("name", ["movedAt", ',"movedAt":1'])
async def test_a_text_that_looks_like_a_mark_is_none(replicas: list[Replica], bank: Bank, name: str) -> None:
    one, _ = replicas
    entry = await known(one)
    rows = tuple(replace(row, asset_name=name) for row in entry.balances)
    await one.tier.store_and_release(replace(entry, as_of=entry.as_of + 1, balances=rows))
    assert isinstance(await one.tier.read_or_lease(KEY, entry.as_of), Found)
    await one.fleet.moves.mark(KEY)
    assert isinstance(await one.tier.read_or_lease(KEY, entry.as_of), LeaseAcquired)


async def test_a_marked_entry_is_told_to_a_replica_that_knows_it_unmarked(replicas: list[Replica], bank: Bank) -> None:
    one, _ = replicas
    entry = await known(one)
    await one.fleet.moves.mark(KEY)
    found = await one.tier.read_or_lease(KEY, entry.as_of, entry.as_of)
    assert isinstance(found, LeaseAcquired)
    assert found.entry is not None
    assert found.entry.is_moved
