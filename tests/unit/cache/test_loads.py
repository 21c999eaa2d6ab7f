"""Refreshes in the background: gathered into groups, unless their account is being loaded already."""

import asyncio
from typing import Any

from app.balances.snapshots import AccountId, Snapshot
from app.budget.budget import PermitRequest, Priority
from app.cache.backoff import Backoff
from app.cache.freshness import RequestDirectives
from app.cache.load_results import Loaded, LoadResult
from app.cache.loads import Loads
from app.errors import Unreachable
from tests.support.replica import OPTIONS
from tests.support.virtual_time import unix_ms, virtual_runtime


class Fleet:
    """Loads every account in a second, and notes with which permit request."""

    def __init__(self) -> None:
        self.asked: dict[AccountId, PermitRequest] = {}

    async def load(self, account_id: AccountId, _: RequestDirectives, permit_request: PermitRequest) -> LoadResult:
        self.asked[account_id] = permit_request
        await asyncio.sleep(1)
        return Loaded(_entry(account_id), None)

    async def close(self) -> None:
        pass


def _entry(account_id: str) -> Snapshot:
    return Snapshot(AccountId(account_id), unix_ms(), can_deposit=True, balances=())


def _loads(fleet: Any) -> Loads:
    runtime = virtual_runtime()
    return Loads(fleet, Backoff(10, runtime), OPTIONS.policy, runtime)


async def test_a_refresh_makes_a_load_under_way_as_urgent_immediately() -> None:
    loads = _loads(fleet := Fleet())
    loads.refresh(_entry("1"))
    loads.start(AccountId("2"), unix_ms(), PermitRequest(Priority.SWEEP))
    await asyncio.sleep(0)
    loads.refresh(_entry("2"))
    assert fleet.asked[AccountId("2")].priority is Priority.REFRESH
    await loads.close()


async def test_after_the_end_no_gathered_refresh_starts() -> None:
    loads = _loads(fleet := Fleet())
    loads.refresh(_entry("1"))
    loads.refresh(_entry("2"))
    await asyncio.sleep(0)
    await loads.close()
    await asyncio.sleep(5)
    assert set(fleet.asked) == {"1"}


async def test_a_gathered_refresh_of_an_account_that_is_loaded_meanwhile_makes_no_second_load() -> None:
    loads = _loads(fleet := Fleet())
    loads.refresh(_entry("1"))
    loads.refresh(_entry("2"))
    loads.start(AccountId("2"), unix_ms(), PermitRequest(Priority.WAITING))
    await asyncio.sleep(0)
    asked = fleet.asked[AccountId("2")]
    await asyncio.sleep(0.5)
    assert fleet.asked[AccountId("2")] is asked
    await loads.close()


async def test_a_gathered_refresh_of_an_account_that_fails_meanwhile_does_not_start() -> None:
    runtime = virtual_runtime()
    backoff, fleet = Backoff(10, runtime), Fleet()
    loads = Loads(fleet, backoff, OPTIONS.policy, runtime)  # type: ignore[arg-type]
    loads.refresh(_entry("1"))
    loads.refresh(_entry("2"))
    backoff.record_failure(AccountId("2"), Unreachable("x"))
    await asyncio.sleep(0.1)
    assert set(fleet.asked) == {"1"}
    await loads.close()
