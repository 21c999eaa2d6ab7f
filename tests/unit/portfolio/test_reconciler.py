import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from random import Random

import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from msgspec import UNSET
from structlog.testing import capture_logs

from app.balances.amounts import Amount, add_amounts
from app.balances.reconciliation import Verdict
from app.balances.snapshots import AGGREGATE, AccountId
from app.errors import (
    BudgetSpent,
    MerchantInactive,
    NoReconciliation,
    StoreUnavailable,
    TokenRefused,
    UnknownReconciliation,
    Unreachable,
)
from app.fleet.jobs import LEASE_MS
from app.portfolio.reconciler import Reconciler, Reconciliation, State
from app.resilience.supervision import supervised
from tests.support.amounts import make_snapshot
from tests.support.jobs import World, make_reconciler
from tests.support.virtual_redis import virtual_redis_time
from tests.support.virtual_time import monotonic

UNIT = Amount("0.000000000000000001")


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(autouse=True)
async def _virtual() -> Iterator[None]:  # type: ignore[misc]
    with virtual_redis_time():
        yield


@pytest.fixture
async def reconciler(world: World, server: FakeServer) -> AsyncIterator[Reconciler]:
    async with at_work(make_reconciler(world, server)) as one:
        yield one


@asynccontextmanager
async def at_work(reconciler: Reconciler) -> AsyncIterator[Reconciler]:
    async with supervised(work=reconciler.run, redis_client=reconciler._jobs._redis_client.probe_while_lost):
        await asyncio.sleep(0.001)
        yield reconciler


async def ended(reconciler: Reconciler, job_id: str) -> Reconciliation:
    while (job := await reconciler.get(job_id)).state is State.RUNNING:  # noqa: ASYNC110
        await asyncio.sleep(0.5)
    return job


async def outcome(reconciler: Reconciler) -> Reconciliation:
    return await ended(reconciler, (await reconciler.start()).id)


def verdict(job: Reconciliation) -> Verdict:
    (finding,) = job.findings or ()
    return finding.verdict


@pytest.mark.parametrize("run", range(20))
async def test_a_quiet_world_matches(reconciler: Reconciler, world: World, run: int) -> None:
    job = await outcome(reconciler)
    assert (job.state, verdict(job), job.expected, job.read, job.look) == (State.DONE, Verdict.MATCH, 20, 20, 1)
    assert job.finished_at
    assert await reconciler.get_last() == job == reconciler.last


@pytest.mark.parametrize("run", range(20))
async def test_a_unit_in_the_eighteenth_decimal_is_a_mismatch_once_it_has_stood(
    reconciler: Reconciler, world: World, run: int
) -> None:
    world.discrepancy = UNIT
    job = await outcome(reconciler)
    assert (verdict(job), job.look) == (Verdict.MISMATCH, 2)
    assert [finding.difference.free for finding in job.findings or ()] == [UNIT]


@pytest.mark.parametrize("seed", range(20))
async def test_balances_that_move_while_they_are_read_are_moving(
    reconciler: Reconciler, world: World, seed: int
) -> None:
    random = Random(seed)

    async def move(key: AccountId) -> None:
        one = AccountId(str(random.randrange(1, 21)))
        world.held[one] = add_amounts([world.held[one], UNIT])

    world.hold = move
    assert verdict(await outcome(reconciler)) is Verdict.MOVING


async def test_what_one_merchant_gives_another_while_they_are_read_is_no_mismatch(
    reconciler: Reconciler, world: World
) -> None:
    async def give(key: AccountId) -> None:
        if key == "20" and world.held[AccountId("1")] == "1":
            world.held |= {AccountId("1"): Amount("0"), AccountId("20"): Amount("21")}

    world.hold = give
    job = await outcome(reconciler)
    assert (verdict(job), job.look) == (Verdict.MATCH, 2)


async def test_every_part_is_read_afresh_and_few_at_once(reconciler: Reconciler, world: World) -> None:
    job = await outcome(reconciler)
    assert all(directives.no_cache and directives.received_at >= job.started_at for _, directives in world.asked)
    keys = [key for key, _ in world.asked]
    assert (keys[0], keys[-1], sorted(keys[1:-1])) == (AGGREGATE, AGGREGATE, sorted(world.held))
    assert world.most_at_once == 4


async def test_a_part_that_stays_away_makes_the_result_incomplete(reconciler: Reconciler, world: World) -> None:
    world.errors[AccountId("3")] = Unreachable("x")
    job = await outcome(reconciler)
    assert (verdict(job), job.read, job.missing, job.missing_merchants) == (Verdict.INCOMPLETE, 19, 1, ("3",))
    assert len([key for key, _ in world.asked if key == "3"]) == 6


