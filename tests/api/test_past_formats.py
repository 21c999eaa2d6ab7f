"""The past as tables, and every merchant at a moment, over HTTP."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.access.callers import Caller, hash_key
from app.balances.snapshots import AccountId
from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.errors import assert_problem
from tests.support.rows import row
from tests.support.service import Service, run_service

BREAKDOWN = "/v1/portfolio/merchants"
LATER = "9999-01-01T00:00:00Z"
PAIR = Caller("pair", hash_key("tg_pair"), frozenset({AccountId("12345"), AccountId("777")}), portfolio=True)


async def look(service: Service, merchant: int, *rows: Any) -> dict[str, Any]:
    """Give a merchant these rows, and have it looked at."""
    service.upstream.world.set(merchant, list(rows))
    response = await service.get(f"/v1/merchants/{merchant}/balances", Cache_Control="no-cache")
    found: dict[str, Any] = response.json()
    await asyncio.sleep(0.003)
    return found


def table(response: httpx.Response) -> list[dict[str, str]]:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(response.text, newline="")))


async def test_a_past_is_a_table_with_its_certainty(calm: Service, newcomer: int) -> None:
    path = f"/v1/merchants/{newcomer}/balances"
    first = await look(calm, newcomer, row("1"), row("2", asset="USDT"))
    await look(calm, newcomer, row("1"), row("2", asset="USDT"))
    answer = await calm.get(f"{path}?at={first['asOf']}&format=csv")
    lines = table(answer)
    found = (await calm.get(f"{path}?at={first['asOf']}")).json()
    assert [(line["assetId"], line["total"]) for line in lines] == [("BTC", "1"), ("USDT", "2")]
    for line in lines:
        assert (line["certainty"], line["at"], line["asOf"]) == (found["certainty"], found["at"], found["asOf"])
        assert line["confirmedUntil"] == found["holds"]["confirmedUntil"]
        assert line["longestGapSeconds"] == str(found["longestGapSeconds"])
    again = await calm.get(f"{path}?at={first['asOf']}", Accept="text/csv", If_None_Match=answer.headers["etag"])
    assert again.status_code == 304
    shown = await calm.get(f"{path}?at={first['asOf']}", Accept="text/plain")
    assert f"at {found['at']}; {found['certainty']}" in shown.text


async def test_changes_are_a_table_whose_last_row_says_how_far_it_goes(calm: Service, newcomer: int) -> None:
    await look(calm, newcomer, row("1000", "800", "200", asset="USDT"), row("1"))
    await look(calm, newcomer, row("900", "700", "200", asset="USDT"))
    for path in (f"/v1/merchants/{newcomer}/changes?", f"/v1/changes?merchantId={newcomer}&"):
        whole = (await calm.get(path)).json()
        *lines, page = table(await calm.get(f"{path}format=csv"))
        assert [(line["row"], line["merchantId"]) for line in lines] == [("change", str(newcomer))] * 3
        begun, gone, moved = lines
        assert (begun["first"], begun["sequence"], begun["assetId"]) == ("true", "0", "")
        assert (gone["totalBefore"], gone["totalAfter"], gone["totalChange"]) == ("1", "", "")
        assert (moved["totalBefore"], moved["totalAfter"], moved["totalChange"]) == ("1000", "900", "-100")
        assert moved["until"] == whole["changes"][1]["observedBetween"]["until"]
        assert (page["row"], page["epoch"]) == ("page", whole["epoch"])
        one = await calm.get(f"{path}format=csv&limit=1")
        *_, page = table(one)
        assert f"after={page['next']}" in one.headers["link"]
        *lines, _ = table(await calm.get(f"{path}format=csv&after={page['next']}"))
        assert {line["sequence"] for line in lines} == {"1"}
        shown = await calm.get(path, Accept="text/plain")
        assert "2 changes" in shown.text
        assert "more with" not in shown.text  # there is none: the feed's cursor is for what comes
        assert ("go on with after=" in shown.text) == path.startswith("/v1/changes")
    assert page["complete"] == "true"


async def move(service: Service, amount: str, merchants: tuple[int, ...] = (777, 12345)) -> str:
    """Have merchants looked at twice, and return a moment between."""
    for merchant in merchants:
        found = await look(service, merchant, row(amount, amount))
    for merchant in merchants:
        await look(service, merchant, row(amount, amount))
    return str(found["asOf"])


@pytest.fixture
async def paired(upstream: Sandbox, valkey: EmbeddedValkey) -> AsyncIterator[Service]:
    async with run_service(upstream, valkey.url, more=(PAIR,), fresh_seconds=60) as running:
        yield running


async def at(service: Service, moment: str, more: str = "", **headers: str) -> httpx.Response:
    """Ask as one who reads two merchants and all of them together."""
    sent = {"Authorization": "Bearer tg_pair", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return await service.anonymous.get(f"{BREAKDOWN}?at={moment}{more}", headers=sent)


async def shown(service: Service, moment: str) -> dict[str, Any]:
    answer = await at(service, moment)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_every_merchant_is_shown_at_a_moment_with_totals_only_of_what_was_seen(paired: Service) -> None:
    moment = await move(paired, "5")
    await look(paired, 10001, row("1000", "1000"))
    answer = await at(paired, moment)
    seen = answer.json()
    assert seen["complete"]
    assert seen["coverage"] == {"expected": 2, "seen": 2, "between": 0, "unavailable": 0}
    assert [(one["merchantId"], one["certainty"]) for one in seen["merchants"]] == [(777, "seen"), (12345, "seen")]
    (total,) = seen["totals"]
    assert (total["total"], total["merchants"]) == ("10", 2)
    assert (await at(paired, moment, If_None_Match=answer.headers["etag"])).status_code == 304
    alone = (await paired.get(f"/v1/merchants/777/balances?at={moment}")).json()
    assert {name: value for name, value in alone.items() if name != "at"}.items() <= seen["merchants"][0].items()


async def test_what_was_not_seen_is_in_partial_totals(paired: Service) -> None:
    await move(paired, "5", (777,))
    first = await look(paired, 12345, row("7", "7"))
    before = await shown(paired, "2026-01-01T00:00:00Z")
    assert (before["complete"], before["coverage"]["unavailable"], before["partialTotals"]) == (False, 2, [])
    assert {one["problem"]["type"] for one in before["merchants"]} == {"/problems/history-gone"}
    between = await shown(paired, first["asOf"])
    assert not between["complete"]
    assert "totals" not in between
    assert between["coverage"] == {"expected": 2, "seen": 0, "between": 2, "unavailable": 0}
    assert [one["total"] for one in between["partialTotals"]] == ["12"]
    paired.upstream.world.delete(777)
    await paired.get("/v1/merchants/777/balances", Cache_Control="no-cache")
    await asyncio.sleep(0.003)
    last = await look(paired, 12345, row("7", "7"))
    gone = await shown(paired, last["asOf"])
    assert gone["merchants"][0]["problem"]["type"] == "/problems/unknown-merchant"
    assert gone["coverage"]["unavailable"] == 1


async def test_pages_and_tables_of_a_moment_are_of_that_moment(paired: Service) -> None:
    moment = await move(paired, "5")
    one = (await at(paired, moment, "&limit=1")).json()
    two = (await at(paired, moment, f"&limit=1&after={one['next']}")).json()
    assert [page["merchants"][0]["merchantId"] for page in (one, two)] == [777, 12345]
    assert one["totals"] == two["totals"]
    assert "next" not in two
    other = await look(paired, 777, row("5", "5"))
    assert_problem(await at(paired, other["asOf"], f"&limit=1&after={one['next']}"), "view-gone")
    assert_problem(await paired.get(f"{BREAKDOWN}?limit=1&after={one['next']}"), "view-gone")
    lines = table(await at(paired, moment, "&format=csv"))
    assert [(line["row"], line["merchantId"], line["total"], line["certainty"]) for line in lines] == [
        *(("merchant", merchant, "5", "seen") for merchant in ("777", "12345")),
        ("total", "", "10", ""),
    ]
    assert "2 seen, 0 between, 0 unavailable of 2" in (await at(paired, moment, "&format=text")).text
    for wrong in ("&sort=BTC", "&limit=0", "&after=x"):
        assert_problem(await at(paired, moment, wrong), "invalid-request")
    assert_problem(await at(paired, LATER), "invalid-request")
    assert_problem(await at(paired, moment, cache_control="no-cache"), "invalid-request")
    assert_problem(await paired.get(f"{BREAKDOWN}?at={moment}", "some"), "forbidden")
