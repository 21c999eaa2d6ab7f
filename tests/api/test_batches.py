"""Many merchants at once: in the order asked for, each with its own status, and honest about what is not there."""

from typing import Any

import pytest

from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.errors import assert_problem
from tests.support.service import Service, run_service

KNOWN = (12345, 10001, 10002)


async def ask(service: Service, merchants: str, caller: str = "all", **headers: str) -> Any:
    return await service.get(f"/v1/balances?merchantId={merchants}", caller, **headers)


async def test_each_part_says_what_a_single_read_says(patient: Service) -> None:
    document = (await ask(patient, ",".join(map(str, KNOWN)))).json()
    assert [part["merchantId"] for part in document["merchants"]] == list(KNOWN)
    for part in document["merchants"]:
        single = (await patient.get(f"/v1/merchants/{part['merchantId']}/balances")).json()
        assert part["balances"] == single["balances"]
        assert part["canDeposit"] == single["canDeposit"]
        assert part["status"] == "fresh"
    assert document["complete"]
    assert document["coverage"] == {"expected": 3, "fresh": 3, "stale": 0, "unavailable": 0}
    times = [part["asOf"] for part in document["merchants"]]
    assert (document["oldestAsOf"], document["newestAsOf"]) == (min(times), max(times))


async def test_doubles_are_answered_once_and_the_order_is_the_callers(patient: Service) -> None:
    document = (await ask(patient, "10002,12345,10002,10001")).json()
    assert [part["merchantId"] for part in document["merchants"]] == [10002, 12345, 10001]


async def test_a_list_in_a_body_is_answered_like_one_in_the_query(patient: Service) -> None:
    asked = await ask(patient, "12345,10001")
    posted = await patient.client.post("/v1/balances", json={"merchantIds": [12345, "10001"]})
    assert posted.status_code == 200
    assert posted.content == asked.content


async def test_the_largest_id_is_one_as_a_number_and_as_text_and_none_is_larger(patient: Service) -> None:
    for largest, answer in (("9007199254740991", 200), ("9007199254740992", 400)):
        for body in (f"[12345, {largest}]", f'[12345,\n"{largest}"]'):
            posted = await patient.client.post(
                "/v1/balances", content=f'{{ "merchantIds" : {body} }}', headers={"Content-Type": "application/json"}
            )
            assert posted.status_code == answer
            if answer == 200:
                assert [part["merchantId"] for part in posted.json()["merchants"]] == [12345, int(largest)]
            else:
                assert "9007199254740991" in posted.json()["detail"]


async def test_what_is_not_there_is_marked_and_the_rest_is_exact(patient: Service) -> None:
    response = await ask(patient, "12345,999999")
    document = response.json()
    known, unknown = document["merchants"]
    assert not document["complete"]
    assert document["coverage"] == {"expected": 2, "fresh": 1, "stale": 0, "unavailable": 1}
    assert {row["assetId"]: row["total"] for row in known["balances"]} == {"BTC": "0.5", "USDT": "1000"}
    assert unknown["status"] == "unavailable"
    assert unknown["problem"]["type"] == "/problems/unknown-merchant"
    assert "balances" not in unknown
    assert response.headers["cache-control"] == "private, max-age=500"


async def test_merchants_that_fail_or_hang_side_by_side_spoil_no_others(valkey: EmbeddedValkey) -> None:
    asked, failing, hanging = range(10001, 10101), range(10001, 10031), range(10051, 10061)
    async with (
        Sandbox(token="canary-token-3d1f", merchants=100) as upstream,
        run_service(upstream, valkey.url, upstream_timeout_seconds=2) as service,
    ):
        with (
            upstream.fault("status", status=500, merchants=set(failing)),
            upstream.fault("hang", merchants=set(hanging)),
        ):
            document = (await ask(service, ",".join(map(str, asked)))).json()
    unavailable = {part["merchantId"] for part in document["merchants"] if part["status"] == "unavailable"}
    assert unavailable == {*failing, *hanging}
    assert document["coverage"] == {"expected": 100, "fresh": 60, "stale": 0, "unavailable": 40}


async def test_a_caller_who_wants_all_or_nothing_learns_what_failed(patient: Service) -> None:
    response = await patient.get("/v1/balances?merchantId=12345,999998,999999&require=complete")
    assert response.status_code == 502
    assert response.json()["type"] == "/problems/incomplete"
    assert response.json()["detail"] == "There are no balances of 2 of 3 merchants: see failed."
    assert [(one["merchantId"], one["problem"]["type"]) for one in response.json()["failed"]] == [
        (999998, "/problems/unknown-merchant"),
        (999999, "/problems/unknown-merchant"),
    ]
    assert (await patient.get("/v1/balances?merchantId=12345,10001&require=complete")).status_code == 200


async def test_one_that_the_caller_may_not_read_refuses_all_whether_it_exists_or_not(patient: Service) -> None:
    existing, missing = [await ask(patient, f"12345,{other}", "some", x_request_id="same") for other in (10001, 999999)]
    assert existing.status_code == missing.status_code == 403
    assert existing.content == missing.content
    assert existing.headers == missing.headers
    posted = await patient.anonymous.post(
        "/v1/balances", json={"merchantIds": [12345, 10001]}, headers={"Authorization": "Bearer tg_some"}
    )
    assert posted.status_code == 403


async def test_an_unchanged_batch_is_a_304_and_a_posted_one_is_not(patient: Service) -> None:
    etag = (await ask(patient, "12345,10001")).headers["etag"]
    assert (await ask(patient, "12345,10001", if_none_match=etag)).status_code == 304
    assert (await ask(patient, "10001,12345", if_none_match=etag)).status_code == 200
    posted = await patient.client.post(
        "/v1/balances", json={"merchantIds": [12345, 10001]}, headers={"If-None-Match": etag}
    )
    assert posted.status_code == 200


