"""What is from before a move is served by no replica, whatever lies between: clocks, calls under way, Redis away."""

import asyncio

import pytest
from fakeredis import FakeServer
from msgspec.structs import replace

from app.balances.snapshots import Entry
from app.cache.served import Source
from app.errors import UpstreamTimeout
from tests.support.replica import KEY, Replica, directives
from tests.unit.moved.conftest import Bank, amount


async def test_what_is_from_before_a_move_is_fetched_by_every_replica(replicas: list[Replica], bank: Bank) -> None:
    one, two = replicas
    await one.cache.read(KEY, directives())
    known = (await two.cache.read(KEY, directives())).entry
    await one.fleet.moves.mark(KEY)
    bank.amount = "2"
    await asyncio.sleep(0.01)
    for replica in replicas:
        assert replica.cache.read_now(KEY, directives()) is None
        assert not replica.cache.is_current(known)
    assert [amount(await one.cache.read(KEY, directives())) for one in replicas] == ["2", "2"]
    assert bank.calls == 2


async def test_a_replica_that_missed_the_message_hears_of_the_move_from_redis(
    replicas: list[Replica], bank: Bank
) -> None:
    one, two = replicas
    await one.cache.read(KEY, directives())
    await two.cache.read(KEY, directives())
    kept = two.memory.peek(KEY)
    await one.fleet.moves.mark(KEY)
    await asyncio.sleep(0.01)
    two.memory.forget(KEY)
    assert kept is not None
    two.memory.put(kept)  # as if it had not heard
    two.memory.distrust()
    bank.amount = "2"
    assert amount(await two.cache.read(KEY, directives())) == "2"
    assert bank.calls == 2


async def test_a_failed_look_is_covered_and_says_so(replicas: list[Replica], bank: Bank) -> None:
    one, _ = replicas
    await one.cache.read(KEY, directives())
    await one.fleet.moves.mark(KEY)
    bank.error = UpstreamTimeout("late")
    served = await one.cache.read(KEY, directives())
    assert isinstance(served.covered_error, UpstreamTimeout)


@pytest.mark.parametrize("ahead_ms", [-900, 900])
async def test_clocks_that_differ_keep_no_old_balances_fresh(
    replicas: list[Replica], bank: Bank, ahead_ms: int
) -> None:
    one, two = replicas
    two.ahead_ms = ahead_ms
    await two.cache.read(KEY, directives())
    await one.cache.read(KEY, directives())
    await one.fleet.moves.mark(KEY)
    bank.amount = "2"
    await asyncio.sleep(0.01)
    assert [amount(await one.cache.read(KEY, directives())) for one in (two, one)] == ["2", "2"]
    assert bank.calls == 2


async def test_an_answer_that_was_under_way_counts_as_from_before_the_move(replicas: list[Replica], bank: Bank) -> None:
    one, two = replicas
    reading = asyncio.create_task(one.cache.read(KEY, directives()))
    await asyncio.sleep(0.05)
    await two.fleet.moves.mark(KEY)
    assert amount(await reading) == "1"  # it began before the move: any answer is right
    bank.amount = "2"
    assert [amount(await one.cache.read(KEY, directives())) for one in replicas] == ["2", "2"]
    assert bank.calls == 2


async def test_an_account_that_moves_all_the_time_still_has_answers(replicas: list[Replica], bank: Bank) -> None:
    one, two = replicas

    async def move() -> None:
        while True:
            await two.fleet.moves.mark(KEY)
            await asyncio.sleep(0.02)

    moving = asyncio.create_task(move())
    for _ in range(3):
        served = await one.cache.read(KEY, directives())
        assert served.source is Source.FETCHED
    moving.cancel()
    assert bank.calls == 3


async def test_a_mark_changes_nothing_in_the_history(replicas: list[Replica], bank: Bank) -> None:
    one, two = replicas
    await one.cache.read(KEY, directives())
    reading = asyncio.create_task(one.cache.read(KEY, directives(no_cache=True)))
    await asyncio.sleep(0.05)
    await two.fleet.moves.mark(KEY)
    await reading
    await one.cache.read(KEY, directives())
    await one.settle()
    entry = one.memory.peek(KEY)
    assert entry is not None
    assert entry.sequence == 0


async def test_an_answer_that_is_being_stored_counts_as_from_before_the_move(
    replicas: list[Replica], bank: Bank
) -> None:
    one, two = replicas
    await one.cache.read(KEY, directives())
    await two.cache.read(KEY, directives())
    known = one.memory.peek(KEY)
    assert known is not None
    answer = one.memory.put(replace(known, as_of=known.as_of + 5))

    async def store_slowly(entry: Entry) -> None:
        await asyncio.sleep(0.01)
        await one.tier.store_and_release(entry)

    one.fleet.moves.begin_store(KEY)
    storing = asyncio.create_task(one.fleet.moves.store(answer, store_slowly))
    await asyncio.sleep(0.005)
    await two.fleet.moves.mark(KEY)
    bank.amount = "2"
    await storing
    await asyncio.sleep(0.01)
    assert [amount(await one.cache.read(KEY, directives())) for one in (two, one)] == ["2", "2"]


async def test_without_redis_a_clock_that_is_behind_keeps_nothing_fresh(
    replicas: list[Replica], bank: Bank, server: FakeServer
) -> None:
    one, two = replicas
    two.ahead_ms = 900
    await two.cache.read(KEY, directives())
    await asyncio.sleep(0.01)
    server.connected = False
    await one.fleet.moves.mark(KEY)
    bank.amount = "2"
    assert amount(await one.cache.read(KEY, directives())) == "2"
    server.connected = True


async def test_a_move_without_redis_is_marked_there_as_soon_as_it_is_back(
    replicas: list[Replica], bank: Bank, server: FakeServer
) -> None:
    one, two = replicas
    await one.cache.read(KEY, directives())
    await one.settle()
    sharing = asyncio.create_task(one.fleet.moves.keep_sharing())
    server.connected = False
    await one.fleet.moves.mark(KEY)
    await asyncio.sleep(2)
    bank.amount = "2"
    assert two.cache.read_now(KEY, directives()) is not None
    server.connected = True
    await asyncio.sleep(4)
    assert two.cache.read_now(KEY, directives()) is None
    assert amount(await two.cache.read(KEY, directives())) == "2"
    calls = bank.calls
    await asyncio.sleep(3)
    assert two.cache.read_now(KEY, directives()) is not None  # it is marked once
    assert bank.calls == calls
    sharing.cancel()
