"""Waiting for many flights at once: each until one satisfies, none longer than the deadline, and no flight ends by it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import pytest

from app.balances.snapshots import Absence, Key
from app.budget.budget import Errand, Priority
from app.cache.fleet_loader import Failed, Landed, Landing
from app.cache.freshness import Policy, Terms
from app.cache.load_waiter import Waiting
from app.errors import DeadlinePassed, UpstreamFaulty
from tests.support.virtual_time import monotonic, unix_ms

ONE, OTHER, HANGING = Key("1"), Key("2"), Key("3")
POLICY: Final = Policy(fresh_ms=5_000, stale_while_revalidate_ms=0, stale_if_error_ms=0, absent_ms=5_000)


class _Air:
    """Flights that take as many seconds as their keys say, and how often each key flew and landed."""

    def __init__(self) -> None:
        self.crash: Exception | None = None
        self.flown: list[Key] = []
        self.errands: list[Errand] = []
        self.landed: list[Key] = []

    async def fly(self, key: Key, _: Terms, errand: Errand) -> Landing:
        self.flown.append(key)
        self.errands.append(errand)
        began = unix_ms()
        await asyncio.sleep(100 if key == HANGING else int(key))
        if self.crash is not None:
            raise self.crash
        self.landed.append(key)
        return Landed(Absence(key, unix_ms()), began)


@pytest.fixture
def air() -> _Air:
    return _Air()


@pytest.fixture
async def waiting(air: _Air) -> AsyncIterator[Waiting]:
    waiting = Waiting(air.fly, POLICY, unix_ms)
    yield waiting
    await waiting.close()


def _wanted(*keys: Key, no_cache: bool = False) -> dict[Key, Terms]:
    return {key: Terms(came_at=unix_ms(), no_cache=no_cache) for key in keys}


def _errand() -> Errand:
    return Errand(Priority.WAITING, "web")


async def test_each_arrives_at_a_time_of_its_own_and_the_caller_when_all_are_there(waiting: Waiting) -> None:
    began, began_ms = monotonic(), unix_ms()
    arrived = await waiting.wait(_wanted(OTHER, ONE), _errand(), 10)
    assert monotonic() - began == pytest.approx(2)
    assert {key: arrival.at - began_ms for key, arrival in arrived.items()} == {OTHER: 2000, ONE: 1000}


async def test_whoever_waits_for_nothing_is_there_at_once(waiting: Waiting) -> None:
    began = monotonic()
    assert await waiting.wait({}, _errand(), 10) == {}
    assert monotonic() == began


async def test_those_that_are_late_spoil_no_others_and_land_for_whoever_comes_later(
    waiting: Waiting, air: _Air
) -> None:
    began = monotonic()
    arrived = await waiting.wait(_wanted(HANGING, ONE), _errand(), 4)
    assert monotonic() - began == pytest.approx(4)
    assert list(arrived) == [HANGING, ONE]
    late = arrived[HANGING].landing
    assert isinstance(late, Failed)
    assert isinstance(late.error, DeadlinePassed)
    assert isinstance(arrived[ONE].landing, Landed)
    again = await waiting.wait(_wanted(HANGING), _errand(), 100)
    assert isinstance(again[HANGING].landing, Landed)
    assert air.flown == [HANGING, ONE]


async def test_who_needs_a_second_flight_takes_it_at_once_whoever_else_hangs(waiting: Waiting, air: _Air) -> None:
    first = asyncio.create_task(waiting.wait(_wanted(ONE), _errand(), 10))
    await asyncio.sleep(0.5)
    wanted = _wanted(ONE, HANGING, no_cache=True)
    arrived = await waiting.wait(wanted, _errand(), 4)
    landing = arrived[ONE].landing
    assert isinstance(landing, Landed)
    assert landing.fetch_began_at is not None
    assert landing.fetch_began_at >= wanted[ONE].came_at
    assert air.flown == [ONE, HANGING, ONE]
    assert (await first)[ONE].was_under_way is False


async def test_a_failure_is_taken_and_not_tried_again(air: _Air) -> None:
    async def fail(key: Key, terms: Terms, errand: Errand) -> Landing:
        await air.fly(key, terms, errand)
        return Failed(UpstreamFaulty("It fails."))

    waiting = Waiting(fail, POLICY, unix_ms)
    arrived = await waiting.wait(_wanted(ONE, no_cache=True), _errand(), 10)
    assert isinstance(arrived[ONE].landing, Failed)
    assert air.flown == [ONE]


async def test_who_comes_to_a_flight_that_is_under_way_is_told(waiting: Waiting, air: _Air) -> None:
    one, other = await asyncio.gather(*(waiting.wait(_wanted(ONE, OTHER), _errand(), 10) for _ in range(2)))
    assert {arrival.was_under_way for arrival in one.values()} == {False}
    assert {arrival.was_under_way for arrival in other.values()} == {True}
    assert air.flown == [ONE, OTHER]


async def test_a_caller_who_leaves_ends_no_flight(waiting: Waiting, air: _Air) -> None:
    leaving, staying = (asyncio.create_task(waiting.wait(_wanted(ONE, OTHER), _errand(), 10)) for _ in range(2))
    await asyncio.sleep(0.5)
    leaving.cancel()
    assert set(await staying) == {ONE, OTHER}
    assert leaving.cancelled()
    assert air.landed == [ONE, OTHER]


async def test_nothing_more_is_sent_for_who_has_left(waiting: Waiting, air: _Air) -> None:
    first = asyncio.create_task(waiting.wait(_wanted(ONE), _errand(), 10))
    await asyncio.sleep(0.5)
    leaving = asyncio.create_task(waiting.wait(_wanted(ONE, no_cache=True), _errand(), 10))
    await waiting.wait(_wanted(ONE, no_cache=True), _errand(), 0.1)
    leaving.cancel()
    assert isinstance((await first)[ONE].landing, Landed)
    await asyncio.sleep(10)
    assert air.flown == [ONE]


async def test_many_wait_without_a_task_but_those_that_fly(waiting: Waiting) -> None:
    keys = [Key(str(number)) for number in range(10, 110)]
    before = asyncio.all_tasks()
    reading = asyncio.create_task(waiting.wait(_wanted(*keys), _errand(), 1000))
    await asyncio.sleep(1)
    assert {task.get_name() for task in asyncio.all_tasks() - before - {reading}} == {f"flight:{key}" for key in keys}
    assert set(await reading) == set(keys)


async def test_each_flight_has_an_errand_of_its_own(waiting: Waiting, air: _Air) -> None:
    await waiting.wait(_wanted(ONE, OTHER), _errand(), 10)
    one, other = air.errands
    assert one == other == _errand()
    assert one is not other


async def test_a_crash_is_not_waited_out(waiting: Waiting, air: _Air) -> None:
    air.crash = RuntimeError("broken")
    began = monotonic()
    with pytest.raises(RuntimeError, match="broken"):
        await waiting.wait(_wanted(ONE, OTHER, HANGING), _errand(), 10)
    assert monotonic() - began == pytest.approx(1)


async def test_nobody_waits_on_for_what_is_closed(waiting: Waiting) -> None:
    reading = asyncio.create_task(waiting.wait(_wanted(ONE, HANGING), _errand(), 10))
    await asyncio.sleep(0.5)
    began = monotonic()
    await waiting.close()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert monotonic() == began
