"""The clock of Redis may be set back, which keeps leases beyond their length: nobody waits for longer than that."""

import asyncio
from collections.abc import Iterator

import pytest
from fakeredis import FakeAsyncRedis, FakeServer

from app.cache.redis_tier import LeaseAcquired, LeaseHeldElsewhere, RedisTier
from app.errors import TokenRefused
from app.fleet.jobs import LEASE_MS as JOB_LEASE_MS
from app.fleet.jobs import Jobs
from app.fleet.lease import LEASE_MS
from app.fleet.shared_value import SharedValue
from app.telemetry.metrics import Metrics
from tests.support.minting_replicas import LIFE_SECONDS, Mint, run_mints
from tests.support.replica import KEY, POLICY, make_shared
from tests.support.virtual_redis import RedisClock, virtual_redis_time
from tests.support.virtual_time import monotonic, unix_ms

BACK = [-3600, -40, -1]
EVER = 2**53
HOUR_MS = 3_600_000


@pytest.fixture(autouse=True)
async def clock() -> Iterator[RedisClock]:  # type: ignore[misc]
    with virtual_redis_time() as clock:
        yield clock


@pytest.fixture
def raw(server: FakeServer) -> FakeAsyncRedis:
    return FakeAsyncRedis(server=server)


def make_tier(server: FakeServer, name: str) -> RedisTier:
    return RedisTier(make_shared(server, name), policy=POLICY, metrics=Metrics())


@pytest.mark.parametrize("step", BACK)
async def test_a_lease_of_an_account_lasts_no_longer_than_a_lease(
    server: FakeServer, clock: RedisClock, step: float
) -> None:
    one, other = make_tier(server, "one"), make_tier(server, "other")
    await one.read_or_lease(KEY, 5)
    clock.ahead_seconds = step
    assert await other.read_or_lease(KEY, 5) == LeaseHeldElsewhere(None, LEASE_MS)
    await asyncio.sleep(LEASE_MS / 1000 + 0.001)
    assert await other.read_or_lease(KEY, 5) == LeaseAcquired(None)


async def test_a_lease_that_lasts_for_ever_is_one_of_a_lease_length(server: FakeServer, raw: FakeAsyncRedis) -> None:
    tier = make_tier(server, "one")
    await raw.set(f"t:{{{KEY}}}:lease", "other")
    assert await tier.read_or_lease(KEY, 5) == LeaseHeldElsewhere(None, LEASE_MS)
    await asyncio.sleep(LEASE_MS / 1000 + 0.001)
    assert await tier.read_or_lease(KEY, 5) == LeaseAcquired(None)


async def create() -> tuple[bytes, int, int]:
    return b"value", 60_000, 0


@pytest.mark.parametrize("step", [*BACK, None])
async def test_a_lease_of_a_shared_value_lasts_no_longer_than_a_lease(
    server: FakeServer, raw: FakeAsyncRedis, clock: RedisClock, step: float | None
) -> None:
    await raw.set("t:{v}:lease", "dead", px=None if step is None else LEASE_MS)
    clock.ahead_seconds = step or 0
    assert await SharedValue(make_shared(server), "{v}").get_or_create(b"", create) == (b"value", 60_000)
    assert monotonic() <= LEASE_MS / 1000 + 0.1


@pytest.mark.parametrize("step", BACK)
async def test_a_failure_keeps_others_from_creating_a_value_for_a_minute_at_most(
    server: FakeServer, clock: RedisClock, step: float
) -> None:
    async def fail() -> tuple[bytes, int, int]:
        raise TokenRefused("x")

    shared = SharedValue(make_shared(server), "{v}")
    with pytest.raises(TokenRefused):
        await shared.get_or_create(b"", fail)
    clock.ahead_seconds = step
    with pytest.raises(TokenRefused):
        await shared.get_or_create(b"", create)
    await asyncio.sleep(60.001)
    assert await shared.get_or_create(b"", create) == (b"value", 60_000)


async def test_a_token_is_never_believed_in_for_longer_than_it_lives(server: FakeServer) -> None:
    mint = Mint()
    async with run_mints(mint, server) as (early,):
        await early.tokens.ready()
        async with run_mints(mint, server) as (late,):
            with virtual_redis_time() as clock:
                clock.ahead_seconds = -3600
                await late.tokens.ready()
                assert late.tokens.seconds_left == pytest.approx(LIFE_SECONDS, abs=0.1)


@pytest.mark.parametrize("step", BACK)
async def test_a_job_that_died_is_followed_after_its_lease(server: FakeServer, clock: RedisClock, step: float) -> None:
    jobs = Jobs(make_shared(server), "kind")
    assert await jobs.start("dead", b"{}", unix_ms(), EVER) == "dead"
    clock.ahead_seconds = step
    assert await jobs.start("next", b"{}", unix_ms(), EVER) == "dead"
    await asyncio.sleep(JOB_LEASE_MS / 1000 + 0.001)
    assert await jobs.start("next", b"{}", unix_ms(), EVER) == "next"


async def run_job(jobs: Jobs, job_id: str, now: int) -> None:
    assert await jobs.start(job_id, b"{}", now, EVER) == job_id
    await jobs.finish(job_id, b"{}", result=True)


@pytest.mark.parametrize("ours_ms", [0, -24 * HOUR_MS, 24 * HOUR_MS])
async def test_jobs_keep_their_interval_though_our_clock_was_set(server: FakeServer, ours_ms: int) -> None:
    jobs = Jobs(make_shared(server), "kind")
    await run_job(jobs, "first", unix_ms())
    await asyncio.sleep(HOUR_MS / 1000 - 1)
    now = unix_ms() + ours_ms
    assert await jobs.start("second", b"{}", now, now - HOUR_MS) is None
    await asyncio.sleep(1)
    now = unix_ms() + ours_ms
    assert await jobs.start("second", b"{}", now, now - HOUR_MS) == "second"


@pytest.mark.parametrize("step", BACK)
async def test_jobs_are_late_by_an_interval_at_most_though_the_clock_of_redis_was_set_back(
    server: FakeServer, clock: RedisClock, step: float
) -> None:
    jobs = Jobs(make_shared(server), "kind")
    await run_job(jobs, "first", unix_ms())
    clock.ahead_seconds = step
    await asyncio.sleep(HOUR_MS / 1000 - 1)
    now = unix_ms()
    assert await jobs.start("second", b"{}", now, now - HOUR_MS) is None
    await asyncio.sleep(1 - step)
    now = unix_ms()
    assert await jobs.start("second", b"{}", now, now - HOUR_MS) == "second"


async def test_jobs_go_by_our_clock_while_that_of_redis_says_nothing(
    server: FakeServer, raw: FakeAsyncRedis, clock: RedisClock
) -> None:
    jobs = Jobs(make_shared(server), "kind")
    await run_job(jobs, "first", unix_ms())
    clock.ahead_seconds = -86_400
    await asyncio.sleep(HOUR_MS / 1000)
    now = unix_ms()
    assert await jobs.start("second", b"{}", now, now - HOUR_MS) == "second"
    await jobs.finish("second", b"{}", result=True)
    await raw.persist("t:{kind}:began")
    assert await jobs.start("third", b"{}", now, now - HOUR_MS) is None
    await asyncio.sleep(HOUR_MS / 1000)
    now = unix_ms()
    assert await jobs.start("third", b"{}", now, now - HOUR_MS) == "third"
