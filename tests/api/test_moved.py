"""Moves: reports of programs that may, signed events of the upstream, and nothing from anybody else."""

import gzip
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from schemathesis import GenerationMode
from structlog.testing import capture_logs

from app.access.callers import Caller, hash_key
from app.balances.snapshots import AccountId
from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.api.test_conformance import CHECKS, make_up
from tests.support.errors import assert_problem
from tests.support.event_signing import KEY, OTHER_KEY, public_line, sign
from tests.support.rows import row
from tests.support.service import KEYS, Service, run_service

EVENTS = "/v1/upstream/events"
PATH = "/v1/merchants/777/balances"
MOVER_KEY = "tg_mover"
MOVER = Caller("mover", hash_key(MOVER_KEY), frozenset({AccountId("12345"), AccountId("777")}), moves=True)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of two keys."""
    path = tmp_path_factory.mktemp("keys") / "keys"
    path.write_text(f"{public_line(OTHER_KEY)}\n{public_line()}\n")
    return path


@pytest.fixture(scope="module")
async def moving(valkey: EmbeddedValkey, plain: bool, keys: Path) -> AsyncIterator[Service]:
    """A service that takes events, and whose answers are fresh for minutes."""
    times: dict[str, Any] = {"fresh_seconds": 500, "stale_while_revalidate_seconds": 3000}
    async with (
        Sandbox(scenario="document", token="canary-token-3d1f") as upstream,
        run_service(upstream, valkey.url, more=[MOVER], upstream_event_keys_file=str(keys), **times) as running,
    ):
        yield running


async def total(service: Service) -> str:
    return str((await service.get(PATH)).json()["balances"][0]["total"])


async def report(service: Service, body: Any, caller: str = "mover") -> httpx.Response:
    return await service.anonymous.post(
        "/v1/moved", json=body, headers={"Authorization": f"Bearer {KEYS.get(caller, MOVER_KEY)}"}
    )


async def send(service: Service, body: bytes, signature: str | None = None) -> httpx.Response:
    signature = sign(body, KEY) if signature is None else signature
    return await service.anonymous.post(EVENTS, content=body, headers={"signature": signature} if signature else {})


def event(number: int | str, merchant: Any = "777", kind: str = "FUNDING_WEBHOOK") -> bytes:
    return json.dumps({"webhookId": f"w{number}", "eventType": kind, "merchantId": merchant, "secret": "4711"}).encode()


async def counted(service: Service, line: str) -> float:
    scraped = (await service.anonymous.get("/metrics")).text.splitlines()
    return next((float(one.rpartition(" ")[2]) for one in scraped if one.startswith(line + " ")), 0.0)


async def test_a_report_makes_the_next_read_ask_the_upstream(moving: Service) -> None:
    moving.upstream.world.set(777, [row("1")])
    await moving.get(PATH, Cache_Control="no-cache")
    moving.upstream.world.set(777, [row("2")])
    assert await total(moving) == "1"
    answer = await report(moving, {"merchantIds": [777]})
    assert answer.status_code == 202
    assert answer.json() == {"movedAt": answer.json()["movedAt"], "merchants": 1}
    assert await total(moving) == "2"


async def test_only_who_may_and_reads_the_merchants_reports_them(moving: Service) -> None:
    for caller, merchants in (("all", [777]), ("mover", [777, 999]), ("some", [777])):
        assert_problem(await report(moving, {"merchantIds": merchants}, caller), "forbidden")
    assert_problem(await moving.anonymous.post("/v1/moved", json={"merchantIds": [777]}), "unauthenticated")


@pytest.mark.parametrize("body", [{}, {"merchantIds": []}, {"merchantIds": [0]}, {"merchantIds": [777], "at": 1}, [1]])
async def test_a_wrong_report_is_refused(moving: Service, body: Any) -> None:
    assert_problem(await report(moving, body), "invalid-request")


async def test_a_signed_event_has_an_effect_once(moving: Service) -> None:
    for number, merchant in ((1, 777), (2, "777")):
        moving.upstream.world.set(777, [row(f"{number}0")])
        answer = await send(moving, event(number, merchant))
        assert (answer.status_code, answer.json()) == (200, {"callbackStatus": "SUCCESS"})
        assert await total(moving) == f"{number}0"
    looks = await counted(moving, "tallygate_chase_looks_total")
    assert (await send(moving, event(2))).json() == {"callbackStatus": "SUCCESS"}
    assert await counted(moving, "tallygate_upstream_events_repeated_total") == 1
    assert await counted(moving, "tallygate_chase_looks_total") == looks


@pytest.mark.parametrize(
    "signature", ["", "00", sign(b"other"), "zz"], ids=["none", "short", "of another body", "no hex"]
)
async def test_a_wrong_signature_marks_nothing(moving: Service, signature: str) -> None:
    before = await counted(moving, "tallygate_chase_looks_total")
    body = event(f"forged{signature[:4]}")
    headers = [("signature", signature)] if signature else []
    answer = await moving.anonymous.post(EVENTS, content=body, headers=headers)
    assert_problem(answer, "bad-signature")
    assert await counted(moving, "tallygate_chase_looks_total") == before


@pytest.mark.parametrize(
    "body", [b"", b"no json", b"\xff", b"[" * 50_000, b"{}", event("none", None), event("odd", "0777")]
)
async def test_an_event_without_a_merchant_is_of_the_aggregate(moving: Service, body: bytes) -> None:
    await moving.get("/v1/portfolio")
    with capture_logs() as logs:
        assert (await send(moving, body)).json() == {"callbackStatus": "SUCCESS"}
    lines = [line for line in logs if line["event"] == "events.without_merchant"]
    assert len(lines) == 1
    assert "4711" not in str(logs)


async def test_a_large_event_is_refused_before_its_signature_is_read(moving: Service) -> None:
    assert_problem(await send(moving, b" " * (64 * 1024 + 1), "00"), "body-too-large")


async def test_only_the_type_of_an_event_is_counted_and_an_unknown_one_as_other(moving: Service) -> None:
    await send(moving, event("kind", kind="MADE_UP"))
    page = (await moving.anonymous.get("/metrics")).text
    assert 'tallygate_upstream_events_total{type="other"}' in page
    assert "MADE_UP" not in page
    names = [name async for name in moving.redis.scan_iter("*event*")]
    assert names
    assert not any(b"wkind" in name for name in names)


async def test_wrong_signatures_are_slowed_down_and_right_ones_are_not(
    valkey: EmbeddedValkey, upstream: Sandbox, keys: Path
) -> None:
    settings: dict[str, Any] = {"upstream_event_keys_file": str(keys), "wrong_keys_rate": 0.1}
    async with run_service(upstream, valkey.url, **settings) as service:
        assert_problem(await send(service, event(1), "00"), "bad-signature")
        assert_problem(await send(service, event(1), "00"), "too-fast")
        assert (await send(service, event(1))).status_code == 200


async def test_without_keys_there_is_no_such_path(calm: Service) -> None:
    assert_problem(await send(calm, event(1)), "unknown-path")


async def test_the_path_of_events_is_in_the_document_where_it_exists(moving: Service, calm: Service) -> None:
    with_events, without = [
        (await service.anonymous.get("/openapi.json")).json()["paths"] for service in (moving, calm)
    ]
    assert set(with_events) - set(without) == {EVENTS}
    operation = with_events[EVENTS]["post"]
    assert set(operation["responses"]) == {
        *("200", "400", "401", "408", "413", "414", "429", "431", "500", "503", "504")
    }
    assert operation["security"] == []
    assert [parameter["name"] for parameter in operation["parameters"]] == ["signature"]
    assert EVENTS in (await moving.anonymous.get("/docs")).text


@pytest.mark.parametrize("mode", GenerationMode)
async def test_made_up_events_are_answered_as_the_document_says(moving: Service, mode: GenerationMode) -> None:
    document = schemathesis.openapi.from_dict((await moving.anonymous.get("/openapi.json")).json())
    for case in make_up(document[EVENTS]["POST"], mode):
        body = json.dumps(case.body).encode() if isinstance(case.body, dict) else b"?"
        for signature in (sign(body), None):
            headers = {"Content-Type": "application/json"} | ({"signature": signature} if signature else {})
            response = await moving.anonymous.post(EVENTS, content=body, headers=headers)
            assert response.status_code in ({200} if signature else {401, 429})
            case.validate_response(response, checks=CHECKS)


@pytest.mark.parametrize("order", [1, -1])
async def test_an_event_with_two_signatures_is_refused(moving: Service, order: int) -> None:
    body = event(f"two{order}")
    lines = [("signature", sign(body)), ("signature", "00")][::order]
    assert_problem(await moving.anonymous.post(EVENTS, content=body, headers=lines), "bad-signature")


async def test_an_event_in_portions_counts_and_a_compressed_one_is_verified_as_it_comes(moving: Service) -> None:
    body = event("portions")

    async def portions() -> AsyncIterator[bytes]:
        for place in range(0, len(body), 7):
            yield body[place : place + 7]

    answer = await moving.anonymous.post(EVENTS, content=portions(), headers={"signature": sign(body)})
    assert answer.status_code == 200
    headers = {"signature": sign(body), "Content-Encoding": "gzip"}
    assert_problem(await moving.anonymous.post(EVENTS, content=gzip.compress(body), headers=headers), "bad-signature")


async def test_an_event_tells_nobody_whether_its_merchant_exists(moving: Service) -> None:
    seen = set()
    for number, merchant in enumerate((777, 12345, 999_999, 2**60)):
        body = event(f"secret{number}", merchant)
        for signature in (sign(body), "00" * 256):
            answer = await send(moving, body, signature)
            text = re.sub(r'"requestId":"[^"]+"', "", answer.text)
            seen.add((answer.status_code, text, tuple(sorted(set(answer.headers) - {"retry-after"}))))
    assert len(seen) == 2
