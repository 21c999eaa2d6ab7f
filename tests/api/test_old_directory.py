"""What is said of all merchants while the list of them is old: not that it is all, and since when the list stands."""

import csv
from collections.abc import AsyncIterator
from typing import Any

import pytest
from httpx import Response

from app.access.callers import Caller, hash_key
from app.api.views.accounts import format_time
from app.balances.merchants import Directory
from app.balances.snapshots import AccountId
from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.errors import assert_problem
from tests.support.polling import ask_until
from tests.support.reconciling import reconcile
from tests.support.seeded_redis import store_directory
from tests.support.service import KEYS, Service, run_service

MERCHANTS = "/v1/merchants"
BREAKDOWN = "/v1/portfolio/merchants"
HOLDERS = "/v1/portfolio/assets/USDT"
TIMES: dict[str, Any] = {"fresh_seconds": 500, "stale_while_revalidate_seconds": 3000}

KEYS |= {"pair": "tg_pair"}
PAIR = Caller("pair", hash_key("tg_pair"), frozenset({AccountId("10001"), AccountId("10002")}), portfolio=True)


@pytest.fixture
async def world() -> AsyncIterator[Sandbox]:
    async with Sandbox(scenario="random", merchants=8, seed=5, token="canary-token-3d1f") as upstream:
        yield upstream


@pytest.fixture
async def dated(world: Sandbox, valkey: EmbeddedValkey) -> AsyncIterator[Service]:
    """A service that knows a list of an hour ago, and gets no other."""
    async with run_service(world, valkey.url, more=[PAIR], **TIMES) as service:
        with world.fault("code", code=-4010, paths=["/v2/merchants"]):
            yield service


@pytest.fixture
async def old(dated: Service) -> Directory:
    """The list, in which the newest merchant is not."""
    return await store_directory(dated, dated.upstream.world.merchant_ids[:-1], age_seconds=3600)


@pytest.mark.parametrize(("path", "total"), [(BREAKDOWN, "totals"), (HOLDERS, "total")])
async def test_a_sum_over_an_old_list_does_not_pass_for_the_whole(
    dated: Service, old: Directory, path: str, total: str
) -> None:
    body = (await dated.get(path)).json()
    assert (body["complete"], body["coverage"]["expected"], body["coverage"]["unavailable"]) == (False, 7, 0)
    assert (body["directoryAsOf"], body["directoryStale"]) == (format_time(old.as_of), True)
    assert ({total, f"partial{total.capitalize()}"} & body.keys()) == {f"partial{total.capitalize()}"}
    assert body.get("noShares", "incomplete") == "incomplete"


async def test_the_list_itself_says_that_it_is_old(dated: Service, old: Directory) -> None:
    response = await dated.get(MERCHANTS)
    body = response.json()
    assert (body["directoryAsOf"], body["directoryStale"], len(body["merchants"])) == (format_time(old.as_of), True, 7)
    assert int(response.headers["age"]) >= 3600


async def test_that_nobody_lists_an_asset_is_not_known_from_an_old_list(dated: Service, old: Directory) -> None:
    body = (await dated.get("/v1/portfolio/assets/NOPE")).json()
    assert (body["holders"], body["complete"]) == ([], False)
    assert (await dated.get(f"{BREAKDOWN}?sort=NOPE")).status_code == 200


@pytest.mark.parametrize("path", [BREAKDOWN, HOLDERS])
async def test_tables_say_it_too(dated: Service, old: Directory, path: str) -> None:
    *_, total = csv.DictReader((await dated.get(f"{path}?format=csv")).text.splitlines())
    assert (total["row"], total["unavailable"], total["directoryAsOf"]) == (
        *("partial-total", "0", format_time(old.as_of)),
    )
    for one in (path, MERCHANTS):
        text = (await dated.get(f"{one}?format=text")).text
        assert f"the directory is as of {format_time(old.as_of)}, and is stale: merchants may be missing" in text


async def test_who_may_read_some_has_them_all_however_old_the_list(dated: Service, old: Directory) -> None:
    body = (await dated.get(BREAKDOWN, "pair")).json()
    assert (body["complete"], "totals" in body, "directoryAsOf" in body) == (True, True, False)
    assert (await dated.get(MERCHANTS, "pair")).json()["directoryStale"]


async def test_no_reconciliation_rests_on_an_old_list(dated: Service, old: Directory) -> None:
    job = await reconcile(dated)
    assert (job["state"], "verdicts" in job, bool(job["detail"])) == ("failed", False, True)


async def with_both(dated: Service, url: str, path: str, *, age_seconds: float) -> tuple[Response, Response]:
    """Answer with a list of so long ago, then with one of a minute ago that names the same merchants."""
    await store_directory(dated, dated.upstream.world.merchant_ids, age_seconds=age_seconds)
    before = await dated.get(path)
    await store_directory(dated, dated.upstream.world.merchant_ids, age_seconds=60)
    async with run_service(dated.upstream, url, flush=False, **TIMES) as other:
        after = await other.get(path)
    assert before.json()["directoryAsOf"] < after.json()["directoryAsOf"]
    return before, after


@pytest.mark.parametrize("path", [BREAKDOWN, HOLDERS, MERCHANTS])
async def test_the_same_rows_have_another_tag_once_the_list_is_of_now(
    dated: Service, valkey: EmbeddedValkey, path: str
) -> None:
    before, after = await with_both(dated, valkey.url, path, age_seconds=3600)
    assert before.headers["etag"] != after.headers["etag"]
    assert after.json().get("complete", True)
    assert "directoryStale" not in after.json()
    assert after.json().get("version") != before.json().get("version", "")


@pytest.mark.parametrize("path", [BREAKDOWN, HOLDERS, MERCHANTS])
async def test_the_tag_stays_when_a_newer_list_names_the_same(
    dated: Service, valkey: EmbeddedValkey, path: str
) -> None:
    before, after = await with_both(dated, valkey.url, path, age_seconds=100)
    assert before.headers["etag"] == after.headers["etag"]


async def test_merchants_that_are_set_have_no_age(world: Sandbox, valkey: EmbeddedValkey) -> None:
    async with run_service(world, valkey.url, merchants="10001,10002") as service:
        response = await service.get(MERCHANTS)
        assert "age" not in response.headers
        for body in (response.json(), (await service.get(BREAKDOWN)).json()):
            assert not {"directoryAsOf", "directoryStale"} & body.keys()


async def test_an_order_by_an_asset_that_nobody_lists_is_said_to_be_none(
    world: Sandbox, valkey: EmbeddedValkey
) -> None:
    async with run_service(world, valkey.url) as service:
        for sort in ("NOPE", "-NOPE", "usdt"):
            assert_problem(await service.get(f"{BREAKDOWN}?sort={sort}"), "unknown-asset")
        assert (await service.get(f"{BREAKDOWN}?sort=USDT")).status_code == 200


async def test_a_merchant_that_came_is_listed_once_the_list_was_refreshed_behind(
    world: Sandbox, valkey: EmbeddedValkey
) -> None:
    async with run_service(world, valkey.url, directory_refresh_seconds=1) as service:
        assert len((await service.get(MERCHANTS)).json()["merchants"]) == 8
        world.world.set(99999, ())
        listed = await ask_until(lambda: service.get(MERCHANTS), lambda answer: "99999" in answer.text)
    assert len(listed.json()["merchants"]) == 9
