"""The formats of an answer: JSON for programs, tables for people, each with a tag of its own."""

import csv
import io
import itertools
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.access.callers import Caller, hash_key
from app.balances.snapshots import AccountId
from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.errors import assert_problem
from tests.support.expired_answers import grow_older
from tests.support.raw_asgi import KEY, ask_raw
from tests.support.reconciling import PATH as RECONCILIATION
from tests.support.reconciling import reconcile
from tests.support.rows import row
from tests.support.seeded_redis import OLD_TOTAL, store
from tests.support.service import KEYS, Service, run_service

MERCHANT = "/v1/merchants/12345/balances"
BREAKDOWN = "/v1/portfolio/merchants"
HOLDERS = "/v1/portfolio/assets/USDT"
PATHS = [
    MERCHANT,
    f"{MERCHANT}/BTC",
    f"{MERCHANT}?assets=BTC&nonzero=true",
    "/v1/portfolio",
    "/v1/balances?merchantId=12345,999999",
    "/v1/merchants",
    BREAKDOWN,
    HOLDERS,
    RECONCILIATION,
]
TYPES = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8; header=present",
    "text": "text/plain; charset=utf-8",
}

KEYS |= {"pair": "tg_pair", "other": "tg_other"}
PAIR = Caller("pair", hash_key("tg_pair"), frozenset({AccountId("12345"), AccountId("999999")}), portfolio=True)
OTHER = Caller("other", hash_key("tg_other"), frozenset({AccountId("777")}))


@pytest.fixture(scope="module")
async def shown(plain: bool) -> AsyncIterator[Service]:
    """A service whose balances stay fresh, with a reconciliation done.

    One caller may read two merchants, another one only a third. It has a Valkey of its own: others empty theirs, and the
    result would be gone.
    """
    times: dict[str, Any] = {"fresh_seconds": 500, "stale_while_revalidate_seconds": 3000}
    upstream = Sandbox(scenario="document", token="canary-token-3d1f")
    with EmbeddedValkey() as own:
        async with upstream, run_service(upstream, own.url, more=[PAIR, OTHER], **times) as running:
            await reconcile(running)
            yield running


def named(path: str, form: str) -> str:
    return f"{path}{'&' if '?' in path else '?'}format={form}"


