"""Wire compatibility: replicas of an earlier version and of this one share Redis and the bus during a rolling restart.

What the earlier one wrote is read here, and what is written here is the same to the byte: keys, values, times to live.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from structlog.testing import capture_logs

from app.balances.amounts import Amount
from app.balances.snapshots import Absence, AccountId, Anomaly, AnomalyKind, Entry, Row, Snapshot
from app.cache.redis_tier import Found, LeaseHeldElsewhere
from app.errors import Unreachable, UpstreamBusy
from app.fleet.bus import Failure
from tests.support import recorded_wire as recorded
from tests.support.replica import CHANNEL, Replica, Upstream, directives
from tests.support.virtual_redis import read_all, virtual_redis_time

MERCHANT, UNKNOWN, THIRD, AGGREGATE = (AccountId(text) for text in ("12345", "777", "1", "0"))
ODD = Snapshot(
    MERCHANT,
    recorded.AS_OF,
    can_deposit=False,
    balances=(
        Row("BTC", "BTC", "Bitcoin", Amount("0.5"), Amount("0.3"), Amount("0.2")),
        Row("USDT", "USDT", "Tether ₮", Amount("-1000"), Amount("-800.000000000000000001"), Amount("0")),
    ),
    anomalies=(
        Anomaly(asset_id="BTC", kind=AnomalyKind.DUPLICATE_ASSET, rows=2),
        Anomaly(asset_id="USDT", kind=AnomalyKind.NEGATIVE_AMOUNT),
        Anomaly(asset_id="USDT", kind=AnomalyKind.TOTAL_MISMATCH),
    ),
)
EMPTY = Snapshot(AGGREGATE, recorded.AS_OF + 1, can_deposit=True, balances=())
ABSENT = Absence(UNKNOWN, recorded.AS_OF + 2)
ENTRIES: dict[Entry, bytes] = {
    ODD: recorded.ODD_ENTRY,
    EMPTY: recorded.EMPTY_ENTRY,
    ABSENT: recorded.ABSENT_ENTRY,
}
BUSY = UpstreamBusy("The upstream is busy.", retry_after_seconds=3, code=-5046)


@pytest.fixture(autouse=True)
async def _virtual() -> Iterator[None]:  # type: ignore[misc]
    with virtual_redis_time():
        yield


@pytest.fixture
def raw(server: FakeServer) -> FakeAsyncRedis:
    return FakeAsyncRedis(server=server)


@pytest.fixture
def replica(upstream: Upstream, server: FakeServer) -> Replica:
    return Replica(upstream, server, recorded.OLD, per_second=3, burst=7)


@asynccontextmanager
async def overheard(raw: FakeAsyncRedis) -> AsyncIterator[list[bytes]]:
    """Collect the messages that are published on the bus meanwhile."""
    messages: list[bytes] = []
    async with raw.pubsub() as pubsub:
        await pubsub.subscribe(CHANNEL)
        yield messages
        while (message := await pubsub.get_message(timeout=0.01)) is not None:
            messages += [message["data"]] if message["type"] == "message" else []


async def test_entries_are_stored_and_published_as_before(replica: Replica, raw: FakeAsyncRedis) -> None:
    async with overheard(raw) as messages:
        await asyncio.gather(*map(replica.tier.store_and_release, ENTRIES))
        assert await read_all(raw) == {
            "t:{12345}": (recorded.ODD_ENTRY, 600_000),
            "t:{0}": (recorded.EMPTY_ENTRY, 600_000),
            "t:{777}": (recorded.ABSENT_ENTRY, 10_000),
        }
    assert messages == [recorded.ENTRIES_MESSAGE]


async def test_entries_of_before_are_read_from_redis(replica: Replica, raw: FakeAsyncRedis) -> None:
    for entry, value in ENTRIES.items():
        await raw.set(f"t:{{{entry.account_id}}}", value)
    with capture_logs() as logs:
        assert await replica.tier.get_many([MERCHANT, AGGREGATE, UNKNOWN]) == {one.account_id: one for one in ENTRIES}
        for entry in ENTRIES:
            assert await replica.tier.read_or_lease(entry.account_id, entry.as_of) == Found(entry)
    assert logs == []


async def test_leases_are_taken_as_before_and_those_of_before_are_respected(
    replica: Replica, raw: FakeAsyncRedis
) -> None:
    await raw.set("t:{777}:lease", "another", px=1234)
    await replica.tier.read_or_lease(MERCHANT, 5)
    assert await replica.tier.read_or_lease(UNKNOWN, 5) == LeaseHeldElsewhere(None, 1234)
    assert await read_all(raw) == {"t:{12345}:lease": (b"old", 3000), "t:{777}:lease": (b"another", 1234)}


async def test_leases_are_released_with_the_messages_of_before(replica: Replica, raw: FakeAsyncRedis) -> None:
    for account_id in (MERCHANT, UNKNOWN, THIRD):
        await replica.tier.read_or_lease(account_id, 5)
    async with overheard(raw) as messages:
        failure = replica.tier.release_with_failure(MERCHANT, Failure.of(MERCHANT, BUSY))
        await asyncio.gather(failure, replica.tier.release(UNKNOWN))
        await replica.tier.release_with_failure(THIRD, Failure.of(THIRD, Unreachable("x")))
    assert messages == [recorded.RELEASES_MESSAGE, recorded.FAILURE_MESSAGE]
    assert await read_all(raw) == {}


async def test_messages_of_before_are_understood(upstream: Upstream, server: FakeServer, raw: FakeAsyncRedis) -> None:
    replica = Replica(upstream, server, "new")
    with capture_logs() as logs:
        async with replica.running():
            await raw.publish(CHANNEL, recorded.ENTRIES_MESSAGE)
            await asyncio.sleep(0.01)
            assert [replica.memory.get(entry.account_id) for entry in ENTRIES] == list(ENTRIES)
            upstream.seconds = 3
            await raw.set("t:{1}:lease", recorded.OLD, px=3000)
            waiting = asyncio.create_task(replica.cache.read(THIRD, directives(), "caller"))
            await asyncio.sleep(0.01)
            await raw.publish(CHANNEL, recorded.FAILURE_MESSAGE)
            with pytest.raises(Unreachable, match="x"):
                await waiting
    assert upstream.calls == 0
    assert [line["event"] for line in logs] == ["bus.joined"]


async def test_errors_have_the_names_of_before() -> None:
    for name in recorded.ERROR_NAMES:
        error = Failure(MERCHANT, name, "x", 3.0, -1).to_error()
        assert Failure.of(MERCHANT, error) == Failure(MERCHANT, name, "x", 3.0, -1)
