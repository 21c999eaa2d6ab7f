"""The past over HTTP: changes, the feed, and balances at a moment; what a restricted caller sees of them."""

import asyncio
from typing import Any

import httpx

from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.errors import assert_problem
from tests.support.rows import row
from tests.support.service import Service, run_service

LATER = "9999-01-01T00:00:00Z"


async def look(service: Service, merchant: int, *rows: Any) -> dict[str, Any]:
    """Give a merchant these rows, and have it looked at."""
    service.upstream.world.set(merchant, list(rows))
    response = await service.get(f"/v1/merchants/{merchant}/balances", Cache_Control="no-cache")
    found: dict[str, Any] = response.json()
    await asyncio.sleep(0.003)
    return found


async def ok(service: Service, path: str, caller: str = "all", **headers: str) -> Any:
    response = await service.get(path, caller, **headers)
    assert response.status_code == 200, response.text
    return response.json()


async def test_changes_say_what_changed_and_between_which_looks(calm: Service, newcomer: int) -> None:
    first = await look(calm, newcomer, row("1000", "800", "200"))
    second = await look(calm, newcomer, row("900", "700", "200"))
    page = await ok(calm, f"/v1/merchants/{newcomer}/changes")
    assert page["merchantId"] == newcomer
    assert page["keptFrom"] == first["asOf"]
    begun, change = page["changes"]
    assert begun == {"sequence": 0, "first": True, "observedBetween": {"until": first["asOf"]}, "rows": []}
    assert change["sequence"] == 1
    assert change["observedBetween"]["after"] <= first["asOf"] < change["observedBetween"]["until"] == second["asOf"]
    (changed,) = change["rows"]
    assert changed["before"] == {"total": "1000", "free": "800", "locked": "200"}
    assert changed["after"] == {"total": "900", "free": "700", "locked": "200"}
    assert changed["change"] == {"total": "-100", "free": "-100", "locked": "0"}


async def test_a_row_that_comes_or_goes_is_no_change_from_or_to_zero(calm: Service, newcomer: int) -> None:
    await look(calm, newcomer, row("1", asset="BTC"))
    await look(calm, newcomer, row("2", asset="ETH"))
    (change,) = (await ok(calm, f"/v1/merchants/{newcomer}/changes"))["changes"][1:]
    gone, came = change["rows"]
    assert (gone["assetId"], came["assetId"]) == ("BTC", "ETH")
    assert not {"after", "change"} & gone.keys()
    assert not {"before", "change"} & came.keys()


async def test_changes_come_in_pages_and_for_some_assets_or_times(calm: Service, newcomer: int) -> None:
    path = f"/v1/merchants/{newcomer}/changes"
    looks = [await look(calm, newcomer, row("7", asset="ETH"), row(str(number))) for number in range(1, 6)]
    one = await ok(calm, f"{path}?limit=2")
    two = await ok(calm, f"{path}?limit=2&after={one['next']}")
    three = await ok(calm, f"{path}?limit=2&after={two['next']}")
    pages = (one, two, three)
    assert [change["sequence"] for page in pages for change in page["changes"]] == [0, 1, 2, 3, 4]
    assert "next" not in three
    some = await ok(calm, f"{path}?from={looks[1]['asOf']}&until={looks[3]['asOf']}")
    assert [change["sequence"] for change in some["changes"]] == [1, 2]
    assert [change["sequence"] for change in (await ok(calm, f"{path}?assets=ETH"))["changes"]] == [0]
    assert_problem(await calm.get(f"{path}?from={LATER}&until=2026-01-01T00:00:00Z"), "invalid-request")
    for wrong in (
        "from=yesterday",
        "until=2026-13-01T00:00:00Z",
        "after=x",
        "limit=0",
        f"after={'0' * 8}.{'A' * 60}x!",
    ):
        assert_problem(await calm.get(f"{path}?{wrong}"), "invalid-request")
    assert_problem(await calm.get(f"{path}?after={'0' * 8}.{'A' * 60}"), "feed-gone")
    assert_problem(await calm.get(f"/v1/portfolio/changes?after={one['next']}"), "invalid-request")


