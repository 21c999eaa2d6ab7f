"""The control port and the counters, as another process sees them."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sandbox import Sandbox

Ask = Callable[..., Awaitable[tuple[int, dict[str, str], bytes]]]

BALANCES = "/v2/assets/account/assets"
ROW = {"asset": "X", "assetId": "X", "assetName": "X", "total": "5", "free": "1", "locked": "1"}


async def control(ask: Ask, sandbox: Sandbox, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    status, _, answer = await ask(sandbox.control_url, path, method=method, body=body)
    return status, json.loads(answer)


async def balances(ask: Ask, sandbox: Sandbox, merchant_id: int) -> tuple[int, Any]:
    status, _, body = await ask(sandbox.url, f"{BALANCES}?merchantId={merchant_id}")
    return status, json.loads(body)


async def test_a_fault_is_added_listed_and_removed(sandbox: Sandbox, ask: Ask) -> None:
    fault = {"kind": "status", "status": 500, "share": 1.0, "times": None, "merchants": [12345], "paths": None}
    _, added = await control(ask, sandbox, "POST", "/faults", fault)
    assert (await balances(ask, sandbox, 12345))[0] == 500
    assert (await balances(ask, sandbox, 0))[0] == 200
    _, listing = await control(ask, sandbox, "GET", "/faults")
    assert listing == {"faults": [{"id": added["id"], "fired": 1, "fault": {"body": None, **fault}}]}
    assert (await control(ask, sandbox, "DELETE", f"/faults/{added['id']}")) == (200, {"removed": 1})
    assert (await balances(ask, sandbox, 12345))[0] == 200
    assert (await control(ask, sandbox, "DELETE", f"/faults/{added['id']}"))[0] == 404


async def test_all_faults_are_removed_at_once(sandbox: Sandbox, ask: Ask) -> None:
    for _ in range(3):
        await control(ask, sandbox, "POST", "/faults", {"kind": "hang"})
    assert await control(ask, sandbox, "DELETE", "/faults") == (200, {"removed": 3})
    assert (await balances(ask, sandbox, 0))[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/faults", {"kind": "none such"}),
        ("POST", "/faults", {"kind": "latency"}),
        ("POST", "/faults", None),
        ("PUT", "/merchants/5", {"balances": "none"}),
        ("POST", "/discrepancy", {"asset": "BTC", "amount": "much"}),
        ("POST", "/discrepancy", {"asset": "BTC", "amount": 0.1}),
        ("PUT", "/disagreement", {"order": "odd"}),
        ("GET", "/counters?calls=many", None),
    ],
)
async def test_a_wrong_order_is_400_and_says_why(sandbox: Sandbox, ask: Ask, method: str, path: str, body: Any) -> None:
    status, answer = await control(ask, sandbox, method, path, body)
    assert status == 400
    assert answer["error"]


async def test_unknown_paths_are_404_and_wrong_methods_405(sandbox: Sandbox, ask: Ask) -> None:
    assert (await control(ask, sandbox, "GET", "/nothing"))[0] == 404
    assert (await control(ask, sandbox, "PUT", "/merchants/0", {"balances": []}))[0] == 404
    assert await control(ask, sandbox, "PUT", "/faults") == (
        405,
        {"error": "no PUT here", "methods": ["DELETE", "GET", "POST"]},
    )


async def test_a_merchant_is_set_moved_and_deleted(sandbox: Sandbox, ask: Ask) -> None:
    await control(ask, sandbox, "PUT", "/merchants/777", {"canDeposit": False, "balances": [ROW]})
    assert (await balances(ask, sandbox, 777))[1]["data"] == {"canDeposit": False, "balances": [ROW]}
    assert (await balances(ask, sandbox, 0))[1]["data"]["balances"][-1] == ROW
    await control(ask, sandbox, "POST", "/merchants/777/move")
    assert (await balances(ask, sandbox, 777))[1]["data"]["balances"] != [ROW]
    assert (await control(ask, sandbox, "DELETE", "/merchants/777"))[0] == 200
    assert (await balances(ask, sandbox, 777))[1]["code"] == -5006


@pytest.mark.parametrize(("method", "path"), [("DELETE", "/merchants/7"), ("POST", "/merchants/7/move")])
async def test_a_merchant_that_does_not_exist_is_404(sandbox: Sandbox, ask: Ask, method: str, path: str) -> None:
    assert (await control(ask, sandbox, method, path))[0] == 404


async def test_a_discrepancy_shows_in_the_aggregate_alone(sandbox: Sandbox, ask: Ask) -> None:
    await control(ask, sandbox, "POST", "/discrepancy", {"asset": "USDT", "amount": "-0.000001"})
    row = (await balances(ask, sandbox, 0))[1]["data"]["balances"][0]
    assert (row["total"], row["free"], row["locked"]) == ("4999.999999", "3999.999999", "1000")
    assert (await balances(ask, sandbox, 12345))[1]["data"]["balances"][0]["total"] == "1000"


async def test_every_call_is_counted_by_path_merchant_and_status(sandbox: Sandbox, ask: Ask) -> None:
    for merchant_id in (12345, 12345, 0, 7):
        await balances(ask, sandbox, merchant_id)
    await ask(sandbox.url, "/v2/base/cryptos")
    await ask(sandbox.url, "/nothing")
    _, counted = await control(ask, sandbox, "GET", "/counters")
    arrivals = counted.pop("arrivals")
    assert counted == {
        "total": 6,
        "byPath": {BALANCES: 4, "/v2/base/cryptos": 1, "/nothing": 1},
        "byMerchant": {"12345": 2, "0": 1, "7": 1},
        "byStatus": {"200": 5, "404": 1},
        "inFlight": 0,
        "maxInFlight": 1,
        "connections": 6,
    }
    assert len(arrivals) == 4
    assert arrivals == sorted(arrivals)
    assert sandbox.counters.by_merchant[12345] == 2


async def test_a_reset_begins_at_zero_but_keeps_what_is_in_flight(sandbox: Sandbox, ask: Ask) -> None:
    with sandbox.fault("hang"):
        calls = [asyncio.create_task(balances(ask, sandbox, 0)) for _ in range(3)]
        await sandbox.calls(3)
        assert (sandbox.counters.in_flight, sandbox.counters.max_in_flight) == (3, 3)
        await control(ask, sandbox, "DELETE", "/counters")
        assert (sandbox.counters.total, sandbox.counters.in_flight, sandbox.counters.max_in_flight) == (0, 3, 3)
    await asyncio.gather(*calls)
    assert sandbox.counters.in_flight == 0


async def test_waiting_for_calls_ends_when_as_many_have_arrived(sandbox: Sandbox, ask: Ask) -> None:
    waiting = asyncio.create_task(control(ask, sandbox, "GET", "/counters?calls=2&timeoutSeconds=60"))
    with sandbox.fault("hang"):
        calls = [asyncio.create_task(balances(ask, sandbox, 0)) for _ in range(2)]
        status, counted = await waiting
    await asyncio.gather(*calls)
    assert (status, counted["byPath"]) == (200, {BALANCES: 2})


async def test_waiting_for_calls_that_have_arrived_already_does_not_wait(sandbox: Sandbox, ask: Ask) -> None:
    await balances(ask, sandbox, 0)
    assert (await control(ask, sandbox, "GET", "/counters?calls=1&timeoutSeconds=0"))[0] == 200


async def test_waiting_in_vain_is_408_with_what_has_been_counted(sandbox: Sandbox, ask: Ask) -> None:
    await balances(ask, sandbox, 0)
    status, counted = await control(ask, sandbox, "GET", "/counters?calls=2&timeoutSeconds=0.001")
    assert (status, counted["total"]) == (408, 1)
    with pytest.raises(TimeoutError):
        await sandbox.calls(2, timeout_seconds=0.001)


async def test_other_calls_than_those_for_balances_are_not_waited_for(sandbox: Sandbox, ask: Ask) -> None:
    await ask(sandbox.url, "/v2/base/cryptos")
    assert (await control(ask, sandbox, "GET", "/counters?calls=1&timeoutSeconds=0"))[0] == 408


async def test_the_aggregate_disagrees_with_its_merchants_in_every_way(sandbox: Sandbox, ask: Ask) -> None:
    async def aggregate(**how: Any) -> tuple[bool, list[tuple[str, str]]]:
        assert (await control(ask, sandbox, "PUT", "/disagreement", how))[0] == 200
        data = (await balances(ask, sandbox, 0))[1]["data"]
        return data["canDeposit"], [(row["assetId"], row["assetName"]) for row in data["balances"]]

    usdt, btc = ("USDT", "USDT"), ("BTC", "BTC")
    merchant = await balances(ask, sandbox, 12345)
    assert await aggregate() == (True, [usdt, btc])
    assert await aggregate(missing=["USDT"]) == (True, [btc])
    assert await aggregate(extra=[ROW]) == (True, [usdt, btc, ("X", "X")])
    assert await aggregate(renamed={"BTC": "Bit"}) == (True, [usdt, ("BTC", "Bit")])
    assert await aggregate(canDeposit=False) == (False, [usdt, btc])
    assert await aggregate(order="reversed") == (True, [btc, usdt])
    assert await aggregate(order="by-name", renamed={"BTC": "z"}) == (True, [usdt, ("BTC", "z")])
    assert await balances(ask, sandbox, 12345) == merchant
    assert await aggregate() == (True, [usdt, btc])
