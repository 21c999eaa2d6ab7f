import asyncio
from collections.abc import Iterable
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from app.balances.amounts import Amount
from app.balances.snapshots import AGGREGATE, Absence, AccountId, Snapshot
from app.balances.totals import Totals
from app.cache.memory import MemoryTier, size_bytes
from app.portfolio.running_totals import RunningTotals
from tests.support.amounts import draw_snapshot, make_row, make_snapshot


def one(key: str, amount: str = "1", as_of: int = 1) -> Snapshot:
    return make_snapshot(key, [make_row("BTC", Amount(amount))], as_of)


def by_key(snapshots: Iterable[Snapshot]) -> dict[AccountId, Snapshot]:
    return {snapshot.account_id: snapshot for snapshot in snapshots}


def in_memory(running_totals: RunningTotals) -> Totals:
    """The running totals as kept, without recounting."""
    running_totals._catch_up()
    return running_totals._totals


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_the_running_totals_are_the_sum_of_what_memory_holds_whatever_came_and_was_dropped(seed: int) -> None:
    random = Random(seed)
    running_totals = RunningTotals()
    memory = MemoryTier(20, 30 * size_bytes(one("1")), running_totals)
    for as_of in range(300):
        key = str(random.randrange(40))
        gone = random.random() < 0.1
        memory.put(Absence(AccountId(key), as_of) if gone else draw_snapshot(random, key, as_of - random.randrange(3)))
    held = (memory.peek(AccountId(str(number))) for number in range(1, 40))
    assert in_memory(running_totals) == Totals(entry for entry in held if isinstance(entry, Snapshot))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_any_parts_are_added_up_exactly_whether_memory_holds_them_or_others(seed: int) -> None:
    random = Random(seed)
    running_totals = RunningTotals()
    held = [draw_snapshot(random, str(number)) for number in range(40)]
    for snapshot in held:
        running_totals.on_put(snapshot)
    parts = by_key(random.sample(held, random.randrange(41)))
    for _ in range(random.randrange(10)):
        number = str(random.randrange(60))
        parts[AccountId(number)] = draw_snapshot(random, number)
    assert running_totals.total_of(parts) == Totals(parts.values()).list()


def test_adding_up_what_memory_holds_adds_nothing_up() -> None:
    running_totals = RunningTotals()
    held = [one(str(number)) for number in range(1, 1001)]
    for snapshot in held:
        running_totals.on_put(snapshot)
    added: list[Snapshot] = []

    class Counting(Totals):
        def add(self, snapshot: Snapshot) -> None:
            added.append(snapshot)
            super().add(snapshot)

    in_memory(running_totals)
    running_totals._totals = Counting(held)
    added.clear()
    assert running_totals.total_of(by_key(held))[0].total == "1000"
    assert added == []
    moved = one("7", "2.5")
    assert running_totals.total_of(by_key([*held, moved]))[0].total == "1001.5"
    assert added == [moved]


def test_what_changed_twice_before_somebody_asks_is_counted_once() -> None:
    running_totals = RunningTotals()
    counted: list[Snapshot] = []

    class Counting(Totals):
        def add(self, snapshot: Snapshot) -> None:
            counted.append(snapshot)
            super().add(snapshot)

    running_totals._totals = Counting()
    first, second = one("7", "1"), one("7", "2", as_of=2)
    running_totals.on_put(first)
    running_totals.on_put(second)
    assert counted == []
    assert running_totals.total_of({second.account_id: second})[0].total == "2"
    assert counted == [second]


def test_the_aggregate_is_no_part_of_the_sum() -> None:
    running_totals = RunningTotals()
    running_totals.on_put(one("1"))
    running_totals.on_put(one(AGGREGATE, "99"))
    assert [total.total for total in in_memory(running_totals).list()] == ["1"]


async def test_a_recount_that_finds_no_difference_says_nothing() -> None:
    running_totals = RunningTotals()
    for number in range(1, 2_001):
        running_totals.on_put(one(str(number)))
    with capture_logs() as logs:
        recounting = asyncio.create_task(running_totals.recount())
        for number in range(1, 2_001):
            running_totals.on_put(one(str(number), "3"))
            if number % 3 == 0:
                running_totals.on_drop(AccountId(str(number)))
            if number % 100 == 0:
                await asyncio.sleep(0)
        await recounting
    assert logs == []
    assert in_memory(running_totals).list()[0].total == str(3 * (2_000 - 666))


async def test_a_drifted_sum_is_logged_as_the_fault_that_it_is_and_corrected() -> None:
    running_totals = RunningTotals()
    running_totals.on_put(one("1"))
    running_totals._totals.add(one("2", "0.000000000000000001"))
    with capture_logs() as logs:
        await running_totals.recount()
        await running_totals.recount()
    assert [line["event"] for line in logs] == ["totals.drifted"]
    assert in_memory(running_totals).list()[0].total == "1"


async def test_it_is_recounted_in_the_background() -> None:
    running_totals = RunningTotals()
    running_totals._totals.add(one("2"))
    work = asyncio.create_task(running_totals.keep_recounting())
    with capture_logs() as logs:
        await asyncio.sleep(301)
    work.cancel()
    assert [line["event"] for line in logs] == ["totals.drifted"]