async def test_the_past_says_how_certain_it_is(calm: Service, newcomer: int) -> None:
    path = f"/v1/merchants/{newcomer}/balances"
    first = await look(calm, newcomer, row("1"))
    await look(calm, newcomer, row("1"))
    await look(calm, newcomer, row("1"))
    last = await look(calm, newcomer, row("2"))
    seen = await calm.get(f"{path}?at={first['asOf']}")
    found = seen.json()
    assert (found["certainty"], found["looks"], found["balances"]) == ("seen", 3, first["balances"])
    assert found["holds"]["from"] == found["asOf"] == first["asOf"] < found["holds"]["confirmedUntil"]
    assert found["holds"]["changedBy"] == last["asOf"]
    assert found["longestGapSeconds"] > 0
    assert seen.headers["cache-control"] == "private, max-age=86400, immutable"
    again = await calm.get(f"{path}?at={first['asOf']}", If_None_Match=seen.headers["etag"])
    assert again.status_code == 304
    assert "balances" in await ok(calm, f"{path}?at={first['asOf']}&assets=BTC")
    newest = await calm.get(f"{path}?at={last['asOf']}")
    assert (newest.json()["certainty"], newest.json()["balances"]) == ("between", last["balances"])
    assert "changedBy" not in newest.json()["holds"]
    assert newest.headers["cache-control"] == "private, no-cache"


async def test_what_is_not_known_of_the_past_is_refused(calm: Service, newcomer: int) -> None:
    path = f"/v1/merchants/{newcomer}"
    assert_problem(await calm.get(f"{path}/balances?at=2026-01-01T00:00:00Z"), "no-history")
    assert_problem(await calm.get(f"{path}/changes"), "no-history")
    first = await look(calm, newcomer, row("1"))
    gone = await calm.get(f"{path}/balances?at=2026-01-01T00:00:00%2B01:00")
    assert_problem(gone, "history-gone")
    assert gone.json()["keptFrom"] == first["asOf"]
    assert_problem(await calm.get(f"{path}/balances?at={LATER}"), "invalid-request")
    assert_problem(await calm.get(f"{path}/balances?at={first['asOf']}", cache_control="max-age=5"), "invalid-request")
    assert_problem(await calm.get(f"{path}/balances/USDT?at={first['asOf']}"), "invalid-request")


async def test_the_feed_has_every_change_once(calm: Service, newcomer: int) -> None:
    began = await ok(calm, f"/v1/changes?merchantId={newcomer}")
    assert began["changes"] == []
    assert began["complete"]
    for number in range(5):
        await look(calm, newcomer, row(str(number + 1)))
    found, after = [], began["next"]
    for _ in range(4):
        part = await ok(calm, f"/v1/changes?merchantId={newcomer}&limit=2&after={after}")
        found += [change["sequence"] for change in part["changes"]]
        after = part["next"]
    assert found == [0, 1, 2, 3, 4]
    whole = await ok(calm, f"/v1/changes?merchantId=all&limit=1000&after={began['next']}")
    assert [one["sequence"] for one in whole["changes"] if one["merchantId"] == newcomer] == found
    for wrong in ("after=x", "limit=0", "merchantId=x"):
        assert_problem(await calm.get(f"/v1/changes?merchantId=all&{wrong}"), "invalid-request")
    assert_problem(await calm.get(f"/v1/changes?merchantId=all&after={'0' * 8}.{'A' * 60}"), "feed-gone")


async def test_a_reader_that_waits_gets_a_change_as_it_comes(calm: Service, newcomer: int) -> None:
    path = f"/v1/changes?merchantId={newcomer}"
    began = await ok(calm, path)
    waiting = asyncio.create_task(calm.get(f"{path}&after={began['next']}", Prefer="wait=20"))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await look(calm, newcomer, row("1"))
    answer = await waiting
    assert answer.headers["preference-applied"] == "wait=20"
    assert [change["sequence"] for change in answer.json()["changes"]] == [0]


