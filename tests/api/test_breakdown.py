"""The breakdown and the holders: every merchant, exact totals, pages of one moment, and nobody else's merchants."""

from collections.abc import AsyncIterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from app.access.callers import Caller, hash_key
from app.balances.snapshots import AccountId
from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.amounts import as_units
from tests.support.errors import assert_problem
from tests.support.rows import row
from tests.support.service import KEYS, Service, run_service

PATH = "/v1/portfolio/merchants"
COUNT = 120

KEYS |= {"few": "tg_few", "none": "tg_none"}
MORE = (
    Caller(
        "few", hash_key("tg_few"), frozenset({AccountId("10001"), AccountId("10002"), AccountId("999")}), portfolio=True
    ),
    Caller("none", hash_key("tg_none"), "all"),
)


@pytest.fixture(scope="module")
async def many(valkey: EmbeddedValkey, plain: bool) -> AsyncIterator[Service]:
    """A service in front of a random world; its times are long, so that a slow test run changes no result."""
    times: dict[str, Any] = {
        "fresh_seconds": 500,
        "stale_while_revalidate_seconds": 3000,
        "stale_if_error_seconds": 60_000,
    }
    upstream = Sandbox(scenario="random", merchants=COUNT, seed=7, token="canary-token-3d1f")
    async with upstream, run_service(upstream, valkey.url, more=MORE, upstream_concurrency=64, **times) as running:
        yield running


async def pages(service: Service, path: str, caller: str = "all", limit: int = 25) -> list[dict[str, Any]]:
    response = await service.get(f"{path}{'&' if '?' in path else '?'}limit={limit}", caller)
    found = [response.json()]
    while after := found[-1].get("next"):
        response = await service.get(f"{path.partition('?')[0]}?limit={limit}&after={after}", caller)
        assert response.status_code == 200, response.text
        found.append(response.json())
    return found


