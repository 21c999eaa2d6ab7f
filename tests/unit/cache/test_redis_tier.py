import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from msgspec import structs
from structlog.testing import capture_logs

from app.balances.snapshots import Absence, AccountId, Snapshot
from app.cache.redis_tier import Found, LeaseAcquired, LeaseHeldElsewhere, RedisTier
from app.fleet.bus import Failure
from app.fleet.lease import LEASE_MS
from app.redis.client import RedisFailure
from app.resilience.supervision import supervised
from app.telemetry.metrics import Metrics
from tests.support.replica import KEY, POLICY, make_shared
from tests.support.virtual_redis import virtual_redis_time
from tests.support.virtual_time import unix_ms

NAME = f"t:{{{KEY}}}"


@pytest.fixture
def tier(server: FakeServer) -> RedisTier:
    return _tier(server, "one")


def _tier(server: FakeServer, replica_id: str) -> RedisTier:
    return RedisTier(make_shared(server, replica_id), policy=POLICY, metrics=Metrics())


@pytest.fixture
def raw(server: FakeServer) -> FakeAsyncRedis:
    return FakeAsyncRedis(server=server)


@pytest.fixture(autouse=True)
async def _virtual() -> Iterator[None]:  # type: ignore[misc]
    with virtual_redis_time():
        yield


def _snapshot(as_of: int) -> Snapshot:
    return Snapshot(KEY, as_of, can_deposit=True, balances=())


async def test_what_is_settled_is_found_and_nothing_else(tier: RedisTier) -> None:
    await tier.store_and_release(_snapshot(5))
    assert await tier.get_many([AccountId("2"), KEY, AccountId("3")]) == {KEY: _snapshot(5)}
    assert await tier.read_or_lease(KEY, 5) == Found(_snapshot(5))
    assert await tier.read_or_lease(KEY, 6) == LeaseAcquired(_snapshot(5))
    assert await tier.read_or_lease(AccountId("2"), 0) == LeaseAcquired(None)


async def test_an_implausible_entry_is_neither_returned_nor_kept_instead_of_ours(tier: RedisTier) -> None:
    await tier.store_and_release(_snapshot(9))
    assert await tier.read_or_lease(KEY, 5, latest_as_of=9) == Found(_snapshot(9))
    assert await tier.read_or_lease(KEY, 5, latest_as_of=8) == LeaseAcquired(None)
    await tier.store_and_release(_snapshot(7), latest_as_of=9)
    assert await tier.read_or_lease(KEY, 5) == Found(_snapshot(9))
    await tier.store_and_release(_snapshot(7), latest_as_of=8)
    assert await tier.read_or_lease(KEY, 5) == Found(_snapshot(7))


async def test_an_entry_that_is_too_old_is_returned_only_to_a_replica_without_it(tier: RedisTier) -> None:
    await tier.store_and_release(_snapshot(5))
    assert await tier.read_or_lease(KEY, 6, known_as_of=4) == LeaseAcquired(_snapshot(5))
    assert await tier.read_or_lease(KEY, 6, known_as_of=5) == LeaseAcquired(None)
    assert await tier.read_or_lease(KEY, 5, known_as_of=5) == Found(_snapshot(5))


async def test_what_nobody_is_to_remember_is_settled_too(server: FakeServer, tier: RedisTier) -> None:
    forgetful = structs.replace(POLICY, absent_ms=0)
    absent = RedisTier(make_shared(server, "two"), policy=forgetful, metrics=Metrics())
    with capture_logs() as logs:
        await absent.store_and_release(Absence(KEY, 5))
    assert logs == []


async def test_what_is_settled_shows_that_redis_takes_writes_again(tier: RedisTier, raw: FakeAsyncRedis) -> None:
    await raw.hset(f"{NAME}:lease", "no", "lease")
    with capture_logs() as logs:
        await tier.release(KEY)
        await raw.delete(f"{NAME}:lease")
        await asyncio.sleep(1)
        assert await tier.read_or_lease(KEY, 5) == LeaseAcquired(None)
        assert [line["event"] for line in logs] == ["redis.refuses"]
        await tier.store_and_release(_snapshot(5))
    assert [line["event"] for line in logs] == ["redis.refuses", "redis.accepts"]


