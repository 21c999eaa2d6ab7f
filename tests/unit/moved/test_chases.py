"""A chase looks for what moved, in at most five calls an account, and survives whoever chases."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from fakeredis import FakeServer

from app.balances.snapshots import AGGREGATE
from app.moved.chases import Chases
from app.moved.notices import Notices
from tests.support.replica import KEY, Replica, directives
from tests.support.virtual_time import virtual_runtime
from tests.unit.moved.conftest import Bank, amount


def chases_of(replica: Replica) -> Chases:
    return Chases(replica.parts, replica.shared, virtual_runtime())


def notices_of(replica: Replica) -> Notices:
    return Notices(replica.fleet.moves, chases_of(replica))


@asynccontextmanager
async def chasing(replica: Replica) -> AsyncIterator[Notices]:
    """Run the notices of a replica as the service does, with the task that renews its leases."""
    chases = chases_of(replica)
    renewing = asyncio.create_task(chases.renew_leases())
    yield Notices(replica.fleet.moves, chases)
    renewing.cancel()
    await chases.close()


async def test_a_chase_ends_with_the_look_that_differs(replicas: list[Replica], bank: Bank) -> None:
    one, _ = replicas
    await one.cache.read(KEY, directives())
    await one.settle()
    await notices_of(one).take([KEY])
    await asyncio.sleep(3)
    bank.amount = "2"
    await asyncio.sleep(100)
    assert [second for key, second in zip(bank.asked, bank.arrivals, strict=True) if key == KEY][1:] == pytest.approx(
        [0.11, 2.11, 5.11], abs=0.05
    )


async def test_moves_cost_five_calls_an_account_wherever_they_are_reported(replicas: list[Replica], bank: Bank) -> None:
    desks = [notices_of(replica) for replica in replicas]
    await asyncio.gather(*(desk.take([KEY]) for desk in desks))
    await asyncio.sleep(200)
    assert bank.asked.count(KEY) == bank.asked.count(AGGREGATE) == 5


async def test_a_move_during_a_chase_elsewhere_is_chased_after_it(replicas: list[Replica], bank: Bank) -> None:
    one, two = replicas
    await one.cache.read(KEY, directives())
    await notices_of(one).take([KEY])
    await asyncio.sleep(3)
    bank.amount = "2"
    await notices_of(two).take([KEY])
    await asyncio.sleep(3)  # the chase of before has found that
    calls = bank.asked.count(KEY)
    await asyncio.sleep(100)
    assert calls < bank.asked.count(KEY) <= 10


async def test_a_move_is_chased_without_redis(replicas: list[Replica], bank: Bank, server: FakeServer) -> None:
    one, _ = replicas
    await one.cache.read(KEY, directives())
    server.connected = False
    await notices_of(one).take([KEY])
    bank.amount = "2"
    assert one.cache.read_now(KEY, directives()) is None
    await asyncio.sleep(10)
    assert amount(await one.cache.read(KEY, directives())) == "2"
    server.connected = True


async def test_a_chase_keeps_its_lease_however_long_it_takes(replicas: list[Replica], bank: Bank) -> None:
    one, two = replicas
    async with chasing(one) as first, chasing(two) as second:
        await first.take([KEY])
        for _ in range(3):
            await asyncio.sleep(17)  # between looks: the mark is still there when the lease would have ended
            await second.take([KEY])
        await asyncio.sleep(10)
        assert bank.asked.count(KEY) == 5


async def test_a_move_during_the_chase_of_a_replica_that_died_is_chased_once_its_lease_has_ended(
    replicas: list[Replica], bank: Bank
) -> None:
    one, _ = replicas
    await one.cache.read(KEY, directives())
    await one.redis_client.client.set(f"t:{{{KEY}}}:chase", "the dead", px=15_000)
    async with chasing(one) as notices:
        await notices.take([KEY])
        await asyncio.sleep(14)
        assert bank.asked.count(KEY) == 1
        bank.amount = "2"
        await asyncio.sleep(2)
        assert bank.asked.count(KEY) == 2
        assert amount(await one.cache.read(KEY, directives())) == "2"


async def test_what_the_chaser_has_found_is_not_chased_by_others_later(replicas: list[Replica], bank: Bank) -> None:
    one, two = replicas
    async with chasing(one) as first, chasing(two) as second:
        await one.cache.read(KEY, directives())
        await first.take([KEY])
        await asyncio.sleep(3)
        await second.take([KEY])
        bank.amount = "2"
        await asyncio.sleep(5)  # that is found, and what may follow is being looked for
        bank.amount = "3"
        await asyncio.sleep(3)
        calls = bank.asked.count(KEY)
        await asyncio.sleep(30)
        assert bank.asked.count(KEY) == calls
