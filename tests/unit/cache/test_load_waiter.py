"""Waiting for many flights at once: each until one satisfies, none longer than the deadline, and no flight ends by it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import pytest

from app.balances.snapshots import Absence, AccountId
from app.budget.budget import PermitRequest, Priority
from app.cache.fleet_loader import Loaded, LoadFailed, LoadResult
from app.cache.freshness import FreshnessPolicy, RequestDirectives
from app.cache.load_waiter import LoadWaiter
from app.errors import DeadlinePassed, UpstreamFaulty
from tests.support.virtual_time import monotonic, unix_ms

ONE, OTHER, HANGING = AccountId("1"), AccountId("2"), AccountId("3")
POLICY: Final = FreshnessPolicy(fresh_ms=5_000, stale_while_revalidate_ms=0, stale_if_error_ms=0, absent_ms=5_000)


class _Air:
    """Flights that take as many seconds as their keys say, and how often each key flew and landed."""

    def __init__(self) -> None:
        self.crash: Exception | None = None
        self.flown: list[AccountId] = []
        self.permit_requests: list[PermitRequest] = []
        self.landed: list[AccountId] = []

    async def fly(self, key: AccountId, _: RequestDirectives, permit_request: PermitRequest) -> LoadResult:
        self.flown.append(key)
        self.permit_requests.append(permit_request)
        began = unix_ms()
        await asyncio.sleep(100 if key == HANGING else int(key))
        if self.crash is not None:
            raise self.crash
        self.landed.append(key)
        return Loaded(Absence(key, unix_ms()), began)


@pytest.fixture
def air() -> _Air:
    return _Air()


@pytest.fixture
async def waiting(air: _Air) -> AsyncIterator[LoadWaiter]:
    waiting = LoadWaiter(air.fly, POLICY, unix_ms)
    yield waiting
    await waiting.close()


def _wanted(*keys: AccountId, no_cache: bool = False) -> dict[AccountId, RequestDirectives]:
    return {key: RequestDirectives(received_at=unix_ms(), no_cache=no_cache) for key in keys}


def _permit_request() -> PermitRequest:
    return PermitRequest(Priority.WAITING, "web")


async def test_each_arrives_at_a_time_of_its_own_and_the_caller_when_all_are_there(waiting: LoadWaiter) -> None:
    began, began_ms = monotonic(), unix_ms()
    arrived = await waiting.wait(_wanted(OTHER, ONE), _permit_request(), 10)
    assert monotonic() - began == pytest.approx(2)
    assert {key: arrival.at - began_ms for key, arrival in arrived.items()} == {OTHER: 2000, ONE: 1000}


async def test_whoever_waits_for_nothing_is_there_at_once(waiting: LoadWaiter) -> None:
    began = monotonic()
    assert await waiting.wait({}, _permit_request(), 10) == {}
    assert monotonic() == began


async def test_those_that_are_late_spoil_no_others_and_land_for_whoever_comes_later(
    waiting: LoadWaiter, air: _Air
) -> None:
    began = monotonic()
    arrived = await waiting.wait(_wanted(HANGING, ONE), _permit_request(), 4)
    assert monotonic() - began == pytest.approx(4)
    assert list(arrived) == [HANGING, ONE]
    late = arrived[HANGING].result
    assert isinstance(late, LoadFailed)
    assert isinstance(late.error, DeadlinePassed)
    assert isinstance(arrived[ONE].result, Loaded)
    again = await waiting.wait(_wanted(HANGING), _permit_request(), 100)
    assert isinstance(again[HANGING].result, Loaded)
    assert air.flown == [HANGING, ONE]


async def test_who_needs_a_second_flight_takes_it_at_once_whoever_else_hangs(waiting: LoadWaiter, air: _Air) -> None:
    first = asyncio.create_task(waiting.wait(_wanted(ONE), _permit_request(), 10))
    await asyncio.sleep(0.5)
    wanted = _wanted(ONE, HANGING, no_cache=True)
    arrived = await waiting.wait(wanted, _permit_request(), 4)
    result = arrived[ONE].result
    assert isinstance(result, Loaded)
    assert result.fetch_began_at is not None
    assert result.fetch_began_at >= wanted[ONE].received_at
    assert air.flown == [ONE, HANGING, ONE]
    assert (await first)[ONE].was_under_way is False


async def test_a_failure_is_taken_and_not_tried_again(air: _Air) -> None:
    async def fail(key: AccountId, directives: RequestDirectives, permit_request: PermitRequest) -> LoadResult:
        await air.fly(key, directives, permit_request)
        return LoadFailed(UpstreamFaulty("It fails."))

    waiting = LoadWaiter(fail, POLICY, unix_ms)
    arrived = await waiting.wait(_wanted(ONE, no_cache=True), _permit_request(), 10)
    assert isinstance(arrived[ONE].result, LoadFailed)
    assert air.flown == [ONE]


async def test_who_comes_to_a_flight_that_is_under_way_is_told(waiting: LoadWaiter, air: _Air) -> None:
    one, other = await asyncio.gather(*(waiting.wait(_wanted(ONE, OTHER), _permit_request(), 10) for _ in range(2)))
    assert {arrival.was_under_way for arrival in one.values()} == {False}
    assert {arrival.was_under_way for arrival in other.values()} == {True}
    assert air.flown == [ONE, OTHER]


async def test_a_caller_who_leaves_ends_no_flight(waiting: LoadWaiter, air: _Air) -> None:
    leaving, staying = (asyncio.create_task(waiting.wait(_wanted(ONE, OTHER), _permit_request(), 10)) for _ in range(2))
    await asyncio.sleep(0.5)
    leaving.cancel()
    assert set(await staying) == {ONE, OTHER}
    assert leaving.cancelled()
    assert air.landed == [ONE, OTHER]


async def test_nothing_more_is_sent_for_who_has_left(waiting: LoadWaiter, air: _Air) -> None:
    first = asyncio.create_task(waiting.wait(_wanted(ONE), _permit_request(), 10))
    await asyncio.sleep(0.5)
    leaving = asyncio.create_task(waiting.wait(_wanted(ONE, no_cache=True), _permit_request(), 10))
    await waiting.wait(_wanted(ONE, no_cache=True), _permit_request(), 0.1)
    leaving.cancel()
    assert isinstance((await first)[ONE].result, Loaded)
    await asyncio.sleep(10)
    assert air.flown == [ONE]


async def test_many_wait_without_a_task_but_those_that_fly(waiting: LoadWaiter) -> None:
    keys = [AccountId(str(number)) for number in range(10, 110)]
    before = asyncio.all_tasks()
    reading = asyncio.create_task(waiting.wait(_wanted(*keys), _permit_request(), 1000))
    await asyncio.sleep(1)
    assert {task.get_name() for task in asyncio.all_tasks() - before - {reading}} == {f"flight:{key}" for key in keys}
    assert set(await reading) == set(keys)


async def test_each_flight_has_an_errand_of_its_own(waiting: LoadWaiter, air: _Air) -> None:
    await waiting.wait(_wanted(ONE, OTHER), _permit_request(), 10)
    one, other = air.permit_requests
    assert one == other == _permit_request()
    assert one is not other


async def test_a_crash_is_not_waited_out(waiting: LoadWaiter, air: _Air) -> None:
    air.crash = RuntimeError("broken")
    began = monotonic()
    with pytest.raises(RuntimeError, match="broken"):
        await waiting.wait(_wanted(ONE, OTHER, HANGING), _permit_request(), 10)
    assert monotonic() - began == pytest.approx(1)


async def test_nobody_waits_on_for_what_is_closed(waiting: LoadWaiter) -> None:
    reading = asyncio.create_task(waiting.wait(_wanted(ONE, HANGING), _permit_request(), 10))
    await asyncio.sleep(0.5)
    began = monotonic()
    await waiting.close()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert monotonic() == began
