"""The bypass answers reads of one account itself, and passes on everything else."""

from typing import Any

import pytest
from fakeredis import FakeServer

from app.access.callers import Caller, Callers, hash_key
from app.access.failed_logins import FailedLogins
from app.accounts import Accounts
from app.api.context import CONTEXT, RequestContext
from app.api.reads.account_reads import AccountReads, ReadRequest, pass_on
from app.api.reads.admission import Admission
from app.api.reads.bypass import bypass_framework
from app.api.reads.resources import ACCOUNT, ASSET, PORTFOLIO, UPSTREAM_SHAPE
from app.api.rendering.representations import RepresentationCache
from tests.support.replica import POLICY, Upstream, run_replicas
from tests.support.virtual_time import monotonic, unix_ms

CALLERS = (Caller("all", hash_key("all"), "all", portfolio=True),)
KEY = (b"authorization", b"Bearer all")


class _Framework:
    """What is behind the bypass."""

    def __init__(self) -> None:
        self.requests = 0

    async def __call__(self, *_: object) -> None:
        self.requests += 1


async def _ask(
    path: str, method: str = "GET", query: bytes = b"", headers: tuple[Any, ...] = (KEY,), *, is_known: bool = False
) -> tuple[Any, ...]:
    framework, sent = _Framework(), []
    async with run_replicas(Upstream(), FakeServer(), 1) as (replica,):
        admission = Admission(Callers(CALLERS, workers=1, monotonic=monotonic), FailedLogins(1, monotonic))
        reads = AccountReads(admission, Accounts(replica.cache), RepresentationCache(10, 10**6), POLICY, unix_ms)

        async def send(message: Any) -> None:
            sent.append(message)

        scope: Any = {"type": "http", "method": method, "path": path, "query_string": query, "headers": headers}
        scope["state"] = {CONTEXT: RequestContext("r")}
        if is_known:
            request = ReadRequest(path, query, ("Bearer all",), (), None, None, None)
            pass_on(scope, reads.find_known(request, unix_ms()))
        await bypass_framework(framework, reads)(scope, send, send)  # type: ignore[arg-type]
    return framework.requests, [message["status"] for message in sent[:1]], scope.get("path_template")


@pytest.mark.parametrize(
    ("path", "query", "status", "route"),
    [
        ("/v1/merchants/1/balances", b"", 200, ACCOUNT),
        ("/v1/merchants/1/balances/USDT", b"format=csv", 200, ASSET),
        ("/v1/merchants/1/balances/BTC", b"", 404, ASSET),
        ("/v1/portfolio", b"nonzero=true", 200, PORTFOLIO),
        ("/v1/portfolio", b"x=1", 400, PORTFOLIO),
        ("/v2/assets/account/assets", b"merchantId=1", 200, UPSTREAM_SHAPE),
    ],
)
async def test_a_first_read_and_its_errors_need_no_framework(path: str, query: bytes, status: int, route: str) -> None:
    assert await _ask(path, query=query) == (0, [status], route)


async def test_what_is_decided_is_not_decided_again() -> None:
    assert await _ask("/v1/portfolio", headers=(), is_known=True) == (0, [200], PORTFOLIO)


async def test_a_refused_caller_needs_no_framework() -> None:
    assert await _ask("/v1/portfolio", headers=()) == (0, [401], PORTFOLIO)


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/v1/merchants/1/balances", "POST"),
        ("/v1/merchants/1/balances", "OPTIONS"),
        ("/v1/merchants", "GET"),
        ("/v1/portfolio/merchants", "GET"),
        ("/health/live", "GET"),
    ],
)
async def test_everything_else_is_passed_on(path: str, method: str) -> None:
    requests, statuses, _ = await _ask(path, method)
    assert (requests, statuses) == (1, [])
