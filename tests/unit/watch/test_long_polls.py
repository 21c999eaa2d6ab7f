"""Long polls in virtual time: a read that found what its caller knows waits until the content differs."""

import asyncio

import httpx
import pytest
from msgspec.structs import replace

from app.balances.snapshots import AccountId
from app.errors import Unreachable
from tests.support.live import ALL, LONG_DRAIN, SOME, LiveReplica, run_live
from tests.support.raw_asgi import ask_app
from tests.support.replica import Upstream
from tests.support.streams import open_stream
from tests.support.virtual_time import monotonic
from tests.unit.watch.test_streams import key, steady

VIEWS = (
    "/v1/merchants/1/balances",
    "/v1/merchants/1/balances/USDT",
    "/v1/merchants/1/balances?format=csv",
    "/v2/assets/account/assets?merchantId=1",
    "/v1/balances?merchantId=1,2",
    "/v1/balances?merchantId=1,2&assets=USDT",
)


async def ask(
    live: LiveReplica, path: str, etag: str | None = None, prefer: str | None = None, name: str = "all"
) -> httpx.Response:
    headers = [*key(name)]
    headers += [] if etag is None else [(b"if-none-match", etag.encode())]
    headers += [] if prefer is None else [(b"prefer", prefer.encode())]
    return await ask_app(live.app, path, headers=headers)


@pytest.mark.parametrize("path", VIEWS)
async def test_a_read_waits_until_the_content_differs(upstream: Upstream, path: str) -> None:
    steady(upstream, m1="1", m2="2")
    async with run_live(upstream) as (live,):
        etag = (await ask(live, path)).headers["etag"]
        began = monotonic()
        waiting = asyncio.create_task(ask(live, path, etag, "wait=20"))
        await asyncio.sleep(6)
        assert not waiting.done()
        steady(upstream, m1="7")
        answer = await waiting
        assert (answer.status_code, answer.headers["preference-applied"]) == (200, "wait=20")
        assert 6 < monotonic() - began < 12
        assert "7" in answer.text
        assert len(live.demand) == 0


@pytest.mark.parametrize("path", VIEWS)
async def test_it_gets_a_304_with_a_right_age_when_its_time_is_up(upstream: Upstream, path: str) -> None:
    steady(upstream, m1="1", m2="2")
    async with run_live(upstream) as (live,):
        etag = (await ask(live, path)).headers["etag"]
        began = monotonic()
        answer = await ask(live, path, etag, "wait=20")
        assert (answer.status_code, answer.headers["preference-applied"]) == (304, "wait=20")
        assert monotonic() - began == pytest.approx(20, abs=0.3)
        assert int(answer.headers["age"]) <= 5
        assert live.metrics.watch.long_polls.counts[("unchanged",)] == 1
        assert sum(series[-1] for series in live.metrics.request_seconds.series.values()) < 5


async def test_another_content_than_the_caller_knows_is_answered_now(upstream: Upstream) -> None:
    async with run_live(upstream) as (live,):
        began = monotonic()
        answer = await ask(live, VIEWS[0], 'W/"other"', "wait=20")
        assert (answer.status_code, answer.headers["preference-applied"]) == (200, "wait=20")
        assert monotonic() - began < 1


@pytest.mark.parametrize("prefer", ["wait=0", "wait=-1", "wait=x", "return=minimal", "wait", ""])
async def test_what_is_no_wait_is_ignored(upstream: Upstream, prefer: str) -> None:
    steady(upstream, m1="1")
    async with run_live(upstream) as (live,):
        etag = (await ask(live, VIEWS[0])).headers["etag"]
        began = monotonic()
        answer = await ask(live, VIEWS[0], etag, prefer)
        assert (answer.status_code, monotonic() - began < 1) == (304, True)
        assert "preference-applied" not in answer.headers


async def test_the_longest_wait_is_twenty_five_seconds(upstream: Upstream) -> None:
    steady(upstream, m1="1")
    async with run_live(upstream) as (live,):
        etag = (await ask(live, VIEWS[0])).headers["etag"]
        began = monotonic()
        answer = await ask(live, VIEWS[0], etag, "respond-async, wait=600")
        assert (answer.status_code, answer.headers["preference-applied"]) == (304, "wait=25")
        assert monotonic() - began == pytest.approx(25, abs=0.3)


async def test_a_drain_ends_each_wait_early(upstream: Upstream) -> None:
    steady(upstream, m1="1")
    async with run_live(upstream) as (live,):
        etag = (await ask(live, VIEWS[0])).headers["etag"]
        waiting = asyncio.create_task(ask(live, VIEWS[0], etag, "wait=20"))
        await asyncio.sleep(1)
        began = monotonic()
        live.drain.begin()
        assert (await waiting).status_code == 304
        assert monotonic() - began < LONG_DRAIN
        assert live.metrics.watch.long_polls.counts[("draining",)] == 1


@pytest.mark.parametrize("path", VIEWS)
async def test_who_may_read_it_no_longer_gets_nothing_of_what_came_meanwhile(upstream: Upstream, path: str) -> None:
    steady(upstream, m1="1", m2="2")
    fewer = [ALL, replace(SOME, merchants=frozenset({AccountId("2")}))]
    for callers, status in ((fewer, 403), ([ALL], 401)):
        async with run_live(upstream) as (live,):
            etag = (await ask(live, path, name="some")).headers["etag"]
            waiting = asyncio.create_task(ask(live, path, etag, "wait=20", name="some"))
            await asyncio.sleep(1)
            live.callers.replace_all(callers)
            steady(upstream, m1="31337")
            answer = await waiting
            assert (answer.status_code, "31337" in answer.text) == (status, False)


@pytest.mark.parametrize("account_ids", [["1", "2"], ["1"], None])
async def test_looks_that_find_the_same_content_wake_no_wait(
    upstream: Upstream, account_ids: list[AccountId] | None
) -> None:
    looks = list[float]()

    async def look() -> str:
        looks.append(monotonic())
        return "known"

    steady(upstream, m1="1", m2="2")
    async with run_live(upstream, merchants=["1", "2"]) as (live,):
        for path in ("/v1/merchants/1/balances", "/v1/merchants/2/balances"):
            await ask(live, path)
        async with open_stream(live.app, "/v1/watch?merchantId=1,2&within=5", key("all")):
            calls, began = upstream.calls, monotonic()
            waiting = asyncio.create_task(live.polls.wait(account_ids, 20, look, "known", lambda _: True))
            await asyncio.sleep(12)
            assert (upstream.calls - calls > 3, looks) == (True, [])
            steady(upstream, m1="7")
            await waiting
            assert [round(one - began) for one in looks][1:] == [20]
            assert 12 < looks[0] - began < 19


async def test_an_account_that_is_withdrawn_or_fails_wakes_no_wait(upstream: Upstream) -> None:
    steady(upstream, m1="1", m2="2")
    async with run_live(upstream) as (live,):
        etag = (await ask(live, VIEWS[0])).headers["etag"]
        began = monotonic()
        waiting = asyncio.create_task(ask(live, VIEWS[0], etag, "wait=20"))
        await asyncio.sleep(3)
        live.replica.memory.forget(AccountId("1"))
        upstream.crashes[AccountId("1")] = Unreachable("It is away.")
        await asyncio.sleep(10)
        upstream.crashes.clear()
        assert ((await waiting).status_code, round(monotonic() - began)) == (304, 20)
