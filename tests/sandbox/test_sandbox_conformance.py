"""The sandbox against the document, by itself."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from sandbox import Sandbox

Ask = Callable[..., Awaitable[tuple[int, dict[str, str], bytes]]]
Exchange = Callable[[str, bytes], Awaitable[tuple[bytes, bool]]]

BALANCES = "/v2/assets/account/assets"
EXAMPLES = Path(__file__).parent / "examples"


@pytest.mark.parametrize(("merchant_id", "example"), [(12345, "merchant-12345"), (0, "aggregate")])
async def test_the_examples_of_the_document_are_answered_to_the_letter(
    sandbox: Sandbox, ask: Ask, merchant_id: int, example: str
) -> None:
    expected = (EXAMPLES / f"{example}.json").read_text()
    status, headers, body = await ask(sandbox.url, f"{BALANCES}?merchantId={merchant_id}")
    assert (status, headers["content-type"]) == (200, "application/json")
    # as lists of pairs: the order of rows and of names counts too
    assert json.loads(body, object_pairs_hook=list) == json.loads(expected, object_pairs_hook=list)


@pytest.mark.parametrize("merchants", [3, 4, 50, 2500])
async def test_the_documents_aggregate_does_not_depend_on_how_many_merchants_make_it_up(merchants: int) -> None:
    sandbox = Sandbox(scenario="document", merchants=merchants)
    aggregate = sandbox.world.account(0)
    assert aggregate is not None
    assert list(aggregate.balances) == json.loads((EXAMPLES / "aggregate.json").read_text())["data"]["balances"]
    assert len(sandbox.world.merchant_ids) == merchants


async def test_the_documents_world_has_a_merchant_without_balances(sandbox: Sandbox, ask: Ask) -> None:
    _, _, body = await ask(sandbox.url, f"{BALANCES}?merchantId=12346")
    assert json.loads(body) == {"code": 200, "msg": "SUCCESS", "data": {"canDeposit": True, "balances": []}}


def test_the_documents_world_cannot_be_made_of_two_merchants() -> None:
    with pytest.raises(ValueError, match="at least 3"):
        Sandbox(scenario="document", merchants=2)


@pytest.mark.parametrize("merchant_id", ["7", "99999", "9999999999999999999"])
async def test_an_unknown_merchant_is_an_error_with_http_200(sandbox: Sandbox, ask: Ask, merchant_id: str) -> None:
    status, _, body = await ask(sandbox.url, f"{BALANCES}?merchantId={merchant_id}")
    assert (status, json.loads(body)["code"]) == (200, -5006)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?merchantId=",
        "?merchantId=abc",
        "?merchantId=-1",
        "?merchantId=%2B5",
        "?merchantId=007",
        "?merchantId=1_0",
        "?merchantId=%D9%A1",
        "?merchantId=12345&merchantId=12345",
        "?merchantId=12345.0",
        "?merchantid=12345",
    ],
)
async def test_a_missing_or_malformed_merchant_id_is_a_parameter_error(sandbox: Sandbox, ask: Ask, query: str) -> None:
    status, _, body = await ask(sandbox.url, BALANCES + query)
    assert (status, json.loads(body)["code"]) == (200, -4010)


@pytest.mark.parametrize("token", ["", "wrong", "sandbox-tokenn", "SANDBOX-TOKEN"])
@pytest.mark.parametrize("path", [f"{BALANCES}?merchantId=12345", f"{BALANCES}?merchantId=7", "/v2/merchants"])
async def test_a_wrong_token_is_401_whatever_is_asked(sandbox: Sandbox, ask: Ask, token: str, path: str) -> None:
    status, _, body = await ask(sandbox.url, path, X_BH_TOKEN=token)
    assert (status, json.loads(body)) == (401, {"code": 401, "msg": "TOKEN_INVALID", "data": None})


async def test_a_call_without_any_token_is_401(sandbox: Sandbox, exchange: Exchange) -> None:
    received, _ = await exchange(
        sandbox.url, f"GET {BALANCES}?merchantId=12345 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    )
    assert received.startswith(b"HTTP/1.1 401 Unauthorized\r\n")


async def test_an_address_that_is_not_listed_is_403_even_with_a_good_token(ask: Ask) -> None:
    async with Sandbox(addresses={"192.0.2.1"}) as sandbox:
        status, _, body = await ask(sandbox.url, f"{BALANCES}?merchantId=0")
    assert (status, json.loads(body)["msg"]) == (403, "ADDRESS_NOT_LISTED")


async def test_a_listed_address_is_let_in(ask: Ask) -> None:
    async with Sandbox(addresses={"127.0.0.1"}) as sandbox:
        status, _, _ = await ask(sandbox.url, f"{BALANCES}?merchantId=0")
    assert status == 200


async def test_the_assets_need_no_token(sandbox: Sandbox, ask: Ask) -> None:
    _, _, body = await ask(sandbox.url, "/v2/base/cryptos", X_BH_TOKEN="")
    accuracies = {row["crypto"]: row["accuracy"] for row in json.loads(body)["data"]}
    assert accuracies["BTC"] == 8
    assert set(accuracies) == {"BTC", "USDT", "USDC", "MMXN", "BRL1", "CADC", "MXNB", "COPM"}


@pytest.mark.parametrize("path", ["/", "/v2", f"{BALANCES}/", "/v1/merchants"])
async def test_an_unknown_path_is_404_in_an_envelope(sandbox: Sandbox, ask: Ask, path: str) -> None:
    status, _, body = await ask(sandbox.url, path)
    assert (status, json.loads(body)["code"]) == (404, 404)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD"])
async def test_only_get_is_answered(sandbox: Sandbox, ask: Ask, method: str) -> None:
    status, _, body = await ask(sandbox.url, f"{BALANCES}?merchantId=0", method=method)
    assert status == 405
    assert bool(body) == (method != "HEAD")


@pytest.mark.parametrize("path", [f"{BALANCES}?merchantId=0", f"{BALANCES}?merchantId=7", "/nothing", "/v2/merchants"])
async def test_every_answer_has_the_date_of_the_clock(ask: Ask, path: str) -> None:
    async with Sandbox(clock=lambda: 1_800_000_000.75) as sandbox:
        _, headers, _ = await ask(sandbox.url, path)
    assert parsedate_to_datetime(headers["date"]).timestamp() == 1_800_000_000


async def test_one_connection_serves_many_requests_even_pipelined(sandbox: Sandbox, exchange: Exchange) -> None:
    request = f"GET {BALANCES}?merchantId=12345 HTTP/1.1\r\nHost: x\r\nX-BH-TOKEN: sandbox-token\r\n".encode()
    received, _ = await exchange(sandbox.url, (request + b"\r\n") * 9 + request + b"Connection: close\r\n\r\n")
    assert received.count(b"HTTP/1.1 200 OK\r\n") == 10
    assert (sandbox.counters.connections, sandbox.counters.total) == (1, 10)


async def test_pipelined_requests_keep_their_order_when_the_first_is_slow(sandbox: Sandbox, exchange: Exchange) -> None:
    requests = [
        f"GET {BALANCES}?merchantId={merchant_id} HTTP/1.1\r\nHost: x\r\nX-BH-TOKEN: sandbox-token\r\n{last}\r\n"
        for merchant_id, last in ((12345, ""), (12346, "Connection: close\r\n"))
    ]
    with sandbox.fault("latency", seconds=0.01, merchants=[12345]):
        received, _ = await exchange(sandbox.url, "".join(requests).encode())
    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert received.index(b'"total":"1000"') < received.index(b'"balances":[]')


async def test_bytes_that_are_no_http_are_400_and_the_end(sandbox: Sandbox, exchange: Exchange) -> None:
    received, _ = await exchange(sandbox.url, b"what is this\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 400 Bad Request\r\n")


async def test_leaving_cuts_the_connections_that_are_still_open() -> None:
    async with Sandbox() as sandbox:
        port = urlsplit(sandbox.url).port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        sandbox.add_fault("hang")
        writer.write(f"GET {BALANCES}?merchantId=0 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await sandbox.calls(1)
    assert await reader.read() == b""
    assert sandbox.counters.in_flight == 0
    writer.close()
    await writer.wait_closed()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
