"""Wiring of what is live: streams, long polls, and the demand that keeps their accounts young."""

from collections.abc import Callable, Collection
from typing import Final

from msgspec import Struct

from app.access.callers import Callers
from app.api.streams.live import Live
from app.api.streams.scopes import Scopes
from app.api.streams.streams import Cut, Peer, StreamLimits, Streams
from app.balances.snapshots import AccountId, Entry
from app.budget.fleet_budget import FleetBudget
from app.cache.memory import Listeners
from app.cache.replica import Replica, ReplicaHooks
from app.errors import TallygateError
from app.fleet.bus import Failure
from app.history.slices import FeedSlices
from app.portfolio.running_totals import RunningTotals
from app.portfolio.sweep_queue import SweepQueue
from app.resilience.draining import Drain
from app.resilience.supervision import Part
from app.runtime import Runtime
from app.settings.sections import Settings
from app.upstream.token_source import TokenSource
from app.watch.demand import DemandOptions, DemandSources, WatchDemand
from app.watch.long_polls import LongPollOptions, LongPolls
from app.watch.news import AccountNews
from app.watch.positions import FeedPositions, NoPositions
from app.wiring.cache_options import build_policy
from app.wiring.portfolio import Questions

_CONNECTIONS_PER_STREAM: Final = 2
"""At most one connection in so many carries a stream."""

_SPARE_SECONDS: Final = 1.0
_LEAST_WITHIN_SECONDS: Final = 5.0
_MOST_WITHIN_SECONDS: Final = 600.0


def cut_nothing(_: Collection[Peer]) -> None:
    """Leave connections to the system's own time-outs."""


class Process(Struct, frozen=True):
    """The process around the streams: its drain, the deadline of its requests in seconds, and what ends connections."""

    drain: Drain
    deadline_seconds: float
    cut: Cut


class WatchedReplica(Struct, frozen=True):
    """What streams and long polls read of a replica."""

    replica: Replica
    budget: FleetBudget
    tokens: TokenSource
    slices: FeedSlices | None = None


class Watching(Part, frozen=True):
    """Everything live. The hooks of the replica call `on_subscribed`."""

    live: Live
    on_subscribed: Callable[[], None]


class _Surroundings(Struct, frozen=True):
    source: WatchedReplica
    unix_ms: Callable[[], int]

    def now_ms(self) -> int:
        return self.unix_ms()

    def peek(self, account_id: AccountId, /) -> Entry | None:
        return self.source.replica.memory.peek(account_id)

    def refusal(self, account_id: AccountId, /) -> TallygateError | None:
        return self.source.replica.cache.refusal(account_id)

    def token_refusal(self) -> TallygateError | None:
        return self.source.tokens.refusal


def make_hooks(
    news: AccountNews, totals: RunningTotals, queue: SweepQueue, on_subscribed: Callable[[], None]
) -> ReplicaHooks:
    """Let totals, sweep and news hear what happens to the cache."""

    def on_failure(failure: Failure) -> None:
        queue.on_failure(failure)
        news.on_failure(failure.account_id, failure.to_error())

    return ReplicaHooks(
        listener=Listeners((totals, queue, news)),
        on_failure=on_failure,
        on_load_failure=news.on_failure,
        on_subscribed=on_subscribed,
    )


def build_watching(
    settings: Settings,
    news: AccountNews,
    source: WatchedReplica,
    questions: Questions,
    callers: Callers,
    process: Process,
    runtime: Runtime,
) -> Watching:
    """Build what is live over a replica."""
    replica = source.replica
    demand = _build_demand(settings, news, source, runtime)
    scopes = _build_scopes(settings, news, source, questions, demand, runtime)
    feed = (
        None
        if source.slices is None
        else FeedPositions(source.slices, lambda: replica.bus.connected, lambda: len(streams) > 0)
    )
    streams = Streams(callers, scopes, feed or NoPositions(), process.drain, _limits(settings), process.cut, runtime)
    polls = LongPolls(
        demand,
        news,
        replica.memory.peek,
        questions.directory.known,
        process.drain,
        _long_poll_options(settings, process.deadline_seconds),
        runtime,
    )

    def on_subscribed() -> None:
        scopes.read_again()
        if feed is not None:
            feed.on_subscribed()

    tasks = {"watch_demand": demand.run, "streams": streams.run}
    if feed is not None:
        tasks["stream_positions"] = feed.run
    return Watching(Live(scopes, streams, polls), on_subscribed, tasks=tasks)


def _build_scopes(
    settings: Settings,
    news: AccountNews,
    source: WatchedReplica,
    questions: Questions,
    demand: WatchDemand,
    runtime: Runtime,
) -> Scopes:
    return Scopes(
        news=news,
        demand=demand,
        sweep=questions.sweep,
        directory=questions.directory,
        surroundings=_Surroundings(source, runtime.unix_ms),
        policy=build_policy(settings.freshness, settings.portfolio),
        monotonic=runtime.monotonic,
    )


def _build_demand(settings: Settings, news: AccountNews, source: WatchedReplica, runtime: Runtime) -> WatchDemand:
    replica, upstream = source.replica, settings.upstream
    sources = DemandSources(
        get=replica.memory.get, look_up=replica.loader.look_up, loads=replica.cache.loads, rate=source.budget.rate
    )
    options = DemandOptions(
        per_second=upstream.rate, share=settings.portfolio.sweep_share, concurrency=upstream.concurrency
    )
    demand = WatchDemand(sources, news, options, runtime)
    runtime.metrics.watch.watched.watch(lambda: len(demand))
    return demand


def _limits(settings: Settings) -> StreamLimits:
    most = max(1, settings.http.connections // _CONNECTIONS_PER_STREAM)
    return StreamLimits(streams=min(settings.http.streams, most), drain_seconds=settings.process.drain_seconds)


def _long_poll_options(settings: Settings, deadline_seconds: float) -> LongPollOptions:
    within = min(max(settings.freshness.fresh_seconds, _LEAST_WITHIN_SECONDS), _MOST_WITHIN_SECONDS)
    return LongPollOptions(
        longest_seconds=max(0.0, deadline_seconds - _SPARE_SECONDS),
        within_seconds=within,
        drain_seconds=settings.process.drain_seconds,
    )
