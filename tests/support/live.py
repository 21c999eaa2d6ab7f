"""A replica with streams and long polls in virtual time: everything real over fakeredis and an upstream that obeys."""

from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fakeredis import FakeServer
from msgspec import Struct

from app.access.callers import Caller, Callers, TokenAuthenticator, hash_key
from app.access.client_addresses import ClientAddresses
from app.access.failed_logins import FailedLogins
from app.accounts import Accounts
from app.api.app import Access, ApiOptions, Balances, ServicePages, build_api
from app.api.routes.service import Readiness
from app.api.streams.live import Live
from app.api.streams.scopes import Scopes
from app.api.streams.streams import Peer, StreamLimits, Streams
from app.balances.merchants import Directory
from app.balances.snapshots import AccountId, Entry
from app.cache.memory import Listeners
from app.cache.replica import ReplicaHooks
from app.errors import TallygateError
from app.fleet.bus import Failure
from app.fleet.demand import Demand
from app.history.following import Following, News
from app.history.histories import Histories
from app.history.past import Past
from app.history.slices import FeedSlices
from app.portfolio.directory import MerchantDirectory
from app.portfolio.sweep import Sweep
from app.portfolio.sweep_figures import SweepOptions
from app.portfolio.sweep_queue import SweepQueue
from app.portfolio.sweep_sources import SweepSources
from app.resilience.draining import Drain
from app.resilience.supervision import supervised
from app.telemetry.metrics import Metrics
from app.watch.demand import DemandOptions, DemandSources, WatchDemand
from app.watch.long_polls import LongPollOptions, LongPolls
from app.watch.news import AccountNews
from app.watch.positions import FeedPositions, NoPositions
from tests.support.apps import FailingPortfolio
from tests.support.replica import POLICY, Replica, Upstream
from tests.support.virtual_redis import virtual_redis_time
from tests.support.virtual_time import monotonic, unix_ms, virtual_runtime

ALL = Caller("all", hash_key("all"), "all", portfolio=True, streams=1000)
SOME = Caller("some", hash_key("some"), frozenset({AccountId("1"), AccountId("2")}), streams=1000)
LONG_DRAIN = 10.0


class _Surroundings(Struct, frozen=True):
    replica: Replica
    refusals: list[TallygateError]

    def now_ms(self) -> int:
        return unix_ms()

    def peek(self, account_id: AccountId, /) -> Entry | None:
        return self.replica.memory.peek(account_id)

    def refusal(self, account_id: AccountId, /) -> TallygateError | None:
        return self.replica.cache.refusal(account_id)

    def token_refusal(self) -> TallygateError | None:
        return self.refusals[0] if self.refusals else None


async def _fetch_nothing() -> Directory:
    raise NotImplementedError


async def _share_nothing(known: bytes, _: object) -> tuple[bytes, int]:
    return known, 0