async def test_rows_are_chosen_as_in_a_single_read(patient: Service) -> None:
    document = (await patient.get("/v1/balances?merchantId=12345&assets=BTC")).json()
    assert [row["assetId"] for row in document["merchants"][0]["balances"]] == ["BTC"]


@pytest.mark.parametrize(
    "query",
    [
        "",
        "merchantId=",
        "merchantId=0",
        "merchantId=1,",
        "merchantId=1,x",
        "merchantId=007",
        "merchantId=1&merchantId=2",
        "merchantId=1&require=all",
        "merchantId=1&x=1",
        "merchantId=" + ",".join(map(str, range(1, 1002))),
    ],
)
async def test_a_wrong_question_is_a_400(patient: Service, query: str) -> None:
    response = await patient.get(f"/v1/balances?{query}")
    assert response.status_code == 400
    assert response.json()["type"] == "/problems/invalid-request"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"x",
        b"[1]",
        b'{"merchantIds":[]}',
        b'{"merchantIds":["007"]}',
        b'{"merchantIds":[1.5]}',
        b'{"merchantIds":[true]}',
        b'{"merchantIds":[0]}',
        b'{"merchantIds":[10001.0]}',
        b'{"merchantIds":[1e4]}',
        b'{"merchantIds":[9007199254740993.0]}',
        b'{"merchantIds":[10000000000000000000]}',
        b'{"merchantIds":[1],"merchantIds":[2]}',
        b'{"merchantIds":[1],"more":1}',
        b'{"merchantIds":[' + b"1," * 1000 + b"1]}",
    ],
)
async def test_a_wrong_body_is_a_400(patient: Service, body: bytes) -> None:
    response = await patient.client.post("/v1/balances", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert response.json()["type"] == "/problems/invalid-request"


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        (("GET", "", b""), "The parameter 'merchantId' is missing."),
        (("GET", "?merchantId=1,x2,3", b""), "'x2'"),
        (("POST", "", b"{"), "The body is no JSON."),
        (("POST", "", b"\x1f\x8b\x08"), "The body is no JSON."),
        (("POST", "", b'{"merchantIds":[1e1]}'), "merchantIds"),
    ],
)
async def test_what_is_wrong_is_named(patient: Service, request_: tuple[str, str, bytes], named: str) -> None:
    method, query, body = request_
    response = await patient.client.request(method, f"/v1/balances{query}", content=body)
    assert response.status_code == 400
    assert named in response.json()["detail"]


async def test_a_stale_part_is_marked_where_it_covers_a_failing_upstream(
    upstream: Sandbox, valkey: EmbeddedValkey
) -> None:
    async with run_service(upstream, valkey.url, fresh_seconds=0, stale_while_revalidate_seconds=0) as service:
        await ask(service, "12345")
        with upstream.fault("status", status=500):
            response = await ask(service, "12345,10001")
    covered, missing = response.json()["merchants"]
    assert covered["status"] == "stale"
    assert {row["assetId"]: row["total"] for row in covered["balances"]} == {"BTC": "0.5", "USDT": "1000"}
    assert missing["problem"]["type"] in {"/problems/upstream-faulty", "/problems/breaker-open"}
    assert response.json()["coverage"] == {"expected": 2, "fresh": 0, "stale": 1, "unavailable": 1}


async def test_nothing_is_asked_of_anybody_before_all_is_authorised(service: Service) -> None:
    assert (await ask(service, "12345,10001", "some")).status_code == 403
    assert service.upstream.counters.balance_calls == 0


async def test_the_cache_control_of_a_request_holds_for_its_parts(service: Service) -> None:
    document = (await ask(service, "12345,10001", cache_control="only-if-cached")).json()
    assert {part["problem"]["type"] for part in document["merchants"]} == {"/problems/not-cached"}
    assert service.upstream.counters.balance_calls == 0
    assert (await ask(service, "12345", cache_control="max-age=x")).status_code == 400


async def test_the_headers_are_those_of_every_balance_answer(patient: Service) -> None:
    await ask(patient, "12345,10001")
    headers = (await ask(patient, "12345,10001")).headers
    assert headers["cache-control"] == "private, max-age=500"
    assert headers["cache-status"].startswith("tallygate; hit; ttl=")
    assert int(headers["age"]) >= 0
    assert {"Authorization", "X-BH-TOKEN"} <= {name.strip() for name in headers["vary"].split(",")}
    partial = (await ask(patient, "12345,999999")).headers
    assert partial["cache-status"].startswith("tallygate; fwd=partial; ttl=")
    unknown = (await ask(patient, "999999")).headers
    assert unknown["cache-status"] == "tallygate; fwd=partial"
    assert "age" not in unknown


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 1100,
        b'{"merchantIds":' + b"[" * 1100,
        b'{"merchantIds":' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"merchantIds":[' + b"9" * 5000 + b"]}",
        b'{"merchantIds":["\\ud800"]}',
        b'{"merchantIds":["\xff"]}',
        b"\xff\xfe",
        b"\x00",
        b'{"merchantIds":[NaN]}',
        b'{"merchantIds":[1e999]}',
    ],
    ids=lambda body: repr(body[:24]),
)
async def test_a_body_that_cannot_be_read_is_the_callers_fault(calm: Service, body: bytes) -> None:
    response = await calm.client.post("/v1/balances", content=body, headers={"Content-Type": "application/json"})
    assert_problem(response, "invalid-request")
