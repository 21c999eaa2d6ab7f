"""Conditional answers: an unchanged balance is a 304, whenever it was fetched (RFC 9110, 13.1.2)."""

import itertools

import pytest

from tests.support.raw_asgi import ask_raw
from tests.support.rows import row
from tests.support.service import Service

PATH = "/v1/merchants/12345/balances"
PATHS = [PATH, f"{PATH}?assets=BTC", f"{PATH}/BTC", "/v1/portfolio", "/v2/assets/account/assets?merchantId=12345"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "form",
    ["{etag}", '"{opaque}"', '"x", {etag}', '{etag}, "x"', '"a,b" ,W/"x",{etag}', "*", ' {etag}\t, "x"', ",{etag}"],
)
async def test_an_answer_that_the_caller_has_is_a_304(calm: Service, path: str, form: str) -> None:
    etag = (await calm.get(path)).headers["etag"]
    named = form.format(etag=etag, opaque=etag.removeprefix('W/"').removesuffix('"'))
    response = await calm.get(path, if_none_match=named)
    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["etag"] == etag
    assert {"age", "cache-control", "cache-status", "vary", "x-request-id"} <= set(response.headers)
    # a 304 may tell the length only of what a 200 would have had (RFC 9110, 8.6)
    assert not {"content-type", "content-length"} & set(response.headers)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("form", ['"x"', 'W/"x"', "", "{upper}", "{opaque}", '"{opaque}x"', '"*"', 'w/"{opaque}"'])
async def test_an_answer_that_the_caller_has_not_is_sent(calm: Service, path: str, form: str) -> None:
    etag = (await calm.get(path)).headers["etag"]
    opaque = etag.removeprefix('W/"').removesuffix('"')
    response = await calm.get(path, if_none_match=form.format(opaque=opaque, upper=etag.upper()))
    assert response.status_code == 200
    assert response.content


async def test_tags_in_several_headers_are_one_list(calm: Service) -> None:
    etag = (await calm.get(PATH)).headers["etag"].encode()
    response = await ask_raw(calm, PATH, headers=[(b"if-none-match", b'"x"'), (b"if-none-match", etag)])
    assert response.status_code == 304


async def test_an_unchanged_balance_keeps_its_tag_although_it_is_newer(service: Service) -> None:
    first = await service.get(PATH)
    again = await service.get(PATH, cache_control="no-cache")
    assert first.json()["asOf"] < again.json()["asOf"]
    assert first.headers["etag"] == again.headers["etag"]
    response = await service.get(PATH, cache_control="no-cache", if_none_match=first.headers["etag"])
    assert (response.status_code, service.upstream.counters.by_merchant[12345]) == (304, 3)


CONTENTS = [
    ([], True),
    ([], False),
    ([row("1", "1")], True),
    ([row("1", "1")], False),
    ([row("2", "2")], True),
    ([row("1", "0.5", "0.5")], True),
    ([row("1", "1", asset="ETH")], True),
    ([{**row("1", "1"), "assetName": "Bitcoin"}], True),
    ([{**row("1", "1"), "asset": "XBT"}], True),
    ([row("0.5", "0.5"), row("0.5", "0.5")], True),
]


async def test_whatever_changes_in_the_content_changes_the_tag(service: Service) -> None:
    tags: dict[str, list[str]] = {}
    for (rows, can_deposit), path in itertools.product(
        CONTENTS, ["/v1/merchants/777/balances", "/v2/assets/account/assets?merchantId=777"]
    ):
        service.upstream.world.set(777, rows, can_deposit=can_deposit)
        response = await service.get(path, cache_control="no-cache")
        tags.setdefault(path, []).append(response.headers["etag"])
    v1, v2 = tags.values()
    assert len(set(v1)) == len(CONTENTS)
    # the upstream's shape has no place for the anomaly of the last one, which adds up to the third
    assert (len(set(v2)), v2[-1]) == (len(CONTENTS) - 1, v2[2])
    assert not set(v1) & set(v2)


@pytest.mark.parametrize(("sent", "same"), [("1.0", True), ("1E0", True), ("1.00000001", False)])
async def test_equal_amounts_have_one_tag_however_the_upstream_writes_them(
    service: Service, sent: str, *, same: bool
) -> None:
    service.upstream.world.set(777, [row("1", "1"), row("2", "2", asset="A")])
    before = await service.get("/v1/merchants/777/balances")
    service.upstream.world.set(777, [row("2", "2", asset="A"), row(sent, sent)])
    after = await service.get("/v1/merchants/777/balances", cache_control="no-cache")
    assert (before.headers["etag"] == after.headers["etag"]) is same


async def test_views_that_say_different_things_have_different_tags(calm: Service) -> None:
    paths = [PATH, f"{PATH}?assets=BTC", f"{PATH}?assets=USDT", f"{PATH}?assets=X", f"{PATH}/BTC", f"{PATH}/USDT"]
    paths += ["/v1/portfolio", "/v1/merchants/12346/balances", *PATHS[4:], "/v2/assets/account/assets?merchantId=0"]
    tags = [(await calm.get(path)).headers["etag"] for path in paths]
    assert len(set(tags)) == len(tags)


@pytest.mark.parametrize("path", ["/v1/merchants/99999/balances", f"{PATH}/DOGE", f"{PATH}?x=1", "/nothing"])
async def test_an_error_is_never_unchanged(calm: Service, path: str) -> None:
    response = await calm.get(path, if_none_match="*")
    assert response.status_code in {400, 404}
    assert response.content
