"""Waits for many loads: each until one satisfies, none longer than the deadline, and no load ends by it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import pytest

from app.balances.snapshots import Absence, AccountId
from app.budget.budget import PermitRequest, Priority
from app.cache.freshness import FreshnessPolicy, RequestDirectives
from app.cache.load_results import Loaded, LoadFailed, LoadResult, NoPermit
from app.cache.load_waiter import LoadWaiter
from app.errors import BudgetSpent, DeadlinePassed, InternalError, UpstreamFaulty
from tests.support.virtual_time import monotonic, unix_ms

ONE, OTHER, HANGING = AccountId("1"), AccountId("2"), AccountId("3")
POLICY: Final = FreshnessPolicy(fresh_ms=5_000, stale_while_revalidate_ms=0, stale_if_error_ms=0, absent_ms=5_000)


class _Loads:
    """Loads that take as many seconds as their account ids say, and which of them started and finished."""

    def __init__(self) -> None:
        self.crash: Exception | None = None
        self.started: list[AccountId] = []
        self.permit_requests: list[PermitRequest] = []
        self.finished: list[AccountId] = []

    async def load(self, account_id: AccountId, _: RequestDirectives, permit_request: PermitRequest) -> LoadResult:
        self.started.append(account_id)
        self.permit_requests.append(permit_request)
        began = unix_ms()
        await asyncio.sleep(100 if account_id == HANGING else int(account_id))
        if self.crash is not None:
            raise self.crash
        self.finished.append(account_id)
        return Loaded(Absence(account_id, unix_ms()), began)


@pytest.fixture
def loads() -> _Loads:
    return _Loads()


@pytest.fixture
async def waiting(loads: _Loads) -> AsyncIterator[LoadWaiter]:
    waiting = LoadWaiter(loads.load, POLICY, unix_ms)
    yield waiting
    await waiting.close()


def _wanted(*account_ids: AccountId, no_cache: bool = False) -> dict[AccountId, RequestDirectives]:
    return {account_id: RequestDirectives(received_at=unix_ms(), no_cache=no_cache) for account_id in account_ids}


def _permit_request() -> PermitRequest:
    return PermitRequest(Priority.WAITING, "web")


async def test_each_arrives_at_a_time_of_its_own_and_the_caller_when_all_are_there(waiting: LoadWaiter) -> None:
    began, began_ms = monotonic(), unix_ms()
    results = await waiting.wait(_wanted(OTHER, ONE), _permit_request(), 10)
    assert monotonic() - began == pytest.approx(2)
    assert {account_id: result.at - began_ms for account_id, result in results.items()} == {OTHER: 2000, ONE: 1000}


async def test_a_wait_for_nothing_ends_immediately(waiting: LoadWaiter) -> None:
    began = monotonic()
    assert await waiting.wait({}, _permit_request(), 10) == {}
    assert monotonic() == began


async def test_late_loads_spoil_no_others_and_go_on_for_later_callers(waiting: LoadWaiter, loads: _Loads) -> None:
    began = monotonic()
    results = await waiting.wait(_wanted(HANGING, ONE), _permit_request(), 4)
    assert monotonic() - began == pytest.approx(4)
    assert list(results) == [HANGING, ONE]
    late = results[HANGING].result
    assert isinstance(late, LoadFailed)
    assert isinstance(late.error, DeadlinePassed)
    assert isinstance(results[ONE].result, Loaded)
    again = await waiting.wait(_wanted(HANGING), _permit_request(), 100)
    assert isinstance(again[HANGING].result, Loaded)
    assert loads.started == [HANGING, ONE]


async def test_a_second_load_starts_immediately_although_another_hangs(waiting: LoadWaiter, loads: _Loads) -> None:
    first = asyncio.create_task(waiting.wait(_wanted(ONE), _permit_request(), 10))
    await asyncio.sleep(0.5)
    wanted = _wanted(ONE, HANGING, no_cache=True)
    results = await waiting.wait(wanted, _permit_request(), 4)
    result = results[ONE].result
    assert isinstance(result, Loaded)
    assert result.fetch_began_at is not None
    assert result.fetch_began_at >= wanted[ONE].received_at
    assert loads.started == [ONE, HANGING, ONE]
    assert (await first)[ONE].was_under_way is False


async def test_a_failure_is_taken_and_not_tried_again(loads: _Loads) -> None:
    async def fail(account_id: AccountId, directives: RequestDirectives, permit_request: PermitRequest) -> LoadResult:
        await loads.load(account_id, directives, permit_request)
        return LoadFailed(UpstreamFaulty("It fails."))

    waiting = LoadWaiter(fail, POLICY, unix_ms)
    results = await waiting.wait(_wanted(ONE, no_cache=True), _permit_request(), 10)
    assert isinstance(results[ONE].result, LoadFailed)
    assert loads.started == [ONE]


async def test_a_caller_learns_that_its_load_was_under_way(waiting: LoadWaiter, loads: _Loads) -> None:
    one, other = await asyncio.gather(*(waiting.wait(_wanted(ONE, OTHER), _permit_request(), 10) for _ in range(2)))
    assert {result.was_under_way for result in one.values()} == {False}
    assert {result.was_under_way for result in other.values()} == {True}
    assert loads.started == [ONE, OTHER]


async def test_a_caller_who_leaves_ends_no_load(waiting: LoadWaiter, loads: _Loads) -> None:
    leaving, staying = (asyncio.create_task(waiting.wait(_wanted(ONE, OTHER), _permit_request(), 10)) for _ in range(2))
    await asyncio.sleep(0.5)
    leaving.cancel()
    assert set(await staying) == {ONE, OTHER}
    assert leaving.cancelled()
    assert loads.finished == [ONE, OTHER]


async def test_nothing_more_is_sent_for_who_has_left(waiting: LoadWaiter, loads: _Loads) -> None:
    first = asyncio.create_task(waiting.wait(_wanted(ONE), _permit_request(), 10))
    await asyncio.sleep(0.5)
    leaving = asyncio.create_task(waiting.wait(_wanted(ONE, no_cache=True), _permit_request(), 10))
    await waiting.wait(_wanted(ONE, no_cache=True), _permit_request(), 0.1)
    leaving.cancel()
    assert isinstance((await first)[ONE].result, Loaded)
    await asyncio.sleep(10)
    assert loads.started == [ONE]


async def test_many_wait_without_a_task_but_those_that_fly(waiting: LoadWaiter) -> None:
    account_ids = [AccountId(str(number)) for number in range(10, 110)]
    before = asyncio.all_tasks()
    reading = asyncio.create_task(waiting.wait(_wanted(*account_ids), _permit_request(), 1000))
    await asyncio.sleep(1)
    assert {task.get_name() for task in asyncio.all_tasks() - before - {reading}} == {
        f"flight:{account_id}" for account_id in account_ids
    }
    assert set(await reading) == set(account_ids)


async def test_each_load_has_a_permit_request_of_its_own(waiting: LoadWaiter, loads: _Loads) -> None:
    await waiting.wait(_wanted(ONE, OTHER), _permit_request(), 10)
    one, other = loads.permit_requests
    assert one == other == _permit_request()
    assert one is not other


async def test_a_crash_is_a_failure_of_its_own_account_and_of_no_other(waiting: LoadWaiter, loads: _Loads) -> None:
    loads.crash = RuntimeError("broken")
    began = monotonic()
    found = await waiting.wait(_wanted(ONE), _permit_request(), 10)
    assert monotonic() - began == pytest.approx(1)
    both = await waiting.wait(_wanted(ONE, HANGING), _permit_request(), 10)
    failures = [result.result for result in (*found.values(), *both.values())]
    assert all(isinstance(failure, LoadFailed) for failure in failures)
    kinds = [type(failure.error) for failure in failures if isinstance(failure, LoadFailed)]
    assert kinds == [InternalError, InternalError, DeadlinePassed]


async def test_nobody_waits_on_for_what_is_closed(waiting: LoadWaiter) -> None:
    reading = asyncio.create_task(waiting.wait(_wanted(ONE, HANGING), _permit_request(), 10))
    await asyncio.sleep(0.5)
    began = monotonic()
    await waiting.close()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert monotonic() == began


async def test_a_caller_who_joins_a_sweep_that_gives_up_starts_a_load_of_its_own() -> None:
    gave_up = False

    async def load(account_id: AccountId, _: RequestDirectives, __: PermitRequest) -> LoadResult:
        nonlocal gave_up
        await asyncio.sleep(1)
        if not gave_up:
            gave_up = True
            return NoPermit(BudgetSpent("x"))
        return Loaded(Absence(account_id, unix_ms()), unix_ms())

    waiting = LoadWaiter(load, POLICY, unix_ms)
    wanted = _wanted(ONE)
    waiting.start_or_join(ONE, wanted[ONE], PermitRequest(Priority.SWEEP))
    found = await waiting.wait(wanted, _permit_request(), 10)
    assert isinstance(found[ONE].result, Loaded)
    await waiting.close()
