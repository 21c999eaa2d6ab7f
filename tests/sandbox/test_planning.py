"""Which faults a request meets."""

from typing import Any, get_args

import msgspec
import pytest

from sandbox import Fault, Sandbox
from sandbox.faults import Hang, HttpStatus, Latency, fault_named
from sandbox.messages import BALANCES_PATH, Request

KINDS = {
    "latency": {"seconds": 1, "jitterSeconds": 0.5},
    "status": {"status": 500, "body": "x"},
    "rate-limited": {"retryAfterSeconds": 3},
    "hang": {},
    "drip": {"bytesPerSecond": 2},
    "reset": {},
    "truncated": {},
    "malformed": {},
    "html": {},
    "wrong-types": {},
    "amount": {"value": [1], "field": "free"},
    "duplicate-row": {},
    "duplicate-name": {},
    "total-mismatch": {},
    "unknown-field": {},
    "gzip-bomb": {"megabytes": 2},
    "huge": {"megabytes": 2},
    "redirect": {"location": "/x", "status": 301},
    "token-expired": {},
    "address-not-listed": {},
    "code": {"code": -1, "msg": "m", "httpStatus": 500},
    "empty": {},
    "close": {},
}


def exchange(merchant_id: str = "12345", path: str = BALANCES_PATH) -> Request:
    return Request("GET", path, {"merchantId": [merchant_id]}, {}, b"", "127.0.0.1")


def statuses(sandbox: Sandbox, requests: list[Request]) -> list[int | None]:
    spoilers = [sandbox.faults.plan(request).spoiler for request in requests]
    return [spoiler.status if isinstance(spoiler, HttpStatus) else None for spoiler in spoilers]


def test_no_kind_is_missing_here() -> None:
    assert {kind.__struct_config__.tag for kind in get_args(Fault)} == set(KINDS)


@pytest.mark.parametrize(("kind", "fields"), KINDS.items())
def test_every_kind_can_be_written_and_read_again(kind: str, fields: dict[str, Any]) -> None:
    fault: Fault = msgspec.json.decode(msgspec.json.encode({"kind": kind, **fields}), type=Fault)
    document = msgspec.to_builtins(fault)
    assert {name: document[name] for name in ("kind", *fields)} == {"kind": kind, **fields}


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("no-such-kind", {}),
        ("latency", {}),
        ("latency", {"seconds": -1}),
        ("latency", {"seconds": 1, "colour": "red"}),
        ("status", {"status": 99}),
        ("hang", {"share": 1.5}),
        ("hang", {"times": 0}),
        ("amount", {"value": 1, "field": "asset"}),
        ("redirect", {"location": "/\r\nX-Evil: 1"}),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(kind: str, fields: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        fault_named(kind, fields)


def test_times_is_how_often_a_fault_fires_and_the_next_one_follows() -> None:
    sandbox = Sandbox(merchants=1)
    sandbox.add_fault("status", status=501, times=2)
    sandbox.add_fault("status", status=502, times=1)
    assert statuses(sandbox, [exchange()] * 4) == [501, 501, 502, None]
    assert [one["fired"] for one in sandbox.faults.as_document()] == [2, 1]


def test_a_fault_meets_only_the_merchants_it_names() -> None:
    sandbox = Sandbox(merchants=1)
    sandbox.add_fault("status", status=500, merchants=[12345, 0])
    requests = [
        exchange("12345"),
        exchange("0"),
        exchange("10001"),
        exchange("012345"),
        exchange("12345", "/v2/merchants"),
    ]
    assert statuses(sandbox, requests) == [500, 500, None, None, None]


def test_a_fault_meets_only_the_paths_it_names() -> None:
    sandbox = Sandbox(merchants=1)
    sandbox.add_fault("status", status=500, paths=["/v2/merchants"])
    assert statuses(sandbox, [exchange(), exchange(path="/v2/merchants")]) == [None, 500]


def test_a_share_of_the_requests_is_met_and_the_same_for_the_same_seed() -> None:
    runs = []
    for _ in range(2):
        sandbox = Sandbox(merchants=1, seed=5)
        sandbox.add_fault("status", status=500, share=0.25)
        runs.append(statuses(sandbox, [exchange()] * 4000))
    assert runs[0] == runs[1]
    assert 900 < runs[0].count(500) < 1100


def test_a_share_of_nothing_meets_nobody() -> None:
    sandbox = Sandbox(merchants=1)
    sandbox.add_fault("status", status=500, share=0)
    assert statuses(sandbox, [exchange()] * 100) == [None] * 100


def test_all_holds_add_up_and_of_the_other_faults_the_first_wins() -> None:
    sandbox = Sandbox(merchants=1)
    for fault in (Latency(seconds=1), HttpStatus(status=500), Hang(), HttpStatus(status=501)):
        sandbox.add_fault(fault)
    plan = sandbox.faults.plan(exchange())
    assert [type(held.hold) for held in plan.holds] == [Latency, Hang]
    assert plan.spoiler == HttpStatus(status=500)


def test_a_fault_lasts_as_long_as_its_with_also_when_that_fails() -> None:
    sandbox = Sandbox(merchants=1)
    with pytest.raises(LookupError), sandbox.fault("hang"):
        raise LookupError
    assert sandbox.faults.as_document() == []


def test_a_fault_may_be_cleared_inside_its_with() -> None:
    sandbox = Sandbox(merchants=1)
    with sandbox.fault("hang"):
        sandbox.clear_faults()
    assert not sandbox.faults.plan(exchange()).holds
