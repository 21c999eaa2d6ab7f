"""What the audit says of requests to the service: who, what, how it ended; no amount, no credential, nothing unchecked."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.redis.embedded import EmbeddedValkey
from app.settings.sections import Audited
from sandbox import Sandbox
from tests.support.service import KEYS, Service, run_service

OWN = "/v1/merchants/12345/balances"
TEMPLATE = "/v1/merchants/{merchantId}/balances"


@pytest.fixture(scope="module")
async def audited(valkey: EmbeddedValkey, plain: bool) -> AsyncIterator[Service]:
    upstream = Sandbox(scenario="document", token="canary-token-3d1f")
    async with upstream, run_service(upstream, valkey.url, audit=Audited.ALL) as running:
        yield running


async def lines(service: Service, path: str, caller: str | None = "all", **headers: str) -> list[dict[str, Any]]:
    """Ask once and give the lines of the audit, without what is in every one."""
    if caller is not None:
        headers["Authorization"] = f"Bearer {KEYS.get(caller, caller)}"
    with capture_logs() as logs:
        await service.anonymous.get(path, headers=headers)
    return [
        {name: value for name, value in line.items() if name not in {"log_level", "method"}}
        for line in logs
        if line["event"].startswith("audit.")
    ]


async def test_each_answer_to_a_caller_has_a_line_hot_ones_too(audited: Service) -> None:
    for _ in range(3):
        (line,) = await lines(audited, OWN)
        told = {"event": "audit.answered", "caller": "all", "status": 200, "path": TEMPLATE, "merchant": "12345"}
        assert line.pop("age") >= 0
        assert line == told


@pytest.mark.parametrize(
    ("path", "caller", "told"),
    [
        ("/v1/merchants/99999/balances", "some", {"status": 403, "path": TEMPLATE, "merchant": "99999"}),
        ("/v1/balances?merchantId=12345,99999", "some", {"status": 403, "path": "/v1/balances", "merchants": 2}),
        ("/v1/portfolio", "some", {"status": 403, "path": "/v1/portfolio", "merchant": "0"}),
        ("/v2/assets/account/assets?merchantId=7", "some", {"status": 403, "merchant": "7"}),
    ],
)
async def test_a_refusal_says_who_wanted_what(audited: Service, path: str, caller: str, told: dict[str, Any]) -> None:
    (line,) = await lines(audited, path, caller)
    assert told.items() <= line.items()
    assert (line["event"], line["caller"], line["problem"]) == ("audit.refused", caller, "forbidden")
    assert "age" not in line


async def test_a_wrong_key_is_written_down_by_its_address_and_not_itself(audited: Service) -> None:
    (line,) = await lines(audited, OWN, "tg_wrong-key")
    assert (line["caller"], line["status"], line["problem"]) == (None, 401, "unauthenticated")
    assert line["address"] == "127.0.0.1"
    assert "tg_wrong-key" not in str(line)
    assert "merchant" not in line


async def test_what_is_no_merchant_is_not_written_down(audited: Service) -> None:
    (line,) = await lines(audited, "/v1/merchants/%0A12345/balances")
    assert (line["status"], line["path"], "merchant" in line) == (400, TEMPLATE, False)


async def test_what_needs_no_key_has_no_line(audited: Service) -> None:
    for path in ("/health/live", "/docs", "/v1/nowhere"):
        assert await lines(audited, path, None) == []


async def test_unless_all_is_audited_only_refusals_have_a_line(calm: Service) -> None:
    assert await lines(calm, OWN) == []
    assert [line["event"] for line in await lines(calm, "/v1/merchants/99999/balances", "some")] == ["audit.refused"]
