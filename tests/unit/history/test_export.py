"""Export of an account while its history goes on: what is dropped or lost meanwhile is said, and the rest follows."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from fakeredis import FakeAsyncRedis, FakeServer

from app.balances.snapshots import Snapshot
from app.history.export import Exported, KeptAccount, KeptState, LostStates, export_account
from app.history.past import Past
from app.history.recording import HistoryOptions, Look
from tests.support.replica import KEY, Replica, Upstream, run_replicas
from tests.support.virtual_time import unix_ms

HISTORY = HistoryOptions(keep_ms=604_800_000, max_bytes=10**9)
NAME = f"t:{{{KEY}}}:history"
STATES = 120


async def look(replica: Replica, amount: int) -> None:
    await asyncio.sleep(0.01)
    found = Snapshot(KEY, unix_ms(), can_deposit=bool(amount % 2), balances=())
    await replica.tier.store_and_release(found, look=Look(found.as_of - 1))


async def export(server: FakeServer, meanwhile: Callable[[Replica], Awaitable[object]]) -> list[Exported]:
    """Export many states, and let something happen after the third."""
    async with run_replicas(Upstream(), server, 1, history=HISTORY) as (one,):
        for amount in range(STATES):
            await look(one, amount)
        found: list[Exported] = []
        async for exported in export_account(Past(one.shared, one.feed), KEY, 0, 2**50):
            found.append(exported)
            if len(found) == 4:
                await meanwhile(one)
        return found


def numbers(found: list[Exported]) -> list[int]:
    return [one.state.sequence for one in found if isinstance(one, KeptState)]


async def test_all_states_follow_each_other(server: FakeServer) -> None:
    found = await export(server, lambda one: look(one, STATES))
    assert isinstance(found[0], KeptAccount)
    states = [one for one in found[1:] if isinstance(one, KeptState)]
    assert numbers(found) == list(range(STATES + 1))
    assert len(states) == len(found) - 1
    assert [one.changed_by for one in states] == [*(one.state.since for one in states[1:]), None]


async def test_what_is_dropped_meanwhile_is_a_gap(server: FakeServer) -> None:
    async def drop(_: Replica) -> None:
        raw = FakeAsyncRedis(server=server)
        await raw.hset(NAME, "oldest", "70")
        await raw.hdel(NAME, *(f"r{number}" for number in range(70)))

    found = await export(server, drop)
    (gap,) = (one for one in found if isinstance(one, LostStates))
    shown = numbers(found)
    assert shown == [*range(gap.after + 1), *range(70, STATES)]
    first, second = (one for one in found if isinstance(one, KeptAccount))
    assert first.kept_from < second.kept_from


@pytest.mark.parametrize("goes_on", [True, False])
async def test_an_epoch_that_ends_meanwhile_is_a_gap(server: FakeServer, goes_on: bool) -> None:
    async def lose(one: Replica) -> None:
        await FakeAsyncRedis(server=server).delete(NAME)
        if goes_on:
            await look(one, 1)

    found = await export(server, lose)
    assert sum(isinstance(one, LostStates) for one in found) == 1
    assert len({one.epoch for one in found if isinstance(one, KeptAccount)}) == 1 + goes_on
    assert numbers(found)[-1] == (0 if goes_on else 48)