@pytest.mark.parametrize("kind", [Snapshot, Absence])
async def test_redis_knows_how_old_an_entry_of_each_kind_is(tier: RedisTier, kind: type[Snapshot | Absence]) -> None:
    old, new = (Absence(KEY, at) if kind is Absence else _snapshot(at) for at in (5, 7))
    await tier.store_and_release(new)
    await tier.store_and_release(old)
    assert await tier.read_or_lease(KEY, 7) == Found(new)
    assert await tier.read_or_lease(KEY, 8, known_as_of=7) == LeaseAcquired(None)


async def test_a_value_is_json_that_names_its_account(tier: RedisTier, raw: FakeAsyncRedis) -> None:
    await tier.store_and_release(_snapshot(5))
    stored = await raw.get(NAME)
    assert isinstance(stored, bytes)
    value = json.loads(stored)
    assert (value["key"], value["asOf"]) == (KEY, 5)


async def test_a_straggler_never_overwrites_a_newer_entry(tier: RedisTier) -> None:
    for entry in (_snapshot(5), _snapshot(4)):
        await tier.store_and_release(entry)
    assert await tier.get_many([KEY]) == {KEY: _snapshot(5)}
    await tier.store_and_release(Absence(KEY, 6))
    assert await tier.get_many([KEY]) == {KEY: Absence(KEY, 6)}


async def test_entries_expire_with_their_use(tier: RedisTier, raw: FakeAsyncRedis) -> None:
    await tier.store_and_release(_snapshot(5))
    assert await raw.pttl(NAME) == 600_000
    await tier.store_and_release(Absence(KEY, 6))
    assert await raw.pttl(NAME) == 10_000


async def test_one_replica_has_the_lease_and_the_others_learn_for_how_long(tier: RedisTier, server: FakeServer) -> None:
    other = _tier(server, "other")
    assert await tier.read_or_lease(KEY, 1) == LeaseAcquired(None)
    assert await other.read_or_lease(KEY, 1) == LeaseHeldElsewhere(None, LEASE_MS)
    await asyncio.sleep(0.4)
    assert await other.read_or_lease(KEY, 1) == LeaseHeldElsewhere(None, LEASE_MS - 400)


async def test_a_lease_that_was_taken_by_a_command_nobody_waited_for_is_taken_again(
    tier: RedisTier, server: FakeServer
) -> None:
    await tier.read_or_lease(KEY, 1)
    await asyncio.sleep(0.4)
    assert await tier.read_or_lease(KEY, 1) == LeaseAcquired(None)
    assert await _tier(server, "other").read_or_lease(KEY, 1) == LeaseHeldElsewhere(None, LEASE_MS)


async def test_a_lease_ends_by_itself_unless_it_is_kept(tier: RedisTier, server: FakeServer) -> None:
    other = _tier(server, "other")
    await tier.read_or_lease(KEY, 1)
    async with supervised(leases=tier.renew_leases):
        with tier.holding_lease(KEY):
            await asyncio.sleep(9.9)
            assert isinstance(await other.read_or_lease(KEY, 1), LeaseHeldElsewhere)
        await asyncio.sleep(LEASE_MS / 1000)
        assert await other.read_or_lease(KEY, 1) == LeaseAcquired(None)


async def test_a_lease_is_renewed_while_it_is_held_and_not_before_it_was_for_a_while(
    tier: RedisTier, server: FakeServer, raw: FakeAsyncRedis
) -> None:
    account_ids = [AccountId(str(number)) for number in range(5)]
    async with supervised(leases=tier.renew_leases):
        for account_id in account_ids:
            await tier.read_or_lease(account_id, 1)
        with ExitStack() as held:
            for account_id in account_ids[:4]:
                held.enter_context(tier.holding_lease(account_id))
            await asyncio.sleep(0.9)
            assert {await raw.pttl(f"t:{{{account_id}}}:lease") for account_id in account_ids} == {LEASE_MS - 900}
            await asyncio.sleep(0.2)
        lefts = [await raw.pttl(f"t:{{{account_id}}}:lease") for account_id in account_ids]
    assert lefts == [LEASE_MS - 100] * 4 + [LEASE_MS - 1100]


