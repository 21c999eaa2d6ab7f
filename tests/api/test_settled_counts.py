"""Promise 5, seen from outside: however many ask at once, the upstream is asked once; who goes away harms nobody."""

import asyncio
from collections import Counter

import pytest

from app.balances.snapshots import AGGREGATE
from app.budget.budget import PermitRequest, Priority
from app.cache.single_flight import SingleFlight
from tests.support.expired_answers import grow_older
from tests.support.polling import ask_until
from tests.support.seeded_redis import OLD_TOTAL, store
from tests.support.service import Service

PATH = "/v1/merchants/12345/balances"
VIEWS = [PATH, f"{PATH}?assets=BTC", f"{PATH}/BTC", f"{PATH}/USDT", "/v2/assets/account/assets?merchantId=12345"]


async def let_them_wait(service: Service) -> None:
    """Make a whole read of another merchant: every earlier request waits at the cache when it is answered."""
    await service.get("/v1/merchants/12346/balances", cache_control="no-cache")


async def test_the_lease_of_a_fetch_is_renewed_while_it_is_under_way(service: Service) -> None:
    """So no other replica takes over, however long the upstream takes."""
    lasts: list[int] = []

    async def has_waited() -> bool:
        (lease,) = [name async for name in service.redis.scan_iter("*12345*:lease")]
        lasts.append(await service.redis.pttl(lease))
        return lasts[-1] > min(lasts)

    with service.upstream.fault("hang"):
        read = asyncio.create_task(service.get(PATH))
        await service.upstream.calls(1)
        await ask_until(has_waited, bool)
    assert (await read).status_code == 200


async def test_fifty_cold_reads_of_one_merchant_are_one_upstream_call(service: Service) -> None:
    responses = await asyncio.gather(*(service.get(PATH) for _ in range(50)))
    assert {response.status_code for response in responses} == {200}
    assert len({response.content for response in responses}) == 1
    assert service.upstream.counters.by_merchant == {12345: 1}
    forwarded = Counter(response.headers["cache-status"] for response in responses)
    assert forwarded["tallygate; fwd=miss; stored; ttl=5"] == 1


async def test_reads_that_wait_for_anothers_fetch_say_so(service: Service) -> None:
    with service.upstream.fault("hang", merchants=[12345]):
        first = asyncio.create_task(service.get(PATH))
        await service.upstream.calls(1)
        others = [asyncio.create_task(service.get(PATH)) for _ in range(5)]
        await let_them_wait(service)
    assert (await first).headers["cache-status"] == "tallygate; fwd=miss; stored; ttl=5"
    told = [(await other).headers["cache-status"] for other in others]
    assert "tallygate; fwd=miss; collapsed; stored; ttl=5" in told
    # who was held up on the way to the cache found the answer there
    assert set(told) <= {"tallygate; fwd=miss; collapsed; stored; ttl=5", "tallygate; hit; ttl=5; detail=memory"}
    assert service.upstream.counters.by_merchant[12345] == 1


async def test_all_views_of_a_merchant_share_one_upstream_call(service: Service) -> None:
    responses = await asyncio.gather(*(service.get(path, caller) for path in VIEWS * 4 for caller in ("all", "some")))
    assert {response.status_code for response in responses} == {200}
    assert service.upstream.counters.by_merchant == {12345: 1}


async def test_reads_of_many_merchants_are_one_call_each(service: Service) -> None:
    merchants = [*service.upstream.world.merchant_ids[:12], 99_001, 99_002]
    paths = [f"/v1/merchants/{merchant}/balances" for merchant in merchants] * 5
    statuses = Counter(response.status_code for response in await asyncio.gather(*map(service.get, paths)))
    assert statuses == {200: 60, 404: 10}
    assert service.upstream.counters.by_merchant == dict.fromkeys(merchants, 1)


async def test_readers_that_go_away_disturb_no_others(service: Service) -> None:
    with service.upstream.fault("hang"):
        readers = [asyncio.create_task(service.get(PATH)) for _ in range(20)]
        await service.upstream.calls(1)
        for reader in readers[:10]:
            reader.cancel()
        gone = await asyncio.gather(*readers[:10], return_exceptions=True)
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in gone)
    assert {response.status_code for response in await asyncio.gather(*readers[10:])} == {200}
    assert service.upstream.counters.by_merchant == {12345: 1}


async def test_what_everybody_stopped_waiting_for_is_kept_for_the_next(service: Service) -> None:
    with service.upstream.fault("hang"):
        readers = [asyncio.create_task(service.get(PATH)) for _ in range(5)]
        await service.upstream.calls(1)
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
    assert (await service.get(PATH)).status_code == 200
    assert service.upstream.counters.by_merchant == {12345: 1}


async def test_a_failure_reaches_all_who_wait_and_nobody_after(service: Service) -> None:
    with service.upstream.fault("token-expired"):
        responses = await asyncio.gather(*(service.get(PATH) for _ in range(20)))
    assert {response.status_code for response in responses} == {502}
    assert service.upstream.counters.by_merchant == {12345: 1}
    assert (await service.get(PATH)).status_code == 200


@pytest.mark.parametrize("age_seconds", [20, 100])
async def test_a_crowd_that_meets_a_stale_answer_makes_one_call(service: Service, age_seconds: float) -> None:
    await store(service, 12345, age_seconds=age_seconds)
    responses = await asyncio.gather(*(service.get(PATH) for _ in range(30)))
    assert {response.status_code for response in responses} == {200}
    totals = {response.json()["balances"][0]["total"] for response in responses}
    assert totals <= ({OLD_TOTAL, "0.5"} if age_seconds < 35 else {"0.5"})
    assert (await service.get(PATH, cache_control="max-stale=0")).json()["balances"][0]["total"] == "0.5"
    assert service.upstream.counters.by_merchant == {12345: 1}


async def test_a_no_cache_read_takes_no_answer_that_was_asked_for_before_it_came(service: Service) -> None:
    with service.upstream.fault("hang", merchants=[12345]):
        early = asyncio.create_task(service.get(PATH))
        await service.upstream.calls(1)
        await let_them_wait(service)
        await grow_older()
        late = [asyncio.create_task(service.get(PATH, cache_control="no-cache")) for _ in range(20)]
        await let_them_wait(service)
    assert {response.status_code for response in await asyncio.gather(early, *late)} == {200}
    # all who wait share one call, begun after the last of them came; who was held up on the way may need one more
    assert service.upstream.counters.by_merchant[12345] in {2, 3}


async def test_a_flight_that_has_landed_takes_nobody_aboard() -> None:
    single_flight: SingleFlight[str] = SingleFlight()
    held = asyncio.Event()
    late: list[tuple[asyncio.Task[str], bool]] = []

    async def land(_: PermitRequest) -> str:
        return "first"

    async def hold(_: PermitRequest) -> str:
        await held.wait()
        return "second"

    first, _ = single_flight.join(AGGREGATE, PermitRequest(Priority.WAITING), land)
    # runs in the iteration of the loop in which the load ends, and after it: the narrowest moment there is
    asyncio.get_running_loop().call_soon(
        lambda: late.append(single_flight.join(AGGREGATE, PermitRequest(Priority.WAITING), hold))
    )
    assert await first == "first"
    (second, was_under_way), *_ = late
    assert (second is first, was_under_way) == (False, False)
    # nor does the first one's landing take the second off the board
    assert single_flight.join(AGGREGATE, PermitRequest(Priority.WAITING), land) == (second, True)
    held.set()
    assert await second == "second"