class LiveReplica:
    """One replica with an API. `app` is what a server would call; `cut` are the peers that were cut off."""

    def __init__(
        self,
        upstream: Upstream,
        server: FakeServer,
        name: str,
        *,
        merchants: Iterable[str] = (),
        callers: Collection[Caller] = (ALL, SOME),
        streams: int = 1000,
        **options: Any,
    ) -> None:
        self.metrics, self.drain, self.cut = Metrics(), Drain(), list[Peer]()
        self.refusals: list[TallygateError] = []
        judge: TokenAuthenticator | None = options.pop("judge", None)
        self.chance = 0.5
        runtime = virtual_runtime(lambda: self.chance, metrics=self.metrics)
        self.news, queue = AccountNews(), SweepQueue(4_750, unix_ms)

        def on_failure(failure: Failure) -> None:
            queue.on_failure(failure)
            self.news.on_failure(failure.account_id, failure.to_error())

        hooks = ReplicaHooks(
            listener=Listeners((queue, self.news)),
            on_failure=on_failure,
            on_load_failure=self.news.on_failure,
            on_subscribed=self._on_subscribed,
        )
        self.replica = replica = Replica(upstream, server, name, hooks=hooks, **options)
        per_second = options.get("per_second", 1000)
        directory = MerchantDirectory(
            merchants=tuple(map(AccountId, merchants)),
            fetch=_fetch_nothing,
            share=_share_nothing,
            refresh_seconds=300,
            runtime=runtime,
        )
        self.sweep = Sweep(
            demand=Demand(replica.shared, 900, monotonic),
            sources=SweepSources(directory, replica.fleet.look_up, replica.memory.peek, replica.cache, lambda: 0),
            queue=queue,
            budget=replica.fleet_budget,
            options=SweepOptions(per_second=per_second, share=0.8, concurrency=16, stale_seconds=3600),
            runtime=runtime,
        )
        self.demand = WatchDemand(
            DemandSources(
                get=replica.memory.get,
                look_up=replica.fleet.look_up,
                loads=replica.cache.loads,
                rate=replica.fleet_rate,
            ),
            self.news,
            DemandOptions(per_second=per_second, share=0.8, concurrency=16),
            runtime,
        )
        self.scopes = Scopes(
            news=self.news,
            demand=self.demand,
            sweep=self.sweep,
            directory=directory,
            surroundings=_Surroundings(replica, self.refusals),
            policy=POLICY,
            monotonic=monotonic,
        )
        past = Past(replica.shared, replica.feed)
        self.feed_news = News(replica.feed, lambda: self.drain.is_on)
        kept = options.get("history")
        self.feed = following = None
        if kept is not None:
            slices = FeedSlices(replica.feed, past, kept, runtime)
            self.feed = FeedPositions(slices, lambda: replica.bus.connected, lambda: True)
            following = Following(replica.feed, past, self.feed_news, kept, runtime, longest_wait_seconds=25)
        self.callers = Callers(callers, workers=1, monotonic=monotonic, judge=judge, now=unix_ms)
        limits = StreamLimits(streams=streams, drain_seconds=LONG_DRAIN)
        self.streams = Streams(
            self.callers, self.scopes, self.feed or NoPositions(), self.drain, limits, self._cut, runtime
        )
        polls = LongPolls(
            self.demand,
            self.news,
            replica.memory.peek,
            directory.known,
            self.drain,
            LongPollOptions(longest_seconds=29, within_seconds=5, drain_seconds=LONG_DRAIN),
            runtime,
        )
        self.polls = polls

        async def look() -> Readiness:
            raise NotImplementedError

        self.app = build_api(
            ApiOptions(version="0", policy=POLICY, audit_answers=True),
            Access(self.callers, FailedLogins(1000, monotonic), ClientAddresses(())),
            Balances(
                Accounts(replica.cache, Histories(past, following)),
                FailingPortfolio(NotImplementedError()),
                Live(self.scopes, self.streams, polls),
            ),
            ServicePages(look, None, self.drain),
            runtime,
        )

    def _cut(self, peers: Collection[Peer]) -> None:
        self.cut.extend(peers)

    def _on_subscribed(self) -> None:
        self.scopes.read_again()
        if self.feed is not None:
            self.feed.on_subscribed()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["LiveReplica"]:
        """Run it, with the bus joined."""
        tasks = {"watch_demand": self.demand.run, "streams": self.streams.run, **self.sweep.tasks}
        if self.feed is not None:
            tasks |= {"positions": self.feed.run, "feed_news": self.feed_news.keep_looking}
        async with self.replica.running(), supervised(**tasks):
            yield self


@asynccontextmanager
async def run_live(
    upstream: Upstream, count: int = 1, server: FakeServer | None = None, **options: Any
) -> AsyncIterator[list[LiveReplica]]:
    """Run so many replicas over one Redis, in virtual time."""
    with virtual_redis_time():
        async with AsyncExitStack() as stack:
            shared = server or FakeServer()
            replicas = [LiveReplica(upstream, shared, f"r{number}", **options) for number in range(count)]
            yield [await stack.enter_async_context(replica.running()) for replica in replicas]
