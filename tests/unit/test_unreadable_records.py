"""What cannot be read is a miss, logged once: never an error of a caller, never the end of a background task."""

import asyncio
import zlib
from collections.abc import Iterator

import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from structlog.testing import capture_logs
from structlog.typing import EventDict

from app.api.routes.paging import Paginator
from app.api.views.parts import Coverage
from app.api.views.portfolio import BreakdownView
from app.balances.merchants import Directory
from app.balances.snapshots import Snapshot
from app.errors import NoReconciliation, StoreUnavailable, TallygateError, UnknownReconciliation, ViewGone
from app.fleet.shared_value import SharedValue
from app.fleet.view_versions import ViewVersions
from app.portfolio.directory import MerchantDirectory
from app.portfolio.reconciler import State
from app.resilience.supervision import supervised
from app.telemetry.log_throttle import SECONDS
from tests.support.garbage import GARBAGE
from tests.support.jobs import World, make_reconciler
from tests.support.minting_replicas import NAME, Mint, run_mints
from tests.support.replica import CHANNEL, KEY, Replica, Upstream, directives, make_shared
from tests.support.virtual_redis import virtual_redis_time
from tests.support.virtual_time import monotonic, unix_ms, virtual_runtime

VERSION = "a" * 24
JOBS = "t:{reconciliation}"

each_garbage = pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)


@pytest.fixture(autouse=True)
async def _virtual() -> Iterator[None]:  # type: ignore[misc]
    with virtual_redis_time():
        yield


@pytest.fixture
def raw(server: FakeServer) -> FakeAsyncRedis:
    return FakeAsyncRedis(server=server)


def warnings(logs: list[EventDict]) -> list[str]:
    return [line["event"] for line in logs if line["log_level"] != "info"]


@each_garbage
async def test_an_entry_is_fetched_again(
    upstream: Upstream, server: FakeServer, raw: FakeAsyncRedis, garbage: bytes
) -> None:
    replica = Replica(upstream, server, "one")
    async with replica.running():
        await raw.set("t:{12345}", garbage)
        with capture_logs() as logs:
            assert isinstance((await replica.cache.read(KEY, directives(), "caller")).entry, Snapshot)
            await raw.set("t:{777}", garbage)
            await replica.tier.get_many([KEY, type(KEY)("777")])
    assert (upstream.calls, warnings(logs)) == (1, ["redis.unreadable"])


async def test_many_unreadable_entries_are_one_line_a_minute(
    upstream: Upstream, server: FakeServer, raw: FakeAsyncRedis
) -> None:
    tier = Replica(upstream, server, "one").tier
    await raw.set("t:{12345}", b"nonsense")
    with capture_logs() as logs:
        for _ in range(10):
            await tier.get_many([KEY])
        await asyncio.sleep(SECONDS)
        await tier.get_many([KEY])
    assert [(line["event"], line["unwritten"]) for line in logs] == [("redis.unreadable", 0), ("redis.unreadable", 9)]


async def test_messages_of_the_bus_are_left_out(upstream: Upstream, server: FakeServer, raw: FakeAsyncRedis) -> None:
    replica = Replica(upstream, server, "one")
    with capture_logs() as logs:
        async with replica.running():
            for garbage in GARBAGE.values():
                for field in (b'"entry":%b', b'"failure":%b', b'"freed":%b', b'"entry":null,"failure":%b'):
                    await raw.publish(CHANNEL, b'{"sender":"x",' + field % garbage + b"}")
                await raw.publish(CHANNEL, garbage)
            await raw.publish(CHANNEL, b'{"sender":"x","entry":{"type":"absent","key":"1","asOf":%d}}' % unix_ms())
            await asyncio.sleep(0.1)
            assert len(replica.memory) == 1
            assert replica.bus.connected
    assert warnings(logs) == ["bus.unreadable"]


@pytest.mark.parametrize("seconds", ["-1", "1e400", "NaN", '"3"'])
async def test_a_failure_with_an_odd_time_is_left_out(
    upstream: Upstream, server: FakeServer, raw: FakeAsyncRedis, seconds: str
) -> None:
    replica = Replica(upstream, server, "one")
    failure = b'{"key":"1","error":"Unreachable","detail":"x","retryAfterSeconds":%b}' % seconds.encode()
    with capture_logs() as logs:
        async with replica.running():
            await raw.publish(CHANNEL, b'{"sender":"x","failure":%b}' % failure)
            await asyncio.sleep(0.1)
    assert warnings(logs) == ["bus.unreadable"]


@each_garbage
async def test_a_record_of_a_job_is_none(server: FakeServer, raw: FakeAsyncRedis, garbage: bytes) -> None:
    reconciler = make_reconciler(World(3), server)
    await raw.mset({f"{JOBS}:job:r9": garbage, f"{JOBS}:last": garbage, f"{JOBS}:began": garbage})
    with capture_logs() as logs:
        with pytest.raises(UnknownReconciliation):
            await reconciler.get("r9")
        with pytest.raises(NoReconciliation):
            await reconciler.get_last()
        async with supervised(work=reconciler.run):
            await asyncio.sleep(30)
            job = await reconciler.start()
            await asyncio.sleep(30)
        assert (await reconciler.get(job.id)).state is State.DONE
        assert (await reconciler.get_last()).id == job.id
    assert warnings(logs) == ["reconciliation.unreadable"]


