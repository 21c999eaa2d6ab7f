"""Reconciliation as callers ask for it, against the simulated upstream."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from app.access.callers import Caller, hash_key
from app.balances.snapshots import AccountId
from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from sandbox.disagreement import NONE, Disagreement
from sandbox.messages import Request
from tests.support.errors import assert_problem
from tests.support.polling import ask_until
from tests.support.reconciling import PATH, reconcile
from tests.support.rows import row
from tests.support.service import KEYS, Service, run_service

UNIT = "0.000000000000000001"

KEYS |= {"few": "tg_few"}
MORE = (Caller("few", hash_key("tg_few"), frozenset({AccountId("10001")}), portfolio=True),)


@pytest.fixture(scope="module")
async def world(valkey: EmbeddedValkey, plain: bool) -> AsyncIterator[Service]:
    upstream = Sandbox(scenario="random", merchants=30, seed=11, token="canary-token-3d1f")
    async with upstream, run_service(upstream, valkey.url, more=MORE) as running:
        yield running


async def test_before_the_first_there_is_no_result_and_the_hint_says_how_to_get_one(service: Service) -> None:
    response = await service.get(PATH)
    assert_problem(response, "no-reconciliation", instance=PATH)
    assert "POST" in response.json()["detail"]


@pytest.mark.parametrize("run", range(20))
async def test_a_quiet_world_matches(world: Service, run: int) -> None:
    job = await reconcile(world)
    assert (job["state"], job["expected"], job["missing"]) == ("done", 30, 0)
    assert set(job["verdicts"]) == {"match"}
    assert all(asset["aggregate"] == asset["sum"] for asset in job["assets"])
    last = await world.get(PATH)
    assert last.json() == job
    assert (await world.get(PATH, if_none_match=last.headers["etag"])).status_code == 304


@pytest.mark.parametrize("run", range(20))
async def test_a_planted_unit_in_the_eighteenth_decimal_is_a_mismatch(world: Service, run: int) -> None:
    world.upstream.world.disturb("BRL1", Decimal(UNIT))
    try:
        job = await reconcile(world)
    finally:
        world.upstream.world.disturb("BRL1", Decimal(0))
    assert job["verdicts"] == {"match": len(job["assets"]) - 1, "mismatch": 1}
    (asset,) = [asset for asset in job["assets"] if asset["verdict"] == "mismatch"]
    assert (asset["assetId"], asset["difference"]) == ("BRL1", {"total": UNIT, "free": UNIT, "locked": "0"})


@pytest.mark.parametrize("run", range(20))
async def test_balances_that_move_meanwhile_are_moving_and_never_a_mismatch(world: Service, run: int) -> None:
    def move(_: Request) -> None:
        """Move every merchant between any two answers, however slow or fast the machine is."""
        for merchant in world.upstream.world.merchant_ids:
            world.upstream.world.move(merchant)

    with world.upstream.before_each_answer(move):
        job = await reconcile(world)
    assert set(job["verdicts"]) == {"moving"}


ONE = {"total": "1", "free": "1", "locked": "0"}


@pytest.mark.parametrize(
    ("how", "odd"),
    [
        (Disagreement(missing=frozenset({"BRL1"})), {"assetId": "BRL1", "verdict": "mismatch"}),
        (Disagreement(extra=({**row("1", "1", asset="XAUT")},)), {"assetId": "XAUT", "aggregate": ONE}),
        (Disagreement(can_deposit=False), None),
        (Disagreement(renamed={"BTC": "Bit", "USDT": "Tether"}), None),
        (Disagreement(order="reversed"), None),
        (Disagreement(order="by-name"), None),
    ],
    ids=str,
)
async def test_an_aggregate_that_disagrees_is_compared_and_the_result_is_read_again(
    world: Service, how: Disagreement, odd: dict[str, Any] | None
) -> None:
    world.upstream.world.disagree(how)
    try:
        job = await reconcile(world)
    finally:
        world.upstream.world.disagree(NONE)
    last = await world.get(PATH)
    assert (last.status_code, last.json()) == (200, job)
    assert (job["state"], set(job["verdicts"])) == ("done", {"match"} if odd is None else {"match", "mismatch"})
    if odd is not None:
        (asset,) = [asset for asset in job["assets"] if asset["verdict"] == "mismatch"]
        assert asset | odd == asset
        assert {"aggregate", "sum"} - set(asset) == {"aggregate" if "BRL1" in how.missing else "sum"}


async def test_a_merchant_that_lists_an_asset_alone_matches(world: Service) -> None:
    world.upstream.world.set(777, [row("1", "1", asset="ibc/1")])
    try:
        job = await reconcile(world)
    finally:
        world.upstream.world.delete(777)
    assert set(job["verdicts"]) == {"match"}


async def test_a_missing_merchant_makes_it_incomplete_and_no_sum_passes_for_the_whole(world: Service) -> None:
    with world.upstream.fault("code", code=-5043, merchants=[10001]):
        job = await reconcile(world)
    assert (set(job["verdicts"]), job["missing"], job["missingMerchants"]) == ({"incomplete"}, 1, [10001])
    assert not any({"sum", "difference"} & set(asset) for asset in job["assets"])


async def test_it_shows_every_merchant_and_so_is_for_callers_who_may_read_all(world: Service) -> None:
    for caller in ("few", "some"):
        for path in (PATH, "/v1/portfolio/reconciliations/x"):
            assert_problem(await world.get(path, caller), "forbidden")
        headers = {"Authorization": f"Bearer {KEYS[caller]}"}
        assert_problem(await world.anonymous.post(PATH, headers=headers), "forbidden")


async def test_an_id_that_there_is_not_is_unknown(world: Service) -> None:
    assert_problem(await world.get("/v1/portfolio/reconciliations/x"), "unknown-reconciliation")


async def test_what_shutdown_breaks_off_is_not_started_again(valkey: EmbeddedValkey) -> None:
    """The end breaks off a reconciliation's wait for another replica's fetch while Redis still keeps it from being over."""
    upstream = Sandbox(scenario="random", merchants=2, seed=11, token="canary-token-3d1f")
    async with upstream, run_service(upstream, valkey.url) as other:
        with upstream.fault("hang", merchants=upstream.world.merchant_ids):
            theirs = asyncio.create_task(other.get("/v1/merchants/10001/balances"))
            await upstream.calls(1)
            async with run_service(
                upstream, valkey.url, flush=False, upstream_concurrency=4, redis_timeout_seconds=0.2
            ) as service:
                ours = asyncio.create_task(service.get("/v1/merchants/10002/balances"))
                await upstream.calls(2)
                assert (await service.client.post(PATH)).status_code == 202
                await upstream.calls(3)
                await ask_until(name_loads, lambda names: names.count("flight:10001") == 2)
                await other.redis.client_pause(10_000, all=False)
            await other.redis.client_unpause()
            assert await name_loads() == ["flight:10001"]
            assert upstream.counters.balance_calls == 3
    await asyncio.gather(theirs, ours, return_exceptions=True)


async def name_loads() -> list[str]:
    """Name the fetches that are under way in this process."""
    return [name for task in asyncio.all_tasks() if (name := task.get_name()).startswith("flight:")]