def rows_of(response: httpx.Response) -> list[dict[str, str]]:
    """Read CSV strictly, as it goes over the wire."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == TYPES["csv"]
    assert response.content.count(b"\n") == response.content.count(b"\r\n")
    header, *rows = csv.reader(io.StringIO(response.content.decode(), newline=""), strict=True)
    return [dict(zip(header, cells, strict=True)) for cells in rows]


def lines_of(response: httpx.Response) -> list[str]:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == TYPES["text"]
    assert response.text.endswith("\n")
    return response.text.removesuffix("\n").split("\n")


@pytest.mark.parametrize("path", PATHS)
async def test_every_view_comes_in_every_format_by_name_and_by_accept(shown: Service, path: str) -> None:
    tags = set()
    for form, media_type in TYPES.items():
        by_name = await shown.get(named(path, form), accept="image/png")
        by_accept = await shown.get(path, accept=media_type.partition(";")[0])
        for response in (by_name, by_accept):
            assert (response.status_code, response.headers["content-type"]) == (200, media_type)
            assert "Accept" in {name.strip() for name in response.headers["vary"].split(",")}
        assert by_name.content == by_accept.content
        assert by_name.headers["etag"] == by_accept.headers["etag"]
        tags.add(by_name.headers["etag"])
    assert len(tags) == len(TYPES)


@pytest.mark.parametrize("path", PATHS)
async def test_a_tag_holds_for_its_own_format_only(shown: Service, path: str) -> None:
    tags = {form: (await shown.get(named(path, form))).headers["etag"] for form in TYPES}
    for form in TYPES:
        for of, etag in tags.items():
            response = await shown.get(named(path, form), if_none_match=etag)
            assert response.status_code == (304 if of == form else 200)


@pytest.mark.parametrize("path", PATHS)
async def test_a_format_that_there_is_not_is_refused(shown: Service, path: str) -> None:
    for form in ("xml", "", "CSV"):
        assert_problem(await shown.get(named(path, form)), "invalid-request")
    assert_problem(await shown.get(f"{named(path, 'csv')}&format=csv"), "invalid-request")


@pytest.mark.parametrize("path", PATHS)
async def test_csv_for_excel_begins_with_a_byte_order_mark_and_is_a_representation_of_its_own(
    shown: Service, path: str
) -> None:
    plain, marked = [await shown.get(f"{named(path, 'csv')}&bom={bom}") for bom in ("false", "true")]
    assert marked.content == b"\xef\xbb\xbf" + plain.content
    assert marked.headers["content-type"] == TYPES["csv"]
    tags = [answer.headers["etag"] for answer in (plain, marked, await shown.get(named(path, "csv")))]
    assert (tags[0] == tags[2], tags[0] == tags[1]) == (True, False)
    for bom, etag in itertools.product(("true", "false"), tags):
        again = await shown.get(f"{named(path, 'csv')}&bom={bom}", if_none_match=etag)
        assert again.status_code == (304 if etag == tags[bom == "true"] else 200)


@pytest.mark.parametrize("path", PATHS)
async def test_a_byte_order_mark_goes_with_csv_alone(shown: Service, path: str) -> None:
    joined = "&" if "?" in path else "?"
    for query in ("bom=true", "bom=false", "format=json&bom=true", "format=text&bom=true", "format=csv&bom=1"):
        assert_problem(await shown.get(f"{path}{joined}{query}", accept="text/csv"), "invalid-request")


@pytest.mark.parametrize("form", ["csv", "text"])
async def test_problems_stay_problems(shown: Service, form: str) -> None:
    assert_problem(await shown.get(named("/v1/merchants/999999/balances", form)), "unknown-merchant")
    assert_problem(await shown.get(f"{MERCHANT}/DOGE", accept=TYPES[form]), "unknown-asset")
    assert_problem(await shown.get(named("/v1/merchants/12346/balances", form), "some"), "forbidden")
    assert_problem(await shown.get(named("/v1/portfolio", form), "some"), "forbidden")
    assert_problem(await shown.get(named(RECONCILIATION, form), "pair"), "forbidden")
    assert_problem(await shown.anonymous.get(named(MERCHANT, form)), "unauthenticated")


async def test_the_upstreams_own_shape_is_json_whatever_is_accepted(shown: Service) -> None:
    for accept in ("*/*", "text/csv"):
        response = await shown.get("/v2/assets/account/assets?merchantId=12345", accept=accept)
        assert response.headers["content-type"] == "application/json"
        assert response.headers["vary"] == "Authorization, X-BH-TOKEN, Accept-Encoding"


async def test_a_table_is_given_when_the_page_is_hot_too_and_the_hot_page_stays_json(shown: Service) -> None:
    for _ in range(3):
        assert (await shown.get(MERCHANT)).headers["content-type"] == TYPES["json"]
        assert (await shown.get(MERCHANT, accept="text/csv")).headers["content-type"] == TYPES["csv"]
    split = [KEY, (b"accept", b"application/json;q=0.1"), (b"accept", b"text/plain")]
    assert (await ask_raw(shown, MERCHANT, headers=split[1:])).headers["content-type"] == TYPES["text"]


async def test_an_account_has_a_row_for_each_asset_with_its_amounts_to_the_digit(shown: Service) -> None:
    as_of = (await shown.get(MERCHANT)).json()["asOf"]
    response = await shown.get(named(MERCHANT, "csv"))
    assert response.text == (
        "merchantId,status,asOf,canDeposit,assetId,asset,assetName,total,free,locked,anomalies,problem\r\n"
        f"12345,fresh,{as_of},true,BTC,BTC,BTC,0.5,0.3,0.2,,\r\n"
        f"12345,fresh,{as_of},true,USDT,USDT,USDT,1000,800,200,,\r\n"
    )
    assert response.headers["age"].isdigit()
    assert response.headers["cache-status"].startswith("tallygate; hit")
    assert lines_of(await shown.get(named(f"{MERCHANT}?assets=BTC", "text"))) == [
        "merchantId  status  asOf                      canDeposit  assetId  asset  assetName  total  free  locked",
        f"12345       fresh   {as_of}  true        BTC      BTC    BTC          0.5   0.3     0.2",
        "",
        f"as of {as_of}; fresh",
    ]
    (asset,) = rows_of(await shown.get(named(f"{MERCHANT}/USDT", "csv")))
    assert (asset["assetId"], asset["total"]) == ("USDT", "1000")


async def test_an_account_without_rows_has_one_that_says_since_when(shown: Service) -> None:
    (only,) = rows_of(await shown.get(named("/v1/merchants/12346/balances", "csv")))
    assert (only["merchantId"], only["status"], only["assetId"], only["total"]) == ("12346", "fresh", "", "")
    assert only["asOf"]


async def test_names_pass_for_no_formula_amounts_stay_and_anomalies_are_shown(calm: Service, newcomer: int) -> None:
    rows = [row("-10.50", "1", "2", "=1+1"), row("7", "7", "0", "\x1b[2J")]
    calm.upstream.world.set(newcomer, rows)
    path = f"/v1/merchants/{newcomer}/balances"
    found = rows_of(await calm.get(named(path, "csv")))
    odd = next(one for one in found if one["asset"] == "'=1+1")
    assert (odd["assetId"], odd["total"]) == ("'=1+1", "-10.5")
    assert odd["anomalies"] == "negative-amount total-mismatch"
    assert "\x1b" not in (await calm.get(named(path, "text"))).text


async def test_a_stale_table_says_so_and_has_another_tag_than_the_fresh_one(calm: Service, newcomer: int) -> None:
    await store(calm, newcomer, age_seconds=20)
    path = f"/v1/merchants/{newcomer}/balances"
    with calm.upstream.fault("hang"):
        stale = await calm.get(named(path, "csv"))
        lines = lines_of(await calm.get(named(path, "text")))
        batch = rows_of(await calm.get(named(f"/v1/balances?merchantId={newcomer}", "csv")))
        many = lines_of(await calm.get(named(f"/v1/balances?merchantId={newcomer}", "text")))
    assert {one["status"] for one in rows_of(stale)} == {one["status"] for one in batch} == {"stale"}
    assert lines[-1].endswith("; stale")
    assert many[-1].endswith(f"0 fresh, 1 stale, 0 unavailable of 1; stale here: {newcomer}")
    calm.upstream.world.set(newcomer, [row(OLD_TOTAL, "40", "1.5")])
    await grow_older()
    fresh = await calm.get(named(path, "csv"), if_none_match=stale.headers["etag"], cache_control="no-cache")
    assert fresh.status_code == 200
    assert {one["status"] for one in rows_of(fresh)} == {"fresh"}


async def test_tables_are_compressed_as_json_is(calm: Service, newcomer: int) -> None:
    calm.upstream.world.set(newcomer, [row("7", "7", "0", f"A{number}") for number in range(50)])
    path = named(f"/v1/merchants/{newcomer}/balances", "csv")
    plain, coded = await calm.get(path, accept_encoding="identity"), await calm.get(path, accept_encoding="gzip")
    assert coded.headers["content-encoding"] == "gzip"
    assert coded.content == plain.content
    assert int(coded.headers["content-length"]) < int(plain.headers["content-length"])


async def test_a_batch_has_a_row_for_what_is_missing_get_and_post_alike(shown: Service) -> None:
    got = await shown.get(named("/v1/balances?merchantId=12345,999999", "csv"))
    *known, missing = rows_of(got)
    assert [one["assetId"] for one in known] == ["BTC", "USDT"]
    assert {name: cell for name, cell in missing.items() if cell} == {
        "merchantId": "999999",
        "status": "unavailable",
        "problem": "unknown-merchant",
    }
    posted = await shown.client.post(
        "/v1/balances", json={"merchantIds": [12345, 999999]}, headers={"Accept": "text/csv"}
    )
    assert posted.content == got.content
    lines = lines_of(await shown.get(named("/v1/balances?merchantId=12345,999999", "text")))
    assert lines[-1].endswith("1 fresh, 0 stale, 1 unavailable of 2; unavailable here: 999999")


async def test_of_many_that_are_missing_the_last_line_names_some_and_counts_the_rest(shown: Service) -> None:
    ids = [str(999_900 + number) for number in range(23)]
    lines = lines_of(await shown.get(named(f"/v1/balances?merchantId={','.join(ids)}", "text")))
    assert lines[-1].endswith(f"; unavailable here: {', '.join(ids[:20])}, and 3 more")


async def test_the_directory_is_a_table_and_links_to_what_follows(shown: Service) -> None:
    first = await shown.get("/v1/merchants?limit=2&search=1000&format=csv")
    assert [one["merchantId"] for one in rows_of(first)] == ["10001", "10002"]
    assert first.headers["link"] == '</v1/merchants?limit=2&search=1000&format=csv&after=10002>; rel="next"'
    second = await shown.get(first.links["next"]["url"])
    assert [one["merchantId"] for one in rows_of(second)] == ["10003", "10004"]
    whole = rows_of(await shown.get("/v1/merchants?limit=1000&format=csv"))
    listed = (await shown.get("/v1/merchants?limit=1000")).json()["merchants"]
    assert [one["merchantName"] for one in whole] == [one["merchantName"] for one in listed]


async def test_pages_of_a_table_follow_each_other_and_end_with_the_totals(shown: Service) -> None:
    found, redis_client = [], f"{BREAKDOWN}?limit=20&sort=-USDT&format=csv"
    while redis_client:
        page = await shown.get(redis_client)
        found.append(rows_of(page))
        redis_client = page.links["next"]["url"] if "next" in page.links else ""
        assert "sort" not in redis_client
    body = (await shown.get(f"{BREAKDOWN}?limit=1000&sort=-USDT")).json()
    rows = [one for page in found for one in page]
    assert [len({one["merchantId"] for one in page} - {""}) for page in found] == [20, 20, 10]
    assert list(dict.fromkeys(one["merchantId"] for one in rows if one["row"] == "merchant")) == [
        str(part["merchantId"]) for part in body["merchants"]
    ]
    assert {(one["assetId"], one["total"], one["merchants"]) for one in rows if one["row"] == "total"} == {
        (total["assetId"], total["total"], str(total["merchants"])) for total in body["totals"]
    }
    assert {one["row"] for page in found[:-1] for one in page} == {"merchant"}


async def test_holders_have_their_shares_and_the_total_comes_last(shown: Service) -> None:
    body = (await shown.get(f"{HOLDERS}?limit=1000")).json()
    *holders, total = rows_of(await shown.get(f"{HOLDERS}?limit=1000&format=csv"))
    assert [(one["merchantId"], one["merchantName"], one["total"], one["share"]) for one in holders] == [
        (str(one["merchantId"]), one["merchantName"], one["total"], one["share"]) for one in body["holders"]
    ]
    assert (total["row"], total["total"], total["unavailable"]) == ("total", body["total"]["total"], "0")
    first = await shown.get(f"{HOLDERS}?limit=1&format=text")
    assert lines_of(first)[-1].endswith(f"; more with after={first.links['next']['url'].partition('after=')[2]}")


@pytest.mark.parametrize("path", sorted({*PATHS} - {"/v1/merchants"}))
@pytest.mark.parametrize("form", TYPES)
async def test_what_a_caller_may_not_read_it_may_read_in_no_format(shown: Service, path: str, form: str) -> None:
    for response in (await shown.get(named(path, form), "other"), await shown.get(path, "other", accept=TYPES[form])):
        assert_problem(response, "forbidden")


@pytest.mark.parametrize("path", [BREAKDOWN, HOLDERS])
@pytest.mark.parametrize("form", ["csv", "text"])
async def test_a_restricted_caller_sees_only_its_merchants_in_any_format(shown: Service, path: str, form: str) -> None:
    text = (await shown.get(named(f"{path}?limit=1000", form), "pair")).text
    others = {str(merchant) for merchant in shown.upstream.world.merchant_ids} - {"12345"}
    assert "12345" in text
    assert not [merchant for merchant in others if merchant in text]
    assert "partial-total" in text
    listed = (await shown.get(named("/v1/merchants", form), "pair")).text
    assert "12345" in listed
    assert not [merchant for merchant in others if merchant in listed]


async def test_a_total_that_lacks_parts_says_so_and_of_how_many(shown: Service) -> None:
    rows = rows_of(await shown.get(named(BREAKDOWN, "csv"), "pair"))
    missing = [one for one in rows if one["merchantId"] == "999999"]
    assert [(one["status"], one["problem"], one["total"]) for one in missing] == [
        ("unavailable", "unknown-merchant", "")
    ]
    totals = [one for one in rows if one["row"] != "merchant"]
    assert {(one["row"], one["unavailable"]) for one in totals} == {("partial-total", "1")}
    *_, total = rows_of(await shown.get(named(HOLDERS, "csv"), "pair"))
    assert (total["row"], total["total"], total["share"], total["noShares"], total["unavailable"]) == (
        *("partial-total", "1000", "", "incomplete", "1"),
    )


async def test_holders_of_whom_none_is_known_are_a_partial_total_without_amounts(valkey: EmbeddedValkey) -> None:
    async with (
        Sandbox(scenario="document", token="canary-token-3d1f") as upstream,
        run_service(upstream, valkey.url, merchants="12345", flush=False) as service,
    ):
        with upstream.fault("status", status=500):
            (total,) = rows_of(await service.get(named(HOLDERS, "csv")))
    assert (total["row"], total["status"], total["total"], total["unavailable"]) == (
        *("partial-total", "unavailable", "", "1"),
    )


async def test_a_reconciliation_is_a_table_of_what_was_found(shown: Service) -> None:
    rows = rows_of(await shown.get(named(RECONCILIATION, "csv")))
    assert [(one["assetId"], one["verdict"], one["aggregateTotal"], one["sumTotal"]) for one in rows] == [
        ("BTC", "match", "2", "2"),
        ("USDT", "match", "5000", "5000"),
    ]
    assert {(one["partialSumTotal"], one["differenceTotal"], one["missing"]) for one in rows} == {("", "0", "0")}
    lines = lines_of(await shown.get(named(RECONCILIATION, "text")))
    assert lines[-1] == "done; 50 of 50 merchants read, 0 missing; 2 match"


async def test_a_reconciliation_that_lacks_merchants_shows_partial_sums_and_no_difference(
    valkey: EmbeddedValkey,
) -> None:
    async with (
        Sandbox(scenario="document", token="canary-token-3d1f") as upstream,
        run_service(upstream, valkey.url, flush=False) as service,
    ):
        with upstream.fault("code", code=-5043, merchants=[10001]):
            job = await reconcile(service)
        rows = rows_of(await service.get(f"/v1/portfolio/reconciliations/{job['id']}?format=csv"))
    assert {(one["verdict"], one["missing"]) for one in rows} == {("incomplete", "1")}
    assert all(one["partialSumTotal"] and one["aggregateTotal"] for one in rows)
    assert not [one for one in rows if one["sumTotal"] or one["differenceTotal"]]
