"""Views of all merchants while they are swept: what is known at once, what is not yet, and when it will be."""

from typing import Any

import pytest

from app.access.callers import Caller, hash_key
from app.balances.snapshots import AccountId
from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.polling import ask_until
from tests.support.service import Service, run_service

PATH = "/v1/portfolio/merchants"
HOLDERS = "/v1/portfolio/assets/USDT"
COUNT = 200
RATE = 40
"""With this rate, so many merchants cannot come within the patience of a view."""


def problems(body: dict[str, Any]) -> set[str]:
    """Name the problems of the parts."""
    return {part["problem"]["type"].rpartition("/")[2] for part in body["merchants"] if "problem" in part}


async def ask(service: Service, path: str = f"{PATH}?limit=1000", **headers: str) -> dict[str, Any]:
    body: dict[str, Any] = (await service.get(path, **headers)).json()
    return body


async def get_whole(service: Service, path: str = f"{PATH}?limit=1000", **headers: str) -> dict[str, Any]:
    """Ask until every merchant is known."""
    return await ask_until(lambda: ask(service, path, **headers), lambda body: body["complete"])


@pytest.fixture
async def upstream() -> Any:
    async with Sandbox(merchants=COUNT, token="canary-token-3d1f") as sandbox:
        yield sandbox


async def test_what_is_not_known_is_not_waited_for_and_has_the_time_at_which_it_comes(
    upstream: Sandbox, valkey: EmbeddedValkey
) -> None:
    async with run_service(upstream, valkey.url, upstream_rate=RATE) as service:
        response = await service.get(f"{PATH}?limit=1000&sort=id")
        assert upstream.counters.balance_calls < COUNT / 2
        body = response.json()
        assert body["complete"] is False
        assert problems(body) == {"not-known-yet"}
        waits = [part["problem"]["retryAfter"] for part in body["merchants"] if "problem" in part]
        assert waits == sorted(waits)
        assert waits[-1] == COUNT / RATE
        assert body["sweep"] == {"state": "running", "secondsToWhole": 5, "secondsToRound": 5}
        assert response.headers["Sweep"] == "running; whole=5; round=5"
        text = (await service.get(f"{PATH}?format=text")).text
        assert "the sweep is running: every merchant is known in" in text.splitlines()[-1]


async def test_the_whole_gets_whole_though_nobody_waits_for_it(upstream: Sandbox, valkey: EmbeddedValkey) -> None:
    async with run_service(upstream, valkey.url, upstream_rate=RATE) as service:
        await ask(service)
        body = await get_whole(service)
        assert body["coverage"]["fresh"] + body["coverage"]["stale"] == COUNT
        assert body["sweep"]["secondsToWhole"] == 0
        assert COUNT <= upstream.counters.balance_calls <= 1.25 * COUNT
        holders = await ask(service, HOLDERS)
        assert (holders["complete"], holders["sweep"]["state"]) == (True, "running")


async def test_stale_parts_count_in_the_totals_and_are_marked(upstream: Sandbox, valkey: EmbeddedValkey) -> None:
    settings: dict[str, Any] = {"upstream_rate": RATE, "fresh_seconds": 1, "stale_while_revalidate_seconds": 0}
    async with run_service(upstream, valkey.url, **settings) as service:
        body = await get_whole(service)
        assert body["coverage"]["stale"] > COUNT / 2
        assert body["coverage"]["unavailable"] == 0
        assert "totals" in body
        assert {part["status"] for part in body["merchants"]} == {"fresh", "stale"}


async def test_parts_older_than_accepted_are_too_old(upstream: Sandbox, valkey: EmbeddedValkey) -> None:
    async with run_service(upstream, valkey.url, upstream_rate=RATE, fresh_seconds=1) as service:
        await get_whole(service)
        body = await ask(service, Cache_Control="max-age=1")
        assert problems(body) == {"too-old"}
        assert all(part["problem"]["retryAfter"] >= 1 for part in body["merchants"] if "problem" in part)
        assert "partialTotals" in body


