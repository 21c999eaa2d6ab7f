"""Every fault of the sandbox, one by one: what the caller gets, what the log says, and that it is over afterwards."""

from collections.abc import AsyncIterator
from typing import Any, get_args

import msgspec
import pytest

from app.redis.embedded import EmbeddedValkey
from sandbox import Fault, Sandbox
from tests.support.gateway import Gateway, run_gateway


class Outcome(msgspec.Struct, frozen=True):
    """What a fault leads to: the answer's status and type of problem, and the log line with its fields."""

    kind: str
    fields: dict[str, Any]
    status: int
    problem: str | None
    event: str | None
    logged: dict[str, Any]


def fails(kind: str, status: int, problem: str, error: str, says: str, /, **fields: Any) -> Outcome:
    return Outcome(kind, fields, status, problem, "upstream.failed", {"error": error, "says": says})


def timed_out(kind: str, /, **fields: Any) -> Outcome:
    return fails(kind, 504, "upstream-timeout", "UpstreamTimeout", "within 1 s", **fields)


def malformed(kind: str, says: str, /, **fields: Any) -> Outcome:
    return fails(kind, 502, "malformed-answer", "MalformedAnswer", says, **fields)


def unreachable(kind: str, says: str, /, **fields: Any) -> Outcome:
    return fails(kind, 503, "upstream-unreachable", "Unreachable", says, **fields)


def faulty(kind: str, says: str, /, **fields: Any) -> Outcome:
    return fails(kind, 503, "upstream-faulty", "UpstreamFaulty", says, **fields)


def odd(kind: str, event: str, /, **logged: Any) -> Outcome:
    return Outcome(kind, {}, 200, None, event, logged)


EXPECTED = [
    Outcome("latency", {"seconds": 0.05}, 200, None, None, {}),
    timed_out("latency", seconds=3600),
    timed_out("hang"),
    timed_out("drip"),
    faulty("status", "HTTP 500", status=500),
    faulty("status", "HTTP 503", status=503, body="upstream connect error"),
    fails("status", 502, "token-refused", "TokenRefused", "token", status=401),
    fails("status", 502, "access-refused", "AccessRefused", "address", status=403),
    malformed("status", "HTTP 404", status=404, body="no such page"),
    malformed("status", "not JSON", status=200, body="hello"),
    malformed("status", "envelope", status=200, body=[1]),
    fails("rate-limited", 503, "upstream-busy", "UpstreamBusy", "slow down", retry_after_seconds=0),
    malformed("malformed", "not JSON"),
    faulty("html", "HTTP 502"),
    malformed("redirect", "HTTP 302", location="http://127.0.0.1:9/elsewhere"),
    fails("token-expired", 502, "token-refused", "TokenRefused", "token"),
    fails("address-not-listed", 502, "access-refused", "AccessRefused", "address"),
    Outcome("code", {"code": -5006}, 404, "unknown-merchant", None, {}),
    Outcome("code", {"code": -5007}, 404, "unknown-merchant", None, {}),
    fails("code", 502, "request-refused", "RequestRefused", "parameter", code=-4021),
    fails("code", 502, "access-refused", "AccessRefused", "account", code=-5033),
    fails("code", 502, "merchant-inactive", "MerchantInactive", "not active", code=-5043),
    faulty("code", "try again", code=-5046),
    fails("code", 502, "unknown-code", "UnknownCode", "not documented", code=-1),
    fails("code", 502, "unknown-code", "UnknownCode", "not documented", code=0),
    malformed("empty", "not JSON"),
    malformed("wrong-types", "$.canDeposit"),
    malformed("amount", "$.balances[0].total", value="NaN"),
    malformed("amount", "$.balances[0].free", field="free", value=1.5),
    malformed("amount", "$.balances[0].locked", field="locked", value=None),
    malformed("duplicate-name", "twice"),
    odd("duplicate-row", "upstream.anomalies", kinds={"duplicate-asset"}),
    odd("total-mismatch", "upstream.anomalies", kinds={"total-mismatch"}),
    odd("unknown-field", "upstream.unknown_fields", fields=["unheardOf"]),
    unreachable("reset", "connection broke"),
    unreachable("truncated", "connection broke"),
    malformed("gzip-bomb", "compressed", megabytes=3),
    malformed("huge", "larger"),
    malformed("huge", "larger", megabytes=3),
    unreachable("close", "connection broke"),
]

KINDS = [kind.__struct_config__.tag for kind in get_args(Fault)]