def true_sums(service: Service, merchants: list[int]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for merchant in merchants:
        account = service.upstream.world.account(merchant)
        for one in account.balances if account else ():
            units = as_units(f"{Decimal(str(one['total'])):f}")
            sums[str(one["assetId"])] = sums.get(str(one["assetId"]), 0) + units
    return sums


async def test_every_merchant_is_there_and_the_totals_are_exact(many: Service) -> None:
    body = (await many.get(f"{PATH}?limit=1000&sort=id", cache_control="no-cache")).json()
    world = many.upstream.world
    assert [part["merchantId"] for part in body["merchants"]] == world.merchant_ids
    assert (body["complete"], body["coverage"]) == (
        True,
        {"expected": COUNT, "fresh": COUNT, "stale": 0, "unavailable": 0},
    )
    assert {total["assetId"]: as_units(total["total"]) for total in body["totals"]} == true_sums(
        many, world.merchant_ids
    )
    assert body["oldestAsOf"] <= body["newestAsOf"]
    assert "partialTotals" not in body


async def test_pages_are_of_one_moment_while_balances_move(many: Service) -> None:
    first = (await many.get(f"{PATH}?limit=50&sort=-USDT")).json()
    for merchant in many.upstream.world.merchant_ids[:40]:
        many.upstream.world.move(merchant)
    await many.get(PATH, cache_control="no-cache")
    found = [first]
    while after := found[-1].get("next"):
        found.append((await many.get(f"{PATH}?limit=50&after={after}")).json())
    assert {page["version"] for page in found} == {first["version"]}
    merchants = [part for page in found for part in page["merchants"]]
    assert len({part["merchantId"] for part in merchants}) == len(merchants) == COUNT
    sums: dict[str, int] = {}
    for part in merchants:
        for one in part["balances"]:
            sums[one["assetId"]] = sums.get(one["assetId"], 0) + as_units(one["total"])
    assert {total["assetId"]: as_units(total["total"]) for total in first["totals"]} == sums
    assert all(page["totals"] == first["totals"] for page in found)


async def test_rows_carry_the_names_that_the_directory_has_on_every_page(many: Service) -> None:
    names = {
        one["merchantId"]: one["merchantName"]
        for one in (await many.get("/v1/merchants?limit=1000")).json()["merchants"]
    }
    for path, items in ((PATH, "merchants"), ("/v1/portfolio/assets/USDT", "holders")):
        found = [one for page in await pages(many, path) for one in page[items]]
        assert all(one["merchantName"] == names[one["merchantId"]] for one in found)
        assert list(found[0])[:3] == ["merchantId", "merchantName", "status"]


async def test_a_page_is_found_at_a_replica_that_did_not_make_the_view(many: Service, valkey: EmbeddedValkey) -> None:
    whole = [part for page in await pages(many, PATH, limit=1000) for part in page["merchants"]]
    after = (await many.get(f"{PATH}?limit=7")).json()["next"]
    async with run_service(many.upstream, valkey.url, more=MORE, flush=False) as other:
        page = (await other.get(f"{PATH}?limit=7&after={after}")).json()
    assert page["merchants"] == whole[7:14]


async def test_sorted_by_an_asset_who_does_not_list_it_comes_last(many: Service) -> None:
    for sort, sign in (("USDT", 1), ("-USDT", -1)):
        parts = [part for page in await pages(many, f"{PATH}?sort={sort}") for part in page["merchants"]]
        amounts = [[one["total"] for one in part["balances"] if one["assetId"] == "USDT"] for part in parts]
        listing = [sign * as_units(amount[0]) for amount in amounts if amount]
        assert listing == sorted(listing)
        assert not any(amounts[len(listing) :])
        assert 0 < len(listing) < COUNT


@pytest.mark.parametrize("path", [PATH, "/v1/portfolio/assets/USDT"])
async def test_without_the_portfolio_right_nothing_is_shown(many: Service, path: str) -> None:
    for caller in ("some", "none"):
        assert_problem(await many.get(path, caller), "forbidden")


async def test_a_restricted_caller_sees_only_its_merchants_in_every_view_total_and_count(many: Service) -> None:
    body = (await many.get(PATH, "few")).json()
    assert [part["merchantId"] for part in body["merchants"]] == [999, 10001, 10002]
    assert body["coverage"] == {"expected": 3, "fresh": 2, "stale": 0, "unavailable": 1}
    assert "merchantName" not in body["merchants"][0]
    assert body["merchants"][0]["problem"]["type"] == "/problems/unknown-merchant"
    sums = {total["assetId"]: as_units(total["total"]) for total in body["partialTotals"]}
    shown = [part for part in body["merchants"] if "balances" in part]
    assert sums == {
        asset: sum(as_units(one["total"]) for part in shown for one in part["balances"] if one["assetId"] == asset)
        for asset in sums
    }
    asset = next(iter(sums))
    holders = (await many.get(f"/v1/portfolio/assets/{asset}", "few")).json()
    assert {holder["merchantId"] for holder in holders["holders"]} <= {10001, 10002}
    assert holders["coverage"]["expected"] == 3


async def test_a_cursor_leads_nowhere_for_a_caller_who_may_read_others(many: Service) -> None:
    after = (await many.get(f"{PATH}?limit=2")).json()["next"]
    assert_problem(await many.get(f"{PATH}?after={after}", "few"), "view-gone")
    assert_problem(await many.get(f"/v1/portfolio/assets/USDT?after={after}"), "view-gone")
    assert_problem(await many.get(f"{PATH}?after={'0' * 24}-2", "few"), "view-gone")


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=x", "after=x", "sort=", "sort=-", f"after={'0' * 24}-0", f"sort={'a' * 257}"],
)
async def test_a_wrong_parameter_is_refused(many: Service, query: str) -> None:
    assert_problem(await many.get(f"{PATH}?{query}"), "invalid-request")


async def test_sort_and_cursor_do_not_go_together(many: Service) -> None:
    after = (await many.get(f"{PATH}?limit=2")).json()["next"]
    assert_problem(await many.get(f"{PATH}?sort=BTC&after={after}"), "invalid-request")