async def test_only_if_cached_and_no_cache_mean_what_they_always_did(upstream: Sandbox, valkey: EmbeddedValkey) -> None:
    async with run_service(upstream, valkey.url, upstream_rate=RATE) as service:
        assert problems(await ask(service, Cache_Control="only-if-cached")) == {"not-cached"}
        await get_whole(service)
        calls = upstream.counters.balance_calls
        body = await ask(service, Cache_Control="no-cache")
        assert upstream.counters.balance_calls > calls
        assert problems(body) <= {"deadline-passed", "budget-spent"}


async def test_parts_older_than_the_portfolio_s_limit_are_unavailable(
    upstream: Sandbox, valkey: EmbeddedValkey
) -> None:
    settings: dict[str, Any] = {"upstream_rate": RATE, "fresh_seconds": 1, "portfolio_stale_seconds": 2}
    async with run_service(upstream, valkey.url, **settings) as service:
        body = await ask_until(lambda: ask(service), lambda body: "too-old" in problems(body))
        assert body["sweep"]["state"] == "starved"


async def test_a_refusal_is_not_hidden_by_what_is_stale(upstream: Sandbox, valkey: EmbeddedValkey) -> None:
    async with run_service(upstream, valkey.url, upstream_rate=RATE, fresh_seconds=1) as service:
        await get_whole(service)
        upstream.add_fault("token-expired")
        body = await ask_until(lambda: ask(service), lambda body: "token-refused" in problems(body))
        await ask_until(lambda: ask(service), lambda body: body["coverage"]["stale"] == 0)
        assert problems(body) == {"token-refused"}


async def test_the_sweep_goes_on_after_an_outage_though_nobody_else_calls(
    upstream: Sandbox, valkey: EmbeddedValkey
) -> None:
    async with run_service(upstream, valkey.url, upstream_rate=RATE) as service:
        await ask(service)
        upstream.add_fault("status", status=503)
        await ask_until(
            lambda: service.get("/metrics"), lambda page: "\ntallygate_upstream_breaker_open 1" in page.text
        )
        await upstream.calls(upstream.counters.balance_calls + 2)
        upstream.clear_faults()
        await get_whole(service)


async def test_who_may_read_some_merchants_learns_nothing_of_the_others(
    upstream: Sandbox, valkey: EmbeddedValkey
) -> None:
    few = Caller("few", hash_key("tg_few"), frozenset({AccountId("10001")}), portfolio=True)
    async with run_service(upstream, valkey.url, more=[few], upstream_rate=RATE) as service:
        response = await service.anonymous.get(PATH, headers={"Authorization": "Bearer tg_few"})
        assert "sweep" not in response.json()
        assert "Sweep" not in response.headers
        assert upstream.counters.balance_calls == 1
        assert "running" not in (await service.anonymous.get("/metrics")).text.split("tallygate_sweep_state", 1)[0]


async def test_without_demand_a_view_fetches_what_it_can_as_ever(upstream: Sandbox, valkey: EmbeddedValkey) -> None:
    async with run_service(upstream, valkey.url, portfolio_demand_seconds="0") as service:
        body = await ask(service)
        assert body["complete"] is True
        assert body["sweep"]["state"] == "idle"
        assert upstream.counters.balance_calls == COUNT


async def test_the_tag_stays_while_balances_do_though_the_sweep_goes_on(
    upstream: Sandbox, valkey: EmbeddedValkey
) -> None:
    async with run_service(upstream, valkey.url, upstream_rate=1000, fresh_seconds=300) as service:
        first = await service.get(PATH)
        again = await service.get(PATH, If_None_Match=first.headers["ETag"])
        assert again.status_code == 304
        assert again.headers["Sweep"].startswith("running")
        page = await service.get(f"{PATH}?limit=100&after={first.json()['next']}")
        assert page.json()["sweep"]["state"] == "running"


async def test_a_refusal_that_another_replica_met_is_not_hidden_either(
    upstream: Sandbox, valkey: EmbeddedValkey
) -> None:
    async with (
        run_service(upstream, valkey.url, upstream_rate=RATE, fresh_seconds=1) as sweeping,
        run_service(upstream, valkey.url, flush=False, upstream_rate=RATE, fresh_seconds=1) as other,
    ):
        await get_whole(sweeping)
        await get_whole(other)
        upstream.add_fault("token-expired")
        body = await ask_until(lambda: ask(other), lambda body: "token-refused" in problems(body))
        assert body["coverage"]["stale"] == 0
