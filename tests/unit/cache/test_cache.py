import asyncio
from collections.abc import AsyncIterator

import pytest
from fakeredis import FakeServer

from app.balances.snapshots import Absence, AccountId, Snapshot
from app.cache.cache import Cache
from app.cache.served import Served, Source
from app.errors import (
    AccessRefused,
    BreakerOpen,
    BudgetSpent,
    DeadlinePassed,
    MalformedAnswer,
    MerchantInactive,
    NotCached,
    TallygateError,
    TokenRefused,
    Unreachable,
    UpstreamFaulty,
    UpstreamTimeout,
)
from tests.support.replica import KEY, Replica, Upstream, directives, run_replicas
from tests.support.virtual_time import monotonic, unix_ms


@pytest.fixture
async def cache(upstream: Upstream, server: FakeServer) -> AsyncIterator[Cache]:
    async with run_replicas(upstream, server, 1) as (replica,):
        yield replica.cache


@pytest.fixture
def late(cache: Cache, upstream: Upstream, server: FakeServer) -> Replica:
    """Another replica, to be started later: its memory is empty then."""
    return Replica(upstream, server, "late")


def _amount(served: Served) -> str:
    assert isinstance(served.entry, Snapshot)
    return served.entry.balances[0].total


async def test_the_first_read_fetches_and_the_next_ones_do_not(cache: Cache, upstream: Upstream) -> None:
    assert (await cache.read(KEY, directives())).source is Source.FETCHED
    await asyncio.sleep(4.9)
    assert (await cache.read(KEY, directives())).source is Source.MEMORY
    assert upstream.calls == 1


async def test_memory_holds_an_entry_until_there_is_a_newer_one_or_it_is_in_doubt(cache: Cache) -> None:
    first = (await cache.read(KEY, directives())).entry
    assert cache.is_current(first)
    second = (await cache.read(KEY, directives(no_cache=True))).entry
    assert (cache.is_current(first), cache.is_current(second)) == (False, True)
    cache._memory.distrust()
    assert not cache.is_current(second)


async def test_many_cold_reads_make_one_call(cache: Cache, upstream: Upstream) -> None:
    served = await asyncio.gather(*(cache.read(KEY, directives()) for _ in range(100)))
    assert upstream.calls == 1
    assert [one.source for one in served] == [Source.FETCHED] + [Source.COLLAPSED] * 99
    assert len({one.entry for one in served}) == 1


