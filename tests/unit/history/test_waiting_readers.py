"""Readers of the feed that wait, in virtual time: they are judged again before they are answered."""

import asyncio
from collections.abc import Callable, Collection

import httpx
import pytest
from msgspec.structs import replace

from app.access.callers import Caller
from app.access.validity import Validity
from app.balances.snapshots import AccountId
from tests.support.cuts import HISTORY
from tests.support.live import ALL, SOME, LiveReplica, run_live
from tests.support.raw_asgi import ask_app
from tests.support.replica import Upstream
from tests.support.virtual_time import monotonic, unix_ms
from tests.unit.watch.test_streams import key, steady

FEEDS = ("/v1/changes?merchantId=1,2", "/v1/changes?merchantId=all")
FEWER = replace(SOME, merchants=frozenset({AccountId("2")}))


async def ask(live: LiveReplica, path: str, *, wait: int = 0) -> httpx.Response:
    prefer = ((b"prefer", f"wait={wait}".encode()),) if wait else ()
    return await ask_app(live.app, path, headers=(*key("some"), *prefer))


async def look(live: LiveReplica, merchant: str) -> None:
    headers = (*key("all"), (b"cache-control", b"no-cache"))
    assert (await ask_app(live.app, f"/v1/merchants/{merchant}/balances", headers=headers)).status_code == 200


@pytest.mark.parametrize(("path", "moves"), list(zip(FEEDS, (True, False), strict=True)))
@pytest.mark.parametrize(
    ("callers", "status"),
    [
        (lambda: [ALL, FEWER], 403),
        (lambda: [ALL], 401),
        (lambda: [ALL, replace(SOME, validity=Validity(until=unix_ms() + 1000))], 401),
    ],
)
async def test_who_may_read_it_no_longer_gets_no_change_and_no_cursor(
    upstream: Upstream, path: str, moves: bool, callers: Callable[[], Collection[Caller]], status: int
) -> None:
    steady(upstream, m1="1", m2="2")
    async with run_live(upstream, history=HISTORY) as (live,):
        await look(live, "1")
        begun = (await ask(live, path)).json()
        waiting = asyncio.create_task(ask(live, f"{path}&after={begun['next']}", wait=20))
        await asyncio.sleep(1)
        live.callers.replace_all(callers())
        await asyncio.sleep(2)
        if moves:
            steady(upstream, m1="31337")
            await look(live, "1")
        answer = await waiting
        assert (answer.status_code, "31337" in answer.text, "next" in answer.text) == (status, False, False)


async def test_who_may_still_read_it_is_answered_and_its_wait_is_no_slowness(upstream: Upstream) -> None:
    steady(upstream, m1="1", m2="2")
    async with run_live(upstream, history=HISTORY) as (live,):
        await look(live, "1")
        for path in FEEDS:
            begun = (await ask(live, path)).json()
            live.callers.replace_all([ALL, replace(SOME, rate=5.0)])
            began = monotonic()
            answer = await ask(live, f"{path}&after={begun['next']}", wait=20)
            assert (answer.status_code, answer.json()["changes"]) == (200, [])
            assert answer.headers["preference-applied"] == "wait=20"
            assert monotonic() - began == pytest.approx(20, abs=0.3)
        assert sum(series[-1] for series in live.metrics.request_seconds.series.values()) < 5
