import asyncio

import pytest
from structlog.testing import capture_logs

from app.balances.snapshots import AccountId
from app.budget.budget import PermitRequest, Priority
from app.cache.single_flight import SingleFlight

KEY = AccountId("1")


class _Load:
    """A load that ends on command, and counts how often it was started."""

    def __init__(self, result: object = "loaded") -> None:
        self.started = 0
        self.finish = asyncio.Event()
        self.result = result

    async def __call__(self, _: PermitRequest) -> object:
        self.started += 1
        await self.finish.wait()
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


async def test_many_wait_for_one_load() -> None:
    flights, load = SingleFlight[object](), _Load()
    joined = [flights.join(KEY, PermitRequest(Priority.WAITING), load) for _ in range(100)]
    load.finish.set()
    assert await asyncio.gather(*(task for task, _ in joined)) == ["loaded"] * 100
    assert load.started == 1
    assert [under_way for _, under_way in joined] == [False] + [True] * 99


async def test_accounts_do_not_wait_for_each_other() -> None:
    flights, slow, quick = SingleFlight[object](), _Load(), _Load()
    flights.join(AccountId("slow"), PermitRequest(Priority.WAITING), slow)
    task, under_way = flights.join(AccountId("quick"), PermitRequest(Priority.WAITING), quick)
    quick.finish.set()
    assert (await task, under_way) == ("loaded", False)
    await flights.close()


async def test_a_caller_who_leaves_ends_nothing() -> None:
    flights, load = SingleFlight[object](), _Load()
    task, _ = flights.join(KEY, PermitRequest(Priority.WAITING), load)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await asyncio.shield(task)
    load.finish.set()
    assert await task == "loaded"


async def test_after_a_load_the_next_caller_loads_again() -> None:
    flights, load = SingleFlight[object](), _Load()
    load.finish.set()
    for _ in range(2):
        await flights.join(KEY, PermitRequest(Priority.WAITING), load)[0]
        await asyncio.sleep(0)
    assert load.started == 2


async def test_a_crash_that_nobody_waits_for_is_logged_and_gone() -> None:
    flights, load = SingleFlight[object](), _Load(RuntimeError("broken"))
    with capture_logs() as logs:
        flights.join(KEY, PermitRequest(Priority.WAITING), load)
        load.finish.set()
        await asyncio.sleep(1)
    assert [line["event"] for line in logs] == ["cache.flight_crashed"]
    assert flights.join(KEY, PermitRequest(Priority.WAITING), _Load())[1] is False
    await flights.close()


async def test_closing_ends_what_is_in_the_air() -> None:
    flights, load = SingleFlight[object](), _Load()
    task, _ = flights.join(KEY, PermitRequest(Priority.WAITING), load)
    await flights.close()
    assert task.cancelled()


async def test_a_load_under_way_becomes_as_urgent_as_who_boards_it() -> None:
    flights, load = SingleFlight[object](), _Load()
    permit_request = PermitRequest(Priority.REFRESH)
    flights.join(KEY, permit_request, load)
    flights.join(KEY, PermitRequest(Priority.WARM_UP, "lazy"), load)
    assert (permit_request.priority, permit_request.caller) == (Priority.REFRESH, "")
    flights.join(KEY, PermitRequest(Priority.WAITING, "web"), load)
    assert (permit_request.priority, permit_request.caller) == (Priority.WAITING, "web")
    await flights.close()
