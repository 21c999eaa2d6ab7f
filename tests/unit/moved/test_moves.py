"""What is from before a move is served by no replica, and a chase looks for what moved, in at most five calls."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from fakeredis import FakeServer
from msgspec.structs import replace

from app.balances.amounts import Amount
from app.balances.snapshots import AGGREGATE, AccountId, Entry, Snapshot
from app.cache.served import Served, Source
from app.errors import UpstreamTimeout
from app.history.recording import HistoryOptions
from app.moved.chases import Chases
from app.moved.notices import Notices
from tests.support.replica import KEY, Replica, Upstream, directives, run_replicas
from tests.support.virtual_time import virtual_runtime


class Bank(Upstream):
    """An upstream whose balances change when a test says so, not with each call."""

    def __init__(self) -> None:
        super().__init__()
        self.amount = "1"

    async def load(self, key: AccountId) -> Entry:
        entry = await super().load(key)
        assert isinstance(entry, Snapshot)
        amount = Amount(self.amount)
        return replace(entry, balances=tuple(replace(row, total=amount, free=amount) for row in entry.balances))


@pytest.fixture
def bank() -> Bank:
    return Bank()


@pytest.fixture
async def replicas(bank: Bank, server: FakeServer) -> AsyncIterator[list[Replica]]:
    options = HistoryOptions(keep_ms=10**9, max_bytes=10**6)
    async with run_replicas(bank, server, 2, history=options) as running:
        yield running


def chases_of(replica: Replica) -> Chases:
    return Chases(replica.parts, replica.shared, virtual_runtime())


def notices_of(replica: Replica) -> Notices:
    return Notices(replica.fleet.moves, chases_of(replica))


def amount(served: Served) -> str:
    assert isinstance(served.entry, Snapshot)
    return served.entry.balances[0].total


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
    entry = one.memory.peek(KEY)
    assert entry is not None
    assert entry.sequence == 0


async def test_a_chase_ends_with_the_look_that_differs(replicas: list[Replica], bank: Bank) -> None:
    one, _ = replicas
    await one.cache.read(KEY, directives())
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
