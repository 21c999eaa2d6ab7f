"""Refreshes that follow one another closely start together, and none is late by more than promised."""

import asyncio
from contextvars import ContextVar, copy_context

import pytest

from app.balances.snapshots import AccountId
from app.cache.freshness import RequestDirectives
from app.cache.refreshes import GROUP, Refreshes
from tests.support.virtual_time import monotonic

DIRECTIVES = RequestDirectives(0)


class Started:
    """Notes which refreshes started, and when (seconds)."""

    def __init__(self, fresh_ms: int = 5000) -> None:
        self.at: list[tuple[str, float]] = []
        self.refreshes = Refreshes(lambda account_id, _: self.at.append((account_id, monotonic())), fresh_ms)

    def add(self, *account_ids: str) -> None:
        for account_id in account_ids:
            self.refreshes.add(AccountId(account_id), DIRECTIVES)


async def test_one_that_comes_alone_starts_immediately() -> None:
    started = Started()
    started.add("1")
    await asyncio.sleep(1)
    started.add("2")
    assert started.at == [("1", 0), ("2", 1)]


async def test_those_that_follow_start_together_within_50_ms() -> None:
    started = Started()
    started.add("1")
    await asyncio.sleep(0.01)
    started.add("2")
    await asyncio.sleep(0.02)
    started.add("3", "2")
    await asyncio.sleep(1)
    assert started.at == [("1", 0), ("2", pytest.approx(0.05)), ("3", pytest.approx(0.05))]


async def test_a_group_that_is_full_starts_immediately_and_the_next_one_gathers() -> None:
    started = Started()
    started.add(*map(str, range(1 + GROUP + 1)))
    assert [account_id for account_id, _ in started.at] == [str(number) for number in range(1 + GROUP)]
    await asyncio.sleep(0.06)
    last, moment = started.at[-1]
    assert last == str(GROUP + 1)
    assert moment == pytest.approx(0.05)


async def test_a_steady_stream_starts_in_groups_only() -> None:
    started = Started()
    for number in range(400):
        started.add(str(number))
        await asyncio.sleep(0.01)
    await asyncio.sleep(1)
    starts = [moment for _, moment in started.at]
    assert len(starts) == 400
    assert len(set(starts)) == pytest.approx(400 / GROUP, abs=2)


@pytest.mark.parametrize(("fresh_ms", "seconds"), [(1000, 0.01), (100, 0.001), (0, 0), (600_000, 0.05)])
async def test_a_refresh_is_late_by_a_hundredth_of_the_lifetime_at_most(fresh_ms: int, seconds: float) -> None:
    started = Started(fresh_ms)
    started.add("1", "2")
    await asyncio.sleep(1)
    assert started.at == [("1", 0), ("2", pytest.approx(seconds))]


async def test_none_starts_after_the_end() -> None:
    started = Started()
    started.add("1", "2")
    started.refreshes.close()
    started.add("3", "4", "5", "6", "7")
    await asyncio.sleep(1)
    assert started.at == [("1", 0)]


async def test_each_starts_in_the_context_of_its_own_reader() -> None:
    reader, seen = ContextVar("reader", default=""), list[tuple[str, str]]()
    refreshes = Refreshes(lambda account_id, _: seen.append((account_id, reader.get())), 5000)
    for number in range(9):
        context = copy_context()
        context.run(reader.set, f"reader {number}")
        context.run(refreshes.add, AccountId(str(number)), DIRECTIVES)
        await asyncio.sleep(0.02)
    await asyncio.sleep(1)
    assert seen == [(str(number), f"reader {number}") for number in range(9)]