async def test_only_the_leaseholder_releases_the_lease(tier: RedisTier, server: FakeServer) -> None:
    other = _tier(server, "other")
    await tier.read_or_lease(KEY, 9)
    await other.store_and_release(_snapshot(5))
    await other.release_with_failure(KEY, Failure(KEY, "Unreachable", "x"))
    assert isinstance(await other.read_or_lease(KEY, 9), LeaseHeldElsewhere)
    await tier.release_with_failure(KEY, Failure(KEY, "Unreachable", "x"))
    assert isinstance(await other.read_or_lease(KEY, 9), LeaseAcquired)
    await other.store_and_release(_snapshot(7))
    assert isinstance(await tier.read_or_lease(KEY, 9), LeaseAcquired)


ROW = '{"assetId":"BTC","asset":"BTC","assetName":"BTC","total":"1","free":"%s","locked":"0"}'
STORED = '{"type":"balances","key":"12345","asOf":99,"canDeposit":true,"balances":[%s]}'


async def test_what_is_stored_is_read(tier: RedisTier, raw: FakeAsyncRedis) -> None:
    await raw.set(NAME, STORED % (ROW % "1.5"))
    found = await tier.get_many([KEY])
    assert isinstance(found, dict)
    assert found[KEY].as_of == 99


@pytest.mark.parametrize(
    "value",
    [
        *(b"", b"nonsense", b"[]", b'{"key":"12345"}', b"\xff", b'{"type":"old","key":"12345","asOf":99}'),
        *((STORED % (ROW % amount)).encode() for amount in ("1.50", "1e3", "", "-0", "1 0", "NaN")),
    ],
)
async def test_what_cannot_be_read_is_a_miss_and_replaced(tier: RedisTier, raw: FakeAsyncRedis, value: bytes) -> None:
    await raw.set(NAME, value)
    with capture_logs() as logs:
        assert await tier.read_or_lease(KEY, 5) == LeaseAcquired(None)
        await tier.store_and_release(_snapshot(5))
        assert await tier.get_many([KEY]) == {KEY: _snapshot(5)}
    assert [line["event"] for line in logs] == ["redis.unreadable"]


async def test_an_entry_of_another_account_is_a_miss(tier: RedisTier, raw: FakeAsyncRedis) -> None:
    await tier.store_and_release(_snapshot(5))
    await raw.copy(NAME, "t:{2}")
    with capture_logs() as logs:
        assert await tier.get_many([AccountId("2")]) == {}
        assert await tier.read_or_lease(AccountId("2"), 5) == LeaseAcquired(None)
    assert {line["event"] for line in logs} == {"redis.foreign"}


async def test_an_outage_is_unavailable_to_all_and_costs_only_few_anything(tier: RedisTier, server: FakeServer) -> None:
    server.connected = False
    assert [await tier.read_or_lease(KEY, 5) for _ in range(20)] == [RedisFailure.UNAVAILABLE] * 20
    await tier.store_and_release(_snapshot(unix_ms()))
    assert await tier.get_many([KEY]) is RedisFailure.UNAVAILABLE


async def test_keys_of_another_type_are_replaced(tier: RedisTier, raw: FakeAsyncRedis) -> None:
    await tier.store_and_release(_snapshot(5))
    await raw.delete(NAME)
    await raw.rpush(NAME, "odd")
    assert await tier.read_or_lease(KEY, 5) == LeaseAcquired(None)
    await raw.rpush(NAME, "odd")
    await tier.store_and_release(_snapshot(5))
    assert await tier.read_or_lease(KEY, 5) == Found(_snapshot(5))
    await raw.rpush(f"{NAME}:lease", "odd")
    assert await tier.read_or_lease(KEY, 6) == LeaseHeldElsewhere(_snapshot(5), LEASE_MS)
    assert await tier.read_or_lease(KEY, 6) == LeaseAcquired(_snapshot(5))