async def test_of_many_missing_parts_some_are_named(server: FakeServer) -> None:
    world = World(count=150)
    world.errors = {AccountId(str(number)): MerchantInactive("x") for number in range(1, 141)}
    async with at_work(make_reconciler(world, server)) as reconciler:
        job = await outcome(reconciler)
    assert (job.missing, len(set(job.missing_merchants))) == (140, 100)
    assert set(job.missing_merchants) <= world.errors.keys()


async def test_a_part_that_comes_back_is_no_part_missing(reconciler: Reconciler, world: World) -> None:
    async def recover(key: AccountId) -> None:
        if len([one for one, _ in world.asked if one == "3"]) > 3:
            world.errors.clear()

    world.errors[AccountId("3")] = BudgetSpent("x", retry_after_seconds=7)
    world.hold = recover
    assert verdict(await outcome(reconciler)) is Verdict.MATCH
    assert monotonic() > 21


async def test_without_the_aggregate_it_fails_and_the_last_result_stays(reconciler: Reconciler, world: World) -> None:
    first = await outcome(reconciler)
    world.errors[AGGREGATE] = TokenRefused("The token.")
    job = await outcome(reconciler)
    assert (job.state, job.detail, job.findings) == (State.FAILED, "The token.", job.findings)
    assert await reconciler.get_last() == first


async def test_a_fault_of_ours_ends_the_job_and_not_the_work(reconciler: Reconciler, world: World) -> None:
    world.errors[AGGREGATE] = RuntimeError("secret")
    with capture_logs() as logs:
        job = await outcome(reconciler)
    assert (job.state, job.detail) == (State.FAILED, "Something went wrong here.")
    assert "reconciliation.crashed" in {line["event"] for line in logs}
    world.errors.clear()
    assert verdict(await outcome(reconciler)) is Verdict.MATCH


async def test_one_runs_in_the_fleet_and_starting_another_leads_to_it(
    reconciler: Reconciler, world: World, server: FakeServer
) -> None:
    async with at_work(make_reconciler(world, server, "other")) as other:
        started = [await one.start() for one in (reconciler, other, other, reconciler)]
        assert {job.id for job in started} == {"r1"}
        assert {job.state for job in started} == {State.RUNNING}
        await ended(other, "r1")
        assert (await other.start()).id != "r1"
        await asyncio.sleep(1)
    assert len([key for key, _ in world.asked if key == AGGREGATE]) == 4


async def test_progress_is_shown_while_it_runs(reconciler: Reconciler, world: World) -> None:
    async def slow(key: AccountId) -> None:
        await asyncio.sleep(1)

    world.hold = slow
    job = await reconciler.start()
    seen = []
    while job.state is State.RUNNING:
        seen.append(job.read)
        await asyncio.sleep(1)
        job = await reconciler.get(job.id)
    assert seen == sorted(seen)
    assert len(set(seen)) > 2


async def test_a_job_whose_replica_died_is_lost_and_another_may_start(world: World, server: FakeServer) -> None:
    async def for_ever(key: AccountId) -> None:
        await asyncio.sleep(3600)

    world.hold = for_ever
    other = make_reconciler(world, server, "other")
    async with at_work(make_reconciler(world, server)) as dying:
        job = await dying.start()
        await asyncio.sleep(60)
        assert (await other.get(job.id)).state is State.RUNNING
    await asyncio.sleep(LEASE_MS / 1000 + 0.1)
    assert (await other.get(job.id)).state is State.LOST
    world.hold = None
    async with at_work(other):
        assert verdict(await outcome(other)) is Verdict.MATCH
    assert (await other.get(job.id)).state is State.LOST


async def test_a_job_that_lost_its_lease_stops_and_overwrites_nothing(
    reconciler: Reconciler, world: World, server: FakeServer
) -> None:
    async def slow(key: AccountId) -> None:
        await asyncio.sleep(1)

    world.hold = slow
    job = await reconciler.start()
    await asyncio.sleep(1)
    await reconciler._jobs._redis_client.client.delete("t:{reconciliation}:lease")
    with capture_logs() as logs:
        await asyncio.sleep(5)
    asked = len(world.asked)
    await asyncio.sleep(60)
    assert len(world.asked) == asked
    assert [line["event"] for line in logs] == ["reconciliation.lost"]
    assert (await reconciler.get(job.id)).state is State.LOST
    with pytest.raises(NoReconciliation):
        await reconciler.get_last()


async def test_at_an_interval_the_fleet_makes_one_at_a_time(world: World, server: FakeServer) -> None:
    first, second = (make_reconciler(world, server, name, every_seconds=100) for name in ("a", "b"))
    async with at_work(first), at_work(second):
        await asyncio.sleep(350)
    assert len([key for key, _ in world.asked if key == AGGREGATE]) == 2 * 4
    assert first.last == second.last
    assert first.last is not None