@each_garbage
async def test_a_lease_of_a_job_is_another_ones(server: FakeServer, raw: FakeAsyncRedis, garbage: bytes) -> None:
    reconciler = make_reconciler(World(3), server)
    await raw.set(f"{JOBS}:lease", garbage, px=10_000)
    with pytest.raises((UnknownReconciliation, StoreUnavailable)):
        await reconciler.start()
    await asyncio.sleep(10.1)
    assert (await reconciler.start()).state is State.RUNNING


@each_garbage
@pytest.mark.parametrize("field", ["head", "0"])
async def test_a_version_of_a_view_is_gone(server: FakeServer, raw: FakeAsyncRedis, garbage: bytes, field: str) -> None:
    await _save(server)
    elsewhere = _versions(server)
    await raw.hset(f"t:{{version:{VERSION}}}", field, garbage)
    with capture_logs() as logs:
        for _ in range(2):
            with pytest.raises(ViewGone):
                await Paginator(elsewhere).next_page(BreakdownView, f"{VERSION}-1", scope="s", limit=2)
    assert warnings(logs) == ["view.unreadable"]


@each_garbage
async def test_a_version_whose_content_is_garbage_is_gone(server: FakeServer, garbage: bytes) -> None:
    """The version itself can be read, and what another version of the program wrote into it cannot."""
    head = b'{"scope":"s","as_of":5,"view":{"complete":true}}'
    for content, items in (
        (head, [b'{"merchantId":1}'] * 3),
        (b'{"scope":"s"}', [b"{}"] * 3),
        (garbage, [garbage] * 3),
    ):
        await _versions(server).save(VERSION, content or b" ", items)
        with capture_logs() as logs, pytest.raises(ViewGone):
            await Paginator(_versions(server)).next_page(BreakdownView, f"{VERSION}-1", scope="s", limit=2)
        assert warnings(logs) == ["view.unreadable"]


async def test_a_version_that_lacks_a_chunk_is_gone(server: FakeServer, raw: FakeAsyncRedis) -> None:
    items = [b'{"number":%d}' % number for number in range(1200)]
    await _versions(server).save(VERSION, b"1", items)
    await raw.hdel(f"t:{{version:{VERSION}}}", "0")
    assert await _versions(server).slice(VERSION, 400, 200) is None
    assert await _versions(server).slice(VERSION, 600, 10) is not None


async def test_a_chunk_that_unfolds_without_end_is_not_unfolded(server: FakeServer, raw: FakeAsyncRedis) -> None:
    await _save(server)
    packer = zlib.compressobj(1)
    packed = b"".join(packer.compress(b" " * 1024 * 1024) for _ in range(600)) + packer.flush()
    await raw.hset(f"t:{{version:{VERSION}}}", "0", packed)
    assert await _versions(server).slice(VERSION, 0, 2) is None


@each_garbage
async def test_a_directory_is_asked_for_again(server: FakeServer, raw: FakeAsyncRedis, garbage: bytes) -> None:
    async def fetch() -> Directory:
        return Directory(unix_ms(), ())

    for stored in (garbage, zlib.compress(garbage)):
        share = SharedValue(make_shared(server), "{directory}").get_or_create
        runtime = virtual_runtime()
        directory = MerchantDirectory(merchants=None, fetch=fetch, share=share, refresh_seconds=300, runtime=runtime)
        await raw.set("t:{directory}", stored)
        with capture_logs() as logs:
            assert (await directory.list()).as_of == unix_ms()
        assert warnings(logs) == (["directory.unreadable"] if stored else [])


@each_garbage
async def test_a_sealed_token_is_minted_again(server: FakeServer, raw: FakeAsyncRedis, garbage: bytes) -> None:
    await raw.set(NAME, garbage, px=100_000)
    with capture_logs() as logs:
        async with run_mints(Mint(), server) as (replica,):
            await replica.tokens.ready()
            assert replica.shown == "token-1"
    assert warnings(logs) == (["token.unreadable"] if garbage else [])


@each_garbage
async def test_a_failure_in_place_of_a_value_is_some_failure(
    server: FakeServer, raw: FakeAsyncRedis, garbage: bytes
) -> None:
    async def create() -> tuple[bytes, int, int]:
        return b"value", 1000, 0

    await raw.set("t:{x}:lease", b"{" + garbage, px=1000)
    value = SharedValue(make_shared(server), "{x}")
    with capture_logs() as logs, pytest.raises(TallygateError):
        await value.get_or_create(b"", create)
    assert warnings(logs) == ["failure.unreadable"]
    await asyncio.sleep(1.1)
    assert (await value.get_or_create(b"", create))[0] == b"value"


def _versions(server: FakeServer) -> ViewVersions:
    return ViewVersions(make_shared(server), capacity=8, capacity_bytes=10**7, monotonic=monotonic)


async def _save(server: FakeServer) -> None:
    view = BreakdownView(complete=True, coverage=Coverage(3, 3, 0, 0))
    await _versions(server).save(
        VERSION, b'{"scope":"s","as_of":5,"view":{"complete":%b}}' % str(view.complete).lower().encode(), [b"{}"] * 3
    )
