"""Each kind of problem, provoked at the real service or fed to the client, is a typed error with all its fields."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from tallygate_client import AsyncClient, Disconnected, EnvelopeError, Gap, MissingPart, ProblemError, StatusError

from app.access.tokens.issuers import Source
from app.api.problem_kinds import PROBLEMS
from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.gateway import free_port
from tests.support.polling import ask_until
from tests.support.service import KEYS, Service, run_service
from tests.support.tokens import ISSUER, URL, sign

KINDS = {kind.name: kind for kind in PROBLEMS.values()}
FED = {"internal-error", "unknown-path", "method-not-allowed", "body-too-slow", "bad-signature", "deadline-passed"}
"""Those that no call of a client can provoke. `test_python_sending.py` feeds all kinds to it."""

MANY = list(range(10**15, 10**15 + 1000))
LONG_AGO = "2020-01-01T00:00:00Z"
FAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    "token-refused": ("token-expired", {}),
    "access-refused": ("address-not-listed", {}),
    "merchant-inactive": ("code", {"code": -5043}),
    "request-refused": ("code", {"code": -4010}),
    "unknown-code": ("code", {"code": -9999}),
    "malformed-answer": ("malformed", {}),
    "upstream-unreachable": ("close", {}),
    "upstream-faulty": ("status", {"status": 500}),
}
Provoke = Callable[[], Awaitable[object]]


def connect(service: Service, credential: str = KEYS["all"]) -> AsyncClient:
    """A client that waits for nothing: its time stands, and its deadline is below any Retry-After."""
    return AsyncClient(
        "http://tallygate.test", credential, deadline_seconds=0.5, http=service.anonymous, monotonic=lambda: 0.0
    )


@asynccontextmanager
async def serving(valkey_url: str, **settings: Any) -> AsyncIterator[tuple[Service, AsyncClient]]:
    upstream = Sandbox(scenario="document", token="canary-token-3d1f")
    async with upstream, run_service(upstream, valkey_url, **settings) as service:
        yield service, connect(service)


async def check(provoked: dict[str, Provoke]) -> None:
    """Check that each is raised as its kind, with every field that the gateway sends."""
    for name, provoke in provoked.items():
        with pytest.raises(ProblemError) as caught:
            await provoke()
        check_error(name, caught.value)


def check_error(name: str, error: ProblemError) -> None:
    kind = KINDS[name]
    assert (error.kind, error.status, error.problem.title) == (name, kind.status, kind.title), error
    assert error.problem.status == error.status
    assert error.problem.detail in str(error)
    assert error.request_id
    assert (error.problem.instance or "").startswith("/v1/")
    assert error.retry_after_seconds == error.problem.retry_after
    assert type(error) is not ProblemError


async def raise_lost(client: AsyncClient) -> None:
    """Raise what the first event of a watch says of the stream that failed."""
    async for event in client.watch([12345]):
        assert isinstance(event, Disconnected)
        assert isinstance(event.error, StatusError)
        assert event.retry_in_seconds >= (event.error.retry_after_seconds or 0) >= 1
        raise event.error


async def raise_under(service: Service, client: AsyncClient, name: str) -> None:
    kind, fields = FAULTS[name]
    with service.upstream.fault(kind, merchants=[777], **fields):
        await client.get_merchant_balances(777, no_cache=True)


async def calm_provoked(service: Service, client: AsyncClient) -> dict[str, Provoke]:
    """Those that a service in good health gives."""
    await client.get_merchant_balances(12345)
    token = sign("ES256", now=time.time(), sub="reads-its-own", merchants=[12345])
    return {
        "invalid-request": lambda: client.get_balances([]),
        "unauthenticated": lambda: connect(service, "tg_wrong").get_me(),
        "forbidden": lambda: connect(service, KEYS["some"]).get_portfolio(),
        "unknown-merchant": lambda: client.get_merchant_balances(404404),
        "unknown-asset": lambda: client.get_asset_balance(12345, "NOPE"),
        "unknown-reconciliation": lambda: client.get_reconciliation("0123456789abcdef"),
        "no-reconciliation": client.get_last_reconciliation,
        "view-gone": lambda: client.get_breakdown(after=f"{'0' * 24}-1"),
        "no-history": lambda: client.get_merchant_balances_at(404404, LONG_AGO),
        "history-gone": lambda: client.get_merchant_balances_at(12345, LONG_AGO),
        "too-fast": lambda: asyncio.gather(*[connect(service, KEYS["slow"]).get_portfolio() for _ in range(4)]),
        "too-many-streams": lambda: raise_lost(client),
        "headers-too-large": connect(service, "x" * 30_000).get_me,
        "uri-too-long": lambda: client.get_balances(MANY),
        "body-too-large": lambda: client.query_balances(MANY * 100),
        "not-cached": lambda: client.get_merchant_balances(10001, only_if_cached=True),
        "incomplete": lambda: client.get_balances([12345, 404404], require_complete=True),
        "issuer-unavailable": connect(service, token).get_me,
        **{name: lambda name=name: raise_under(service, client, name) for name in FAULTS},  # type: ignore[misc]
    }


async def test_what_a_service_refuses_or_cannot_do_is_raised_as_its_kind(valkey: EmbeddedValkey) -> None:
    issuer = msgspec.structs.replace(ISSUER, source=Source(URL, jwks_url=f"http://127.0.0.1:{free_port()}/keys"))
    async with serving(valkey.url, streams=0, issuers=[issuer]) as (service, client):
        provoked = await calm_provoked(service, client)
        await check(provoked)
        assert set(KINDS) == FED | set(provoked) | ELSEWHERE
        with pytest.raises(ProblemError) as caught:
            await provoked["history-gone"]()
        assert caught.value.problem.kept_from
        with pytest.raises(ProblemError) as caught:
            await provoked["incomplete"]()
        assert [part.problem.kind for part in caught.value.problem.failed] == ["unknown-merchant"]
        async for event in client.changes("all", after=f"{'0' * 8}.{'A' * 60}"):
            assert event == Gap("feed-gone")
            break
        with pytest.raises(EnvelopeError) as refused:
            await client.get_upstream_balances(404404)
        assert (refused.value.code, refused.value.status) == (-5006, 404)


async def test_retry_after_of_a_service_is_obeyed(valkey: EmbeddedValkey) -> None:
    async with serving(valkey.url) as (service, _):
        pauses: list[float] = []

        async def sleep(seconds: float) -> None:
            pauses.append(seconds)
            await asyncio.sleep(seconds)

        http = service.anonymous
        client = AsyncClient("http://tallygate.test", KEYS["slow"], http=http, sleep=sleep, draw=lambda: 0.0)
        answers = await asyncio.gather(*[client.get_portfolio() for _ in range(3)])
        assert [answer.fresh.merchant_id for answer in answers] == [0, 0, 0]
        assert pauses == [1.0]


async def test_what_an_upstream_costs_is_raised_as_its_kind(valkey: EmbeddedValkey) -> None:
    async with serving(valkey.url, upstream_timeout_seconds=0.1) as (service, client):
        with service.upstream.fault("hang"):
            await check({"upstream-timeout": lambda: client.get_merchant_balances(12345)})
        with service.upstream.fault("status", status=500):
            for merchant in range(1, 9):
                with pytest.raises(ProblemError):
                    await client.get_merchant_balances(merchant)
            await check({"breaker-open": lambda: client.get_merchant_balances(777)})
    async with serving(valkey.url) as (service, client):
        with service.upstream.fault("rate-limited", retry_after_seconds=70):
            await check({"upstream-busy": lambda: client.get_merchant_balances(777)})
        await check({"budget-spent": client.get_portfolio})


async def test_without_redis_what_only_it_keeps_is_raised_as_such(valkey: EmbeddedValkey) -> None:
    away = f"redis://127.0.0.1:{free_port()}"
    async with serving(away, flush=False) as (_, client):
        await check({"store-unavailable": client.get_last_reconciliation})
        assert (await client.get_merchant_balances(12345)).fresh.balances


async def test_what_a_view_lacks_is_a_part_with_its_kind(valkey: EmbeddedValkey) -> None:
    upstream = Sandbox(merchants=40, token="canary-token-3d1f")
    rate: dict[str, Any] = {"upstream_rate": 8, "upstream_burst": 8, "fresh_seconds": 1}
    async with upstream, run_service(upstream, valkey.url, **rate) as service:
        client = connect(service)

        async def ask(**options: Any) -> set[str]:
            page = (await client.get_breakdown(limit=1000, sort="id", **options)).accept_partial(600)
            missing = [part for part in page.merchants if isinstance(part, MissingPart)]
            assert all(part.problem.status == 503 and (part.problem.retry_after or 0) >= 1 for part in missing)
            return {part.problem.kind for part in missing}

        assert await ask() == {"not-known-yet"}
        await ask_until(lambda: ask(max_age=1), lambda kinds: "too-old" in kinds)


ELSEWHERE = {
    *("feed-gone", "upstream-timeout", "breaker-open", "upstream-busy", "budget-spent"),
    *("store-unavailable", "not-known-yet", "too-old"),
}
"""Those that the other tests of this file provoke, or that are no error of a call."""
