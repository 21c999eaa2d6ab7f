"""The face with nothing behind it but an exception."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx

from app.access.callers import Caller, Callers, hash_key
from app.access.failed_logins import FailedLogins
from app.accounts import Accounts, Available, Question
from app.api.app import build_api
from app.api.middleware.edge import Edge
from app.api.routes.service import Readiness
from app.balances.snapshots import AccountId, Row
from app.cache.cache import Cache
from app.cache.freshness import FreshnessPolicy, RequestDirectives
from app.portfolio.parts import Parts
from app.portfolio.portfolio import Portfolio
from tests.support.replica import POLICY
from tests.support.service import lifespan
from tests.support.virtual_time import unix_ms


class FailingAccounts(Accounts):
    """A desk that answers every question with an exception."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def get_now(self, key: AccountId, directives: RequestDirectives) -> None:
        return None

    async def get(self, key: AccountId, question: Question) -> Available:
        raise self._error

    async def tell_asset(self, key: AccountId, asset_id: str, question: Question) -> tuple[Row, Available]:
        raise self._error


class FailingPortfolio(Portfolio):
    """A portfolio that answers every question with an exception."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def get_parts(self, readable: frozenset[AccountId] | str, question: Question) -> Parts:
        raise self._error


def face_over(cache: Cache, callers: Callers, monotonic: Callable[[], float], **further: Any) -> Edge:
    """Build the face over a real cache, in virtual time and without a portfolio."""

    async def look() -> Readiness:
        return Readiness("ready", 1, "accepted", "available")  # type: ignore[arg-type]

    return build_api(
        accounts=Accounts(cache),
        portfolio=FailingPortfolio(NotImplementedError()),
        callers=callers,
        failures=FailedLogins(1000, monotonic),
        policy=POLICY,
        look=look,
        version="0",
        now_ms=unix_ms,
        **further,
    )


@asynccontextmanager
async def face(error: Exception, monotonic: Callable[[], float] = time.monotonic) -> AsyncIterator[httpx.AsyncClient]:
    """Run the face before an exception; the one caller has a rate far above what a test asks for, told by `monotonic`."""

    async def look() -> Readiness:
        raise error

    caller = Caller("one", hash_key("key"), "all", portfolio=True, rate=100_000)
    app = build_api(
        accounts=FailingAccounts(error),
        portfolio=FailingPortfolio(error),
        callers=Callers([caller], workers=1, monotonic=monotonic),
        failures=FailedLogins(1000, monotonic),
        policy=FreshnessPolicy(5_000, 30_000, 600_000, 10_000),
        look=look,
        version="0",
        now_ms=lambda: 0,
    )
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
    headers = {"Authorization": "Bearer key"}
    async with lifespan(app), httpx.AsyncClient(transport=transport, base_url="http://x", headers=headers) as client:
        yield client