def shape(response: httpx.Response) -> tuple[int, int, list[str]]:
    """What a caller sees of an answer, but for times and sealed cursors, which are of one length."""
    return response.status_code, len(response.content), sorted(response.json())


async def test_nothing_tells_that_another_merchant_moved(calm: Service, newcomer: int) -> None:
    calm.upstream.world.set(777, [row("5")])
    await calm.get("/v1/merchants/777/balances", "some", Cache_Control="no-cache")
    started = await ok(calm, "/v1/changes?merchantId=all&limit=1000", "some")
    assert {change["merchantId"] for change in started["changes"]} <= {777, 12345}
    path = f"/v1/changes?merchantId=all&limit=1&after={started['next']}"
    quiet = await calm.get(path, "some")
    waiting = asyncio.create_task(calm.get(path, "some", Prefer="wait=1"))
    for number in range(3):
        await look(calm, newcomer, row(str(number + 1)))
    assert not waiting.done()
    moved = await calm.get(path, "some")
    assert shape(quiet) == shape(moved)
    assert (moved.json()["changes"], moved.json()["complete"]) == ([], True)
    waited = await waiting
    assert shape(waited) == shape(moved)
    assert_problem(await calm.get(f"/v1/changes?merchantId=777,{newcomer}", "some"), "forbidden")
    assert_problem(await calm.get("/v1/portfolio/changes", "some"), "forbidden")
    assert_problem(await calm.get(f"/v1/portfolio?at={LATER}", "some"), "forbidden")


async def test_with_the_store_the_feed_ends_and_reads_go_on(service: Service) -> None:
    await look(service, 777, row("1"))
    began = await ok(service, "/v1/changes?merchantId=all")
    mine = await ok(service, "/v1/merchants/777/changes")
    await service.redis.flushall()
    again = await look(service, 777, row("2"))
    assert again["balances"]
    assert_problem(await service.get(f"/v1/changes?merchantId=all&after={began['next']}"), "feed-gone")
    (begun,) = (await ok(service, "/v1/changes?merchantId=777"))["changes"]
    assert (begun["sequence"], begun["first"]) == (0, True)
    assert (await ok(service, "/v1/merchants/777/changes"))["epoch"] != mine["epoch"]


async def test_what_was_lost_of_one_account_makes_the_feed_incomplete(service: Service) -> None:
    await look(service, 777, row("1"))
    await look(service, 12345, row("1"))
    await service.settle()
    (name,) = [name async for name in service.redis.scan_iter("*{777}:history")]
    await service.redis.delete(name)
    found = await ok(service, "/v1/changes?merchantId=all")
    assert ([one["merchantId"] for one in found["changes"]], found["complete"]) == ([12345], False)


async def test_a_service_without_a_history_says_so(upstream: Sandbox, valkey: EmbeddedValkey) -> None:
    async with run_service(upstream, valkey.url, history_seconds=0) as service:
        await look(service, 777, row("1"))
        for path in ("/v1/merchants/777/changes", "/v1/portfolio/changes", "/v1/changes?merchantId=all"):
            assert_problem(await service.get(path), "no-history")
        assert_problem(await service.get("/v1/merchants/777/balances?at=2026-01-01T00:00:00Z"), "no-history")
        assert not [name async for name in service.redis.scan_iter("*history*")]


async def test_nobody_waits_beyond_the_deadline_of_a_request(upstream: Sandbox, valkey: EmbeddedValkey) -> None:
    async with run_service(upstream, valkey.url, request_timeout_seconds=3) as service:
        began = await ok(service, "/v1/changes?merchantId=777")
        path = f"/v1/changes?merchantId=777&after={began['next']}"
        waited = await service.get(path, Prefer="respond-async, wait=20")
        assert (waited.status_code, waited.headers["preference-applied"]) == (200, "wait=1")