async def test_another_replica_finds_it_in_redis(cache: Cache, late: Replica, upstream: Upstream) -> None:
    await cache.read(KEY, directives())
    await asyncio.sleep(3)
    async with late.running():
        served = await late.cache.read(KEY, directives())
    assert (served.source, (unix_ms() - served.entry.as_of) // 1000) == (Source.REDIS, 3)
    assert upstream.calls == 1


async def test_a_stale_answer_comes_without_waiting_and_is_refreshed_in_the_background(
    cache: Cache, upstream: Upstream
) -> None:
    await cache.read(KEY, directives())
    await asyncio.sleep(20)
    before = asyncio.get_running_loop().time()
    served = await asyncio.gather(*(cache.read(KEY, directives()) for _ in range(10)))
    assert {_amount(one) for one in served} == {"1"}
    assert asyncio.get_running_loop().time() == before
    await asyncio.sleep(1)
    assert _amount(await cache.read(KEY, directives())) == "2"
    assert upstream.calls == 2


async def test_a_stale_answer_from_redis_is_refreshed_in_the_background_too(
    cache: Cache, late: Replica, upstream: Upstream
) -> None:
    await cache.read(KEY, directives())
    await asyncio.sleep(20)
    async with late.running():
        assert _amount(await late.cache.read(KEY, directives())) == "1"
        await asyncio.sleep(1)
        assert _amount(await late.cache.read(KEY, directives())) == "2"


async def test_too_old_an_answer_waits_for_a_fetch(cache: Cache, upstream: Upstream) -> None:
    await cache.read(KEY, directives())
    await asyncio.sleep(36)
    assert _amount(await cache.read(KEY, directives())) == "2"


PASSING = [Unreachable("x"), UpstreamFaulty("x"), UpstreamTimeout("x"), MalformedAnswer("x"), BreakerOpen("x")]
FINAL = [TokenRefused("x"), AccessRefused("x"), MerchantInactive("x")]


@pytest.mark.parametrize("error", PASSING, ids=lambda error: type(error).__name__)
async def test_a_stale_answer_covers_a_failure_and_says_so(
    cache: Cache, upstream: Upstream, error: TallygateError
) -> None:
    await cache.read(KEY, directives())
    upstream.error = error
    await asyncio.sleep(599)
    served = await cache.read(KEY, directives())
    assert (_amount(served), served.covered_error) == ("1", error)
    await asyncio.sleep(2)
    with pytest.raises(type(error)):
        await cache.read(KEY, directives())


async def test_the_error_that_a_stale_answer_replaces_refers_to_none_of_its_owners(
    cache: Cache, upstream: Upstream
) -> None:
    """The garbage collector does not track answers."""
    await cache.read(KEY, directives())
    upstream.seconds, upstream.error = 0.1, Unreachable("x")
    await asyncio.sleep(60)
    for served in (await cache.read(KEY, directives()), *(await cache.read_many([KEY], directives())).values()):
        assert isinstance(served, Served)
        assert isinstance(served.covered_error, Unreachable)
        assert served.covered_error.__traceback__ is None


@pytest.mark.parametrize("error", FINAL, ids=lambda error: type(error).__name__)
async def test_a_refusal_is_never_covered(cache: Cache, upstream: Upstream, error: TallygateError) -> None:
    await cache.read(KEY, directives())
    upstream.error = error
    await asyncio.sleep(60)
    with pytest.raises(type(error)):
        await cache.read(KEY, directives())


@pytest.mark.parametrize("error", FINAL, ids=lambda error: type(error).__name__)
async def test_once_refused_no_stale_answer_hides_it_however_young(
    cache: Cache, upstream: Upstream, error: TallygateError
) -> None:
    await cache.read(KEY, directives())
    upstream.error = error
    await asyncio.sleep(6)
    await cache.read(KEY, directives())  # whose background refresh is refused
    for _ in range(8):
        await asyncio.sleep(1)
        assert cache.read_now(KEY, directives()) is None
        for wanted in (directives(), directives(max_stale_ms=1_000_000)):
            with pytest.raises(type(error)):
                await cache.read(KEY, wanted)
        assert await cache.read_many([KEY], directives()) == {KEY: error}
        with pytest.raises(NotCached):
            await cache.read(KEY, directives(only_if_cached=True))


async def test_what_is_fresh_is_answered_although_a_newer_one_was_refused(cache: Cache, upstream: Upstream) -> None:
    await cache.read(KEY, directives())
    upstream.error = AccessRefused("x")
    with pytest.raises(AccessRefused):
        await cache.read(KEY, directives(no_cache=True))
    assert (await cache.read(KEY, directives())).source is Source.MEMORY


async def test_a_refusal_counts_until_the_upstream_answers_whatever_fails_meanwhile(
    cache: Cache, upstream: Upstream
) -> None:
    await cache.read(KEY, directives())
    await asyncio.sleep(6)
    for error in (MerchantInactive("x"), Unreachable("x"), BreakerOpen("x")):
        upstream.error = error
        with pytest.raises(type(error)):
            await cache.read(KEY, directives(max_age_ms=1))
        with pytest.raises(type(error)):
            await cache.read(KEY, directives())
    upstream.error = None
    assert (await cache.read(KEY, directives())).source is Source.FETCHED
    await asyncio.sleep(6)
    assert (await cache.read(KEY, directives())).is_stale


async def test_while_the_token_is_refused_no_stale_answer_of_any_account_hides_it(
    upstream: Upstream, server: FakeServer
) -> None:
    async with run_replicas(upstream, server, 1) as (replica,):
        await replica.cache.read(KEY, directives())
        replica.is_refused = True
        assert (await replica.cache.read(KEY, directives())).source is Source.MEMORY
        await asyncio.sleep(6)
        upstream.error = BudgetSpent("x")
        with pytest.raises(BudgetSpent):
            await replica.cache.read(KEY, directives())
        upstream.error = None
        assert (await replica.cache.read(KEY, directives())).source is Source.FETCHED


async def test_a_failure_is_gone_for_the_next(cache: Cache, upstream: Upstream) -> None:
    upstream.error = Unreachable("x")
    with pytest.raises(Unreachable):
        await cache.read(KEY, directives())
    upstream.error = None
    assert _amount(await cache.read(KEY, directives())) == "2"


async def test_that_there_is_none_is_remembered_ten_seconds(cache: Cache, upstream: Upstream) -> None:
    upstream.absent = True
    for _ in range(2):
        assert isinstance((await cache.read(KEY, directives())).entry, Absence)
        await asyncio.sleep(9)
    upstream.absent = False
    assert isinstance((await cache.read(KEY, directives())).entry, Snapshot)
    assert upstream.calls == 2


async def test_an_absence_replaces_what_was_known(cache: Cache, late: Replica, upstream: Upstream) -> None:
    await cache.read(KEY, directives())
    upstream.absent = True
    await asyncio.sleep(40)
    await cache.read(KEY, directives())
    upstream.error = Unreachable("x")
    async with late.running():
        assert isinstance((await late.cache.read(KEY, directives())).entry, Absence)


async def test_no_cache_gets_a_fetch_that_began_after_it_came(cache: Cache, upstream: Upstream) -> None:
    first = asyncio.create_task(cache.read(KEY, directives()))
    await asyncio.sleep(0.05)
    later = await asyncio.gather(*(cache.read(KEY, directives(no_cache=True)) for _ in range(10)))
    assert _amount(await first) == "1"
    assert {_amount(one) for one in later} == {"2"}
    assert upstream.calls == 2


async def test_no_cache_is_never_covered(cache: Cache, upstream: Upstream) -> None:
    await cache.read(KEY, directives())
    upstream.error = Unreachable("x")
    with pytest.raises(Unreachable):
        await cache.read(KEY, directives(no_cache=True))


async def test_only_if_cached_never_calls_but_reads_both_tiers(cache: Cache, late: Replica, upstream: Upstream) -> None:
    with pytest.raises(NotCached):
        await cache.read(KEY, directives(only_if_cached=True))
    await cache.read(KEY, directives())
    await asyncio.sleep(0.01)  # until it is stored
    async with late.running():
        assert (await late.cache.read(KEY, directives(only_if_cached=True))).source is Source.REDIS
    assert upstream.calls == 1


async def test_a_stricter_caller_does_not_take_what_a_laxer_one_waited_for(
    cache: Cache, late: Replica, upstream: Upstream
) -> None:
    await cache.read(KEY, directives())
    await asyncio.sleep(3)
    async with late.running():
        lax, strict = await asyncio.gather(
            late.cache.read(KEY, directives()), late.cache.read(KEY, directives(max_age_ms=1000))
        )
    assert (_amount(lax), _amount(strict)) == ("1", "2")


async def test_a_caller_waits_no_longer_than_its_patience_and_the_load_goes_on(
    cache: Cache, upstream: Upstream
) -> None:
    upstream.seconds = 30
    came = monotonic()
    with pytest.raises(DeadlinePassed):
        await cache.read(KEY, directives())
    assert monotonic() - came == pytest.approx(6)
    await asyncio.sleep(24.1)
    assert _amount(await cache.read(KEY, directives())) == "1"
    assert upstream.calls == 1


async def test_a_caller_who_leaves_harms_nobody(cache: Cache, upstream: Upstream) -> None:
    leaving, staying = (asyncio.create_task(cache.read(KEY, directives())) for _ in range(2))
    await asyncio.sleep(0.05)
    leaving.cancel()
    assert _amount(await staying) == "1"


async def test_without_redis_reads_go_on_with_one_call(cache: Cache, upstream: Upstream, server: FakeServer) -> None:
    server.connected = False
    served = await asyncio.gather(*(cache.read(KEY, directives()) for _ in range(10)))
    assert {_amount(one) for one in served} == {"1"}
    await asyncio.sleep(60)
    assert _amount(await cache.read(KEY, directives())) == "2"


async def test_accounts_are_kept_apart(cache: Cache, upstream: Upstream) -> None:
    one, other = await asyncio.gather(cache.read(KEY, directives()), cache.read(AccountId("2"), directives()))
    assert (one.entry.account_id, other.entry.account_id) == (KEY, "2")
    assert upstream.calls == 2


async def test_closing_leaves_no_task(cache: Cache, upstream: Upstream) -> None:
    await cache.read(KEY, directives())
    await asyncio.sleep(20)
    await cache.read(KEY, directives())
    assert _loads_under_way() == {f"flight:{KEY}"}
    await cache.close()
    assert _loads_under_way() == set()


def _loads_under_way() -> set[str]:
    return {task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("flight")}