async def test_without_an_interval_none_is_made_unasked(reconciler: Reconciler, world: World) -> None:
    await asyncio.sleep(3_600)
    assert world.asked == []


async def test_a_result_of_before_is_known_after_a_restart(
    reconciler: Reconciler, world: World, server: FakeServer
) -> None:
    job = await outcome(reconciler)
    async with at_work(make_reconciler(world, server, "new")) as new:
        assert new.last == job


async def test_an_outage_of_redis_does_not_lose_the_result(
    reconciler: Reconciler, world: World, server: FakeServer
) -> None:
    async def outage(key: AccountId) -> None:
        server.connected = False

    job = await reconciler.start()
    world.hold = outage
    await asyncio.sleep(4)
    for asked in (reconciler.get(job.id), reconciler.start()):
        with pytest.raises(StoreUnavailable) as raised:
            await asked
        assert raised.value.retry_after_seconds
    server.connected = True
    await asyncio.sleep(1)
    assert verdict(await ended(reconciler, job.id)) is Verdict.MATCH


@pytest.mark.parametrize("side", ["aggregate", "sum"])
async def test_a_result_in_which_one_side_lists_an_asset_is_read(
    reconciler: Reconciler, server: FakeServer, side: str
) -> None:
    """A version before wrote such records and could not read them."""
    sums = b'{"total":"1","free":"1","locked":"0"}'
    record = (
        b'{"id":"j1","state":"done","startedAt":1,"finishedAt":2,"findings":'
        b'[{"assetId":"X","verdict":"mismatch","%b":%b,"difference":%b}]}' % (side.encode(), sums, sums)
    )
    await FakeAsyncRedis(server=server).set("t:{reconciliation}:last", record)
    (finding,) = (await reconciler.get_last()).findings or ()
    assert (finding.aggregate is UNSET, finding.sum is UNSET) == (side == "sum", side == "aggregate")


async def test_what_is_not_there_is_said_not_to_be(reconciler: Reconciler) -> None:
    with pytest.raises(NoReconciliation):
        await reconciler.get_last()
    with pytest.raises(UnknownReconciliation):
        await reconciler.get("r9")


async def test_a_mismatch_is_logged_as_a_warning_without_amounts(reconciler: Reconciler, world: World) -> None:
    world.discrepancy = UNIT
    with capture_logs() as logs:
        await outcome(reconciler)
    finished = logs[-1]
    assert (finished["event"], finished["log_level"], finished["mismatch"]) == ("reconciliation.finished", "warning", 1)
    assert UNIT not in str(logs)


async def test_a_result_that_succeeds_is_logged_as_nothing_special(reconciler: Reconciler) -> None:
    with capture_logs() as logs:
        await outcome(reconciler)
    assert (logs[-1]["event"], logs[-1]["log_level"], logs[-1]["match"]) == ("reconciliation.finished", "info", 1)


async def test_a_result_is_overdue_when_three_intervals_brought_none(world: World, server: FakeServer) -> None:
    world.errors[AGGREGATE] = Unreachable("x")
    async with at_work(make_reconciler(world, server, every_seconds=60)) as one:
        await asyncio.sleep(170)
        assert not one.is_overdue
        await asyncio.sleep(11)
        assert one.is_overdue
        world.errors.clear()
        await asyncio.sleep(90)
        assert not one.is_overdue


async def test_without_an_interval_nothing_is_overdue(reconciler: Reconciler) -> None:
    await asyncio.sleep(10_000)
    assert not reconciler.is_overdue


async def test_what_the_sweep_fetched_since_it_began_is_not_fetched_again(reconciler: Reconciler, world: World) -> None:
    swept, late = AccountId("1"), AccountId("2")

    async def sweep(key: AccountId) -> None:
        """Let the sweep bring one by a call that surely began after the reconciliation, one perhaps before it."""
        if key in {"20", "19", "18", "17"}:  # those that are read first, all at a time
            world.swept[late] = world._answer(late)
            await asyncio.sleep(6)
            world.swept[swept] = world._answer(swept)

    world.hold = sweep
    # the youngest are read first, since the sweep fetches the oldest
    world.swept.update((AccountId(str(number)), make_snapshot(str(number), [], number)) for number in range(1, 21))
    job = await outcome(reconciler)
    assert verdict(job) is Verdict.MATCH
    asked = [key for key, _ in world.asked if key != AGGREGATE]
    assert asked[0] == "20"
    assert (asked.count(swept), asked.count(late), len(asked)) == (0, 1, 19)
