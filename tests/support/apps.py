"""The API over a real cache in virtual time, or over nothing but an exception."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx
from litestar import Litestar

from app.access.callers import Caller, Callers, hash_key
from app.access.client_addresses import ClientAddresses
from app.access.failed_logins import FailedLogins
from app.accounts import Accounts, Available
from app.api.app import Access, ApiOptions, Balances, ServicePages, build_api
from app.api.middleware.edge import Edge
from app.api.routes.service import Readiness
from app.balances.snapshots import AccountId
from app.cache.cache import Cache
from app.cache.freshness import FreshnessPolicy, RequestDirectives
from app.portfolio.parts import Parts
from app.portfolio.portfolio import Portfolio
from app.resilience.draining import Drain
from app.runtime import Runtime
from app.telemetry.exposition import Page
from app.telemetry.metrics import Metrics
from tests.support.replica import POLICY
from tests.support.service import lifespan
from tests.support.virtual_time import monotonic, virtual_runtime
from tests.support.wire_transport import WireTransport

T = TypeVar("T")


class FailingAccounts(Accounts):
    """Accounts whose every read raises an exception."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self.is_current = self.use = lambda _: False

    def get_now(self, account_id: AccountId, directives: RequestDirectives) -> None:
        return None

    async def get(self, account_id: AccountId, directives: RequestDirectives, caller: str) -> Available:
        raise self._error


class FailingPortfolio(Portfolio):
    """A portfolio whose every read raises an exception."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def get_parts(
        self, readable: frozenset[AccountId] | str, directives: RequestDirectives, caller: str
    ) -> Parts:
        raise self._error


def build_app(cache: Cache, callers: Callers, metrics: Metrics, *, drain: Drain | None = None, **options: Any) -> Edge:
    """Build the API over a cache, in virtual time and without a portfolio. `options` are those of `ApiOptions`."""

    async def look() -> Readiness:
        return Readiness("ready", 1, "accepted", "available")  # type: ignore[arg-type]

    return build_api(
        ApiOptions(version="0", policy=POLICY, **options),
        Access(callers, FailedLogins(1000, monotonic), ClientAddresses(())),
        Balances(Accounts(cache), FailingPortfolio(NotImplementedError())),
        ServicePages(look, None, drain or Drain()),
        virtual_runtime(metrics=metrics),
    )


def _build_failing(error: Exception, runtime: Runtime, *, plain: bool, lifespan: Any = ()) -> Edge:
    async def look() -> Readiness:
        raise error

    def scrape(_: str) -> Page:
        raise error

    caller = Caller("one", hash_key("key"), "all", portfolio=True, rate=100_000)
    return build_api(
        ApiOptions(version="0", policy=FreshnessPolicy(5_000, 30_000, 600_000, 10_000), plain=plain),
        Access(
            Callers([caller], workers=1, monotonic=runtime.monotonic),
            FailedLogins(1000, runtime.monotonic),
            ClientAddresses(()),
        ),
        Balances(FailingAccounts(error), FailingPortfolio(error)),
        ServicePages(look, scrape, Drain()),
        runtime,
        lifespan,
    )


@asynccontextmanager
async def failing_app(error: Exception, *, plain: bool, **runtime: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Run the API over an exception. The one caller has a rate far above what a test asks for."""
    app = _build_failing(error, Runtime(**{"unix_ms": lambda: 0, **runtime}), plain=plain)
    transport = WireTransport(app)
    headers = {"Authorization": "Bearer key"}
    async with lifespan(app), httpx.AsyncClient(transport=transport, base_url="http://x", headers=headers) as client:
        yield client


async def read_framework(read: Callable[[Litestar], T]) -> T:
    """Give what is read of the web framework once it has started."""
    found: list[T] = []

    @asynccontextmanager
    async def look_at(framework: Litestar) -> AsyncIterator[None]:
        found.append(read(framework))
        yield

    async with lifespan(_build_failing(NotImplementedError(), Runtime(), plain=True, lifespan=[look_at])):
        return found[0]


async def served_paths() -> set[str]:
    """Give the template of every path that the web framework serves."""
    return await read_framework(lambda framework: {route.path_format for route in framework.routes})