SETTINGS: dict[str, Any] = {
    "redis_timeout_seconds": 5,
    "fresh_seconds": 0,
    "stale_while_revalidate_seconds": 0,
}


@pytest.fixture(scope="module")
async def patient(
    shared_upstream: Sandbox, valkey: EmbeddedValkey, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    """A gateway that keeps nothing for long, and gives its upstream time on the slowest of machines."""
    folder = tmp_path_factory.mktemp("patient")
    settings = {**SETTINGS, "upstream_timeout_seconds": 25}
    async with run_gateway(shared_upstream, folder, redis_url=valkey.url, **settings) as running:
        yield running


@pytest.fixture(scope="module")
async def hasty(
    shared_upstream: Sandbox, valkey: EmbeddedValkey, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    """A gateway that gives its upstream a second."""
    folder = tmp_path_factory.mktemp("hasty")
    settings = {**SETTINGS, "upstream_timeout_seconds": 1}
    async with run_gateway(shared_upstream, folder, redis_url=valkey.url, **settings) as running:
        yield running


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_fault_has_its_outcome_here(kind: str) -> None:
    assert kind in {outcome.kind for outcome in EXPECTED}


@pytest.mark.parametrize(
    "outcome", EXPECTED, ids=lambda outcome: "-".join([outcome.kind, *map(str, outcome.fields.values())])
)
async def test_a_fault_is_reported_to_caller_and_operator_and_then_over(
    patient: Gateway, hasty: Gateway, shared_upstream: Sandbox, merchants: list[int], outcome: Outcome
) -> None:
    gateway = hasty if outcome.logged.get("error") == "UpstreamTimeout" else patient
    merchant, *_ = merchants
    with shared_upstream.fault(outcome.kind, merchants=[merchant], **outcome.fields):
        answer = await gateway.get(f"/v1/merchants/{merchant}/balances")
    body = answer.json()
    assert answer.status_code == outcome.status
    if outcome.problem is None:
        assert body["merchantId"] == merchant
    else:
        assert answer.headers["content-type"] == "application/problem+json"
        assert (body["type"], body["status"]) == (f"/problems/{outcome.problem}", outcome.status)
        assert body["instance"] == f"/v1/merchants/{merchant}/balances"
    await assert_logged(gateway, str(merchant), outcome)
    after = await gateway.get(f"/v1/merchants/{merchant}/balances", Cache_Control="no-cache")
    assert after.status_code == 200
    assert len(gateway.named("upstream.failed", merchant=str(merchant))) == (outcome.event == "upstream.failed")


async def assert_logged(gateway: Gateway, merchant: str, outcome: Outcome) -> None:
    match outcome.event:
        case None:
            assert not [line for line in gateway.events if line.get("merchant") == merchant]
        case "upstream.failed":
            line = await gateway.logged("upstream.failed", merchant=merchant)
            assert line["error"] == outcome.logged["error"]
            assert outcome.logged["says"] in line["detail"]
            assert line["level"] == "warning"
            assert line["code"] == (outcome.fields["code"] if outcome.logged["error"] == "UnknownCode" else None)
        case "upstream.anomalies":
            line = await gateway.logged("upstream.anomalies", merchant=merchant)
            assert {anomaly["kind"] for anomaly in line["anomalies"]} == outcome.logged["kinds"]
        case event:
            line = await gateway.logged(event, merchant=merchant)
            assert line["fields"] == outcome.logged["fields"]


async def test_a_problem_below_v2_is_an_envelope_that_programs_of_the_upstream_understand(
    patient: Gateway, shared_upstream: Sandbox, merchants: list[int]
) -> None:
    with shared_upstream.fault("status", status=500, merchants=merchants):
        answer = await patient.get(f"/v2/assets/account/assets?merchantId={merchants[0]}")
    assert answer.status_code == 503
    assert (answer.json()["code"], answer.json()["data"]) == (-5046, None)


async def test_a_redirect_is_not_followed_so_the_token_goes_nowhere_else(
    patient: Gateway, shared_upstream: Sandbox, merchants: list[int]
) -> None:
    async with Sandbox(scenario="document") as other:
        for status in (301, 302, 307, 308):
            with shared_upstream.fault("redirect", location=f"{other.url}/v2/x", status=status, merchants=merchants):
                assert (await patient.get(f"/v1/merchants/{merchants[0]}/balances")).status_code == 502
        assert (other.counters.total, other.counters.connections) == (0, 0)