async def test_an_unchanged_page_is_a_304_and_a_changed_one_is_not(many: Service) -> None:
    for path in (f"{PATH}?limit=5", "/v1/portfolio/assets/USDT?limit=5"):
        first = await many.get(path)
        again = await many.get(path, if_none_match=first.headers["etag"], cache_control="no-cache")
        assert (again.status_code, again.content) == (304, b"")
    many.upstream.world.move(10001)
    first = await many.get(f"{PATH}?limit=5")
    changed = await many.get(f"{PATH}?limit=5", if_none_match=first.headers["etag"], cache_control="no-cache")
    assert changed.status_code == 200


async def test_headers_show_the_age_of_the_oldest_part(many: Service) -> None:
    response = await many.get(f"{PATH}?limit=5")
    assert int(response.headers["age"]) >= 0
    assert response.headers["cache-control"] == "private, max-age=500"
    assert response.headers["cache-status"].startswith("tallygate; hit; ttl=")
    assert "Authorization" in response.headers["vary"]


async def test_shares_are_exact_and_sum_to_one(many: Service) -> None:
    found = await pages(many, "/v1/portfolio/assets/USDT")
    holders = [holder for page in found for holder in page["holders"]]
    assert sum(Fraction(holder["share"]) for holder in holders) == 1
    amounts = [as_units(holder["total"]) for holder in holders]
    assert amounts == sorted(amounts, reverse=True)
    assert sum(amounts) == as_units(found[0]["total"]["total"])
    assert "noShares" not in found[0]


async def test_an_asset_that_nobody_lists_is_unknown(many: Service) -> None:
    assert_problem(await many.get("/v1/portfolio/assets/DOGE"), "unknown-asset")


async def test_what_fails_or_hangs_is_marked_and_the_others_are_exact(valkey: EmbeddedValkey) -> None:
    async with (
        Sandbox(scenario="random", merchants=100, seed=3, token="canary-token-3d1f") as upstream,
        run_service(upstream, valkey.url, upstream_concurrency=64, upstream_timeout_seconds=4) as service,
    ):
        ids = upstream.world.merchant_ids
        with upstream.fault("status", status=500, merchants=ids[:3]), upstream.fault("hang", merchants=ids[3:4]):
            body = (await service.get(f"{PATH}?limit=1000")).json()
            holders = (await service.get("/v1/portfolio/assets/USDT", cache_control="only-if-cached")).json()
    assert body["coverage"] == {"expected": 100, "fresh": 96, "stale": 0, "unavailable": 4}
    assert (body["complete"], "totals" in body) == (False, False)
    assert [part["merchantId"] for part in body["merchants"] if part["status"] == "unavailable"] == ids[:4]
    assert {total["assetId"]: as_units(total["total"]) for total in body["partialTotals"]} == true_sums(
        service, ids[4:]
    )
    assert (holders["noShares"], "total" in holders) == ("incomplete", False)
    assert not any("share" in holder for holder in holders["holders"])


async def test_negative_amounts_and_a_zero_total_have_no_shares_and_say_why(valkey: EmbeddedValkey) -> None:
    async with (
        Sandbox(scenario="document", token="canary-token-3d1f") as upstream,
        run_service(upstream, valkey.url, merchants="1,2") as service,
    ):
        upstream.world.set(1, [row("-1", "-1", asset="NEG"), row("0", asset="NIL")])
        upstream.world.set(2, [row("3", "3", asset="NEG"), row("0", asset="NIL")])
        for asset, why, total in (("NEG", "negative-amount", "2"), ("NIL", "zero-total", "0")):
            body = (await service.get(f"/v1/portfolio/assets/{asset}")).json()
            assert (body["noShares"], body["total"]["total"], len(body["holders"])) == (why, total, 2)


async def test_while_the_directory_was_never_had_the_problem_says_why(valkey: EmbeddedValkey) -> None:
    async with (
        Sandbox(scenario="document", token="canary-token-3d1f") as upstream,
        run_service(upstream, valkey.url, more=MORE, upstream_timeout_seconds=1) as service,
    ):
        with upstream.fault("status", status=500):
            assert_problem(await service.get(PATH), "upstream-faulty")
