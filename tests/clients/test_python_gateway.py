"""The Python client against the real gateway: each operation, and what a program gets of it."""

from decimal import Decimal

import httpx
import pytest
from tallygate_client import (
    AsyncClient,
    FeedChanges,
    ForbiddenError,
    FreshPart,
    InvalidRequestError,
    MissingPart,
    NotAcceptedError,
    NotFoundError,
    UnauthenticatedError,
    UnavailableError,
)

from app.access.callers import Caller, hash_key
from app.balances.snapshots import AccountId
from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.clients.conftest import connect
from tests.support.service import Service, run_service


async def test_a_merchant_is_read_with_exact_amounts(client: AsyncClient) -> None:
    answer = await client.get_merchant_balances(12345, assets=["USDT"])
    (row,) = answer.fresh.balances
    assert isinstance(row.total, Decimal)
    assert row.total == row.free + row.locked
    assert answer.state == "fresh"
    assert answer.age_seconds is not None
    assert (await client.get_asset_balance(12345, "USDT")).fresh.total == row.total


async def test_an_unchanged_answer_is_read_by_its_tag(service: Service, client: AsyncClient) -> None:
    statuses: list[int] = []

    async def note(response: httpx.Response) -> None:
        statuses.append(response.status_code)

    service.anonymous.event_hooks["response"].append(note)
    try:
        first, second = [(await client.get_merchant_balances(10001)).fresh for _ in range(2)]
    finally:
        service.anonymous.event_hooks["response"].remove(note)
    assert statuses == [200, 304]
    assert first == second


async def test_the_caller_sees_itself(client: AsyncClient, service: Service) -> None:
    assert (await client.get_me()).merchants == "all"
    assert (await connect(service, "some").get_me()).merchants == (777, 12345)


async def test_moves_are_reported_by_those_who_may(
    client: AsyncClient, valkey: EmbeddedValkey, upstream: Sandbox
) -> None:
    with pytest.raises(ForbiddenError):
        await client.report_moves([12345])
    mover = Caller("mover", hash_key("tg_mover"), frozenset({AccountId("12345")}), moves=True)
    async with run_service(upstream, valkey.url, flush=False, more=[mover]) as service:
        moving = AsyncClient("http://tallygate.test", "tg_mover", http=service.anonymous)
        assert (await moving.report_moves([12345])).merchants == 1


async def test_all_together_and_every_merchant(client: AsyncClient) -> None:
    assert (await client.get_portfolio()).fresh.merchant_id == 0
    merchants = [one.merchant_id async for one in client.each_merchant(max_age=600)]
    pages = [page.fresh async for page in client.each_breakdown_page(limit=1, max_age=600)]
    assert [page.merchants[0].merchant_id for page in pages] == merchants
    assert pages[0].totals
    holders = [page.fresh.total async for page in client.each_holders_page("USDT", max_age=600)]
    assert holders[0] is not None
    assert holders[0].total > 0


async def test_a_batch_with_a_missing_part_is_neither_fresh_nor_whole(client: AsyncClient) -> None:
    for answer in (await client.get_balances([12345, 404404]), await client.query_balances([12345, 404404])):
        assert answer.state == "partial"
        with pytest.raises(NotAcceptedError):
            _ = answer.fresh
        with pytest.raises(NotAcceptedError):
            answer.accept_stale(600)
        known, missing = answer.accept_partial(600).merchants
        assert isinstance(known, FreshPart)
        assert isinstance(missing, MissingPart)
        assert missing.problem.kind == "unknown-merchant"
    with pytest.raises(UnavailableError) as caught:
        await client.get_balances([12345, 404404], require_complete=True)
    assert [part.merchant_id for part in caught.value.problem.failed] == [404404]


async def test_a_comparison_is_started_and_followed(client: AsyncClient) -> None:
    started = await client.start_reconciliation()
    assert (await client.get_reconciliation(started.id)).id == started.id


async def test_the_past_and_the_feed(client: AsyncClient) -> None:
    await client.get_merchant_balances(12345)
    assert (await client.get_merchant_changes(12345)).merchant_id == 12345
    await client.get_portfolio()
    assert (await client.get_portfolio_changes()).merchant_id == 0
    async for event in client.changes("all", wait_seconds=1):
        assert isinstance(event, FeedChanges)
        assert event.cursor
        break


async def test_health_and_the_upstream_s_own_shape(client: AsyncClient) -> None:
    assert (await client.get_liveness()).status == "alive"
    assert (await client.get_readiness()).status == "ready"
    assert (await client.get_upstream_balances(12345)).fresh.balances


async def test_problems_have_types(client: AsyncClient, service: Service) -> None:
    with pytest.raises(NotFoundError) as caught:
        await client.get_merchant_balances(404404)
    assert caught.value.kind == "unknown-merchant"
    with pytest.raises(ForbiddenError):
        await connect(service, "some").get_portfolio()
    with pytest.raises(InvalidRequestError):
        await client.get_balances([0])
    with pytest.raises(UnauthenticatedError):
        await AsyncClient("http://tallygate.test", "wrong", http=service.anonymous).get_me()
    with pytest.raises(ValueError, match="No path"):
        await client.get_asset_balance(12345, "..")
