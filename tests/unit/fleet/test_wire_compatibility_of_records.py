"""Wire compatibility of what the fleet keeps besides entries: shared values, jobs, view versions, the rate limiter.

What the earlier one wrote is read here, and what is written here is the same to the byte.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from fakeredis import FakeAsyncRedis, FakeServer

from app.balances.amounts import Amount
from app.balances.merchants import Directory, Merchant
from app.balances.snapshots import AccountId
from app.errors import MerchantInactive, TokenRefused
from app.fleet.shared_value import SharedValue
from app.fleet.view_versions import Slice, ViewVersions
from app.portfolio.directory import MerchantDirectory
from app.portfolio.reconciler import Reconciler, State
from app.resilience.supervision import supervised
from app.secret import Secret
from app.upstream.token_sealing import Seal
from tests.support import recorded_wire as recorded
from tests.support.jobs import World, make_reconciler
from tests.support.replica import Replica, Upstream, make_shared
from tests.support.virtual_redis import read_all, virtual_redis_time
from tests.support.virtual_time import monotonic, virtual_runtime

AGGREGATE = AccountId("0")
DIRECTORY = Directory(recorded.AS_OF, (Merchant(1, "Ann & Söhne", 2), Merchant(2), Merchant(2**53 - 1, "", 3)))
DAY_MS = 86_400_000


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


async def test_a_shared_value_its_lease_and_its_failure_are_kept_as_before(
    server: FakeServer, raw: FakeAsyncRedis
) -> None:
    shared = SharedValue(make_shared(server, recorded.OLD), "{token:n}")

    async def create() -> tuple[bytes, int, int]:
        assert await read_all(raw) == {"t:{token:n}:lease": (b"old", 3000)}
        return b"\0\xffvalue", 60_000, 2_000

    async def fail() -> tuple[bytes, int, int]:
        raise TokenRefused("The upstream refuses the API key.", code=-5043)

    assert await shared.get_or_create(b"", create) == (b"\0\xffvalue", 60_000)
    value, lease = "t:{token:n}", "t:{token:n}:lease"
    assert await read_all(raw) == {value: (b"\0\xffvalue", 60_000), lease: (recorded.CREATION_REST, 2_000)}
    await asyncio.sleep(2.1)
    with pytest.raises(TokenRefused):
        await shared.get_or_create(b"\0\xffvalue", fail)
    assert await read_all(raw) == {value: (b"\0\xffvalue", 57_900), lease: (recorded.CREATION_FAILURE, 1_000)}


async def test_a_failure_of_before_keeps_a_shared_value_from_being_created(
    server: FakeServer, raw: FakeAsyncRedis
) -> None:
    async def create() -> tuple[bytes, int, int]:
        raise AssertionError

    shared = SharedValue(make_shared(server, "new"), "{token:n}")
    await raw.set("t:{token:n}:lease", recorded.CREATION_FAILURE, px=1000)
    with pytest.raises(TokenRefused, match=r"The upstream refuses the API key\.") as refused:
        await shared.get_or_create(b"", create)
    assert (refused.value.code, refused.value.retry_after_seconds) == (-5043, None)


@pytest.mark.parametrize("there", [b"", recorded.DIRECTORY_PACKED])
async def test_the_directory_is_shared_as_before(server: FakeServer, raw: FakeAsyncRedis, there: bytes) -> None:
    async def fetch() -> Directory:
        assert not there
        return DIRECTORY

    directory = MerchantDirectory(
        merchants=None,
        fetch=fetch,
        share=SharedValue(make_shared(server, recorded.OLD), "{directory}").get_or_create,
        refresh_seconds=300,
        runtime=virtual_runtime(),
    )
    if there:
        await raw.set("t:{directory}", there, px=7 * DAY_MS)
    names = {"1": "Ann & Söhne", "2": "", "9007199254740991": ""}
    assert (await directory.list()).names == names
    ((name, (packed, kept_ms)),) = (await read_all(raw)).items()
    assert (name, zlib.decompress(packed), kept_ms) == ("t:{directory}", recorded.DIRECTORY, 7 * DAY_MS)


async def test_a_token_is_sealed_as_before() -> None:
    seal = Seal(Secret(recorded.SEAL_SECRET), recorded.SEAL_PURPOSE)
    token, life_seconds = seal.unseal(recorded.SEALED)
    assert (seal.name, token.reveal(), life_seconds) == (recorded.SEAL_NAME, "minted-token", 3600.0)
    sealed = seal.seal(token, life_seconds)
    opened = AESGCM(recorded.SEAL_KEY).decrypt(sealed[:12], sealed[12:], recorded.SEAL_PURPOSE.encode())
    assert (opened, len(sealed)) == (recorded.SEALED_CONTENT, len(recorded.SEALED))


@asynccontextmanager
async def run_reconciler(world: World, server: FakeServer) -> AsyncIterator[Reconciler]:
    reconciler = make_reconciler(world, server, "j")
    async with supervised(work=reconciler.run):
        await asyncio.sleep(0.001)
        yield reconciler


async def test_jobs_are_recorded_as_before(server: FakeServer, raw: FakeAsyncRedis) -> None:
    world = World(2)
    world.discrepancy = Amount("0.000000000000000001")
    async with run_reconciler(world, server) as reconciler:
        await reconciler.start()
        assert await read_all(raw) == {
            "t:{reconciliation}:began": (b"1000000000001", 30 * DAY_MS),
            "t:{reconciliation}:job:j1": (recorded.JOB_RUNNING, 30 * DAY_MS),
            "t:{reconciliation}:lease": (b"j1", 10_000),
        }
        await asyncio.sleep(1)
        kept = await read_all(raw)
        assert kept == {
            "t:{reconciliation}:began": (b"1000000000001", 30 * DAY_MS - 1000),
            "t:{reconciliation}:job:j1": (recorded.JOB_DONE, 30 * DAY_MS - 940),
            "t:{reconciliation}:last": (recorded.JOB_DONE, 30 * DAY_MS - 940),
        }
        for error, job, record in (
            ({AccountId("2"): MerchantInactive("x")}, "j2", recorded.JOB_INCOMPLETE),
            ({AGGREGATE: TokenRefused("The token is refused.")}, "j3", recorded.JOB_FAILED),
        ):
            world.errors |= error
            await reconciler.start()
            await asyncio.sleep(1)
            assert await raw.get(f"t:{{reconciliation}}:job:{job}") == record
        assert await raw.get("t:{reconciliation}:last") == recorded.JOB_INCOMPLETE


async def test_jobs_of_before_are_found(server: FakeServer, raw: FakeAsyncRedis) -> None:
    async with run_reconciler(World(2), server) as reconciler:
        await raw.mset({"t:{reconciliation}:job:j1": recorded.JOB_RUNNING, "t:{reconciliation}:lease": "j1"})
        assert (await reconciler.start()).state is State.RUNNING
        await raw.delete("t:{reconciliation}:lease")
        assert (await reconciler.get("j1")).state is State.LOST
        for record in (recorded.JOB_DONE, recorded.JOB_INCOMPLETE):
            await raw.set("t:{reconciliation}:last", record)
            await raw.set("t:{reconciliation}:job:x", record)
            assert await reconciler.get_last() == await reconciler.get("x")
        assert (await reconciler.get("x")).missing_merchants == ("2",)
        await raw.set("t:{reconciliation}:job:x", recorded.JOB_FAILED)
        assert (await reconciler.get("x")).detail == "The token is refused."


async def test_a_version_of_a_view_is_kept_as_before_and_one_of_before_is_read(
    server: FakeServer, raw: FakeAsyncRedis
) -> None:
    here, elsewhere = (
        ViewVersions(make_shared(server), capacity=8, capacity_bytes=10**7, monotonic=monotonic) for _ in range(2)
    )
    name = f"t:{{version:{recorded.VERSION}}}"
    items = [b'{"n":1}', b'{"n":2}', b'{"n":3}']
    await here.save(recorded.VERSION, b'{"scope":"s","as_of":5,"view":{"a":1}}', items)
    assert await raw.pttl(name) == 300_000
    fields, _ = (await read_all(raw))[name]
    assert {"head": fields[b"head"], "0": zlib.decompress(fields[b"0"])} == {
        "head": recorded.VERSION_HEAD,
        "0": recorded.VERSION_ITEMS,
    }
    await raw.hset(name, "0", recorded.VERSION_ITEMS_PACKED)
    found = await elsewhere.slice(recorded.VERSION, 1, 2)
    assert isinstance(found, Slice)
    assert ([bytes(item) for item in found.items], found.count) == (items[1:], 3)
    await here.save("many", b"1", [b"%d" % number for number in range(501)])
    assert set(await raw.hkeys("t:{version:many}")) == {b"0", b"1", b"head"}


async def test_the_rate_limiter_has_the_state_of_before(replica: Replica, raw: FakeAsyncRedis) -> None:
    budget, asking = "t:{budget}", "t:{budget}:asking"
    assert await replica.fleet_rate.take(5, leave_headroom=False) == (5, 0)
    state: dict[bytes, bytes] = {b"next": b"1000000001666667"}
    assert await read_all(raw) == {budget: (state, 3_600_000), asking: ([(b"old", 1e15)], 2000)}
    await replica.fleet_rate.take(5, leave_headroom=False)
    await replica.fleet_rate.pause(1.5)
    state = {b"next": b"1000000002000000", b"quiet": b"1000000001500000", b"slowed": b"1000000001500000"}
    state |= {b"factor": b"2", b"pause": b"1000000001500000:1500000"}  # the last one is new, and ignored by others
    assert (await read_all(raw))[budget] == (state, 3_601_500)


async def test_the_rate_limiter_goes_on_from_the_state_of_before(replica: Replica, raw: FakeAsyncRedis) -> None:
    await raw.hset(
        "t:{budget}",
        mapping={"next": "1000000002000000", "quiet": "1000000001500000", "slowed": "1000000001500000", "factor": "2"},
    )
    await raw.zadd("t:{budget}:asking", {"another": 1e15})
    assert await replica.fleet_rate.take(1, leave_headroom=False) == (0, 1.5)
    assert replica.fleet_rate.active_replicas == 2
    await asyncio.sleep(4)
    assert await replica.fleet_rate.take(1, leave_headroom=False) == (1, 0)
    assert await raw.hget("t:{budget}", "next") == b"1000000004560598"
