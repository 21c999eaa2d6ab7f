"""Wiring of the history: where it is kept, what records it, and what reads it."""

from app.history.feed import FeedReader
from app.history.figures import HistoryFigures
from app.history.following import Following, News
from app.history.histories import NO_HISTORIES, Histories
from app.history.past import Past
from app.history.recording import HistoryOptions, Recorder
from app.history.slices import FeedSlices
from app.redis.shared import Shared
from app.resilience.draining import Drain
from app.resilience.supervision import Part
from app.runtime import Runtime
from app.settings.sections import RedisSettings, Settings
from app.wiring.redis import build_redis_client, build_url_watcher, check_redis_url, diagnose_redis

_VARIABLE = "TALLYGATE_HISTORY_REDIS_URL"
_SPARE_SECONDS = 2


class HistoryParts(Part, frozen=True):
    """The history of one replica. All is None where no history is kept."""

    recorder: Recorder | None = None
    slices: FeedSlices | None = None
    histories: Histories = NO_HISTORIES


def build_history(settings: Settings, shared: Shared, drain: Drain, runtime: Runtime) -> HistoryParts:
    """Build the history, in the store of the entries or in one of its own. Raises `StartError`."""
    kept, is_own = settings.history, settings.history.redis_url is not None
    if not kept.seconds or not kept.bytes:
        return HistoryParts()
    store = _share_own(settings, shared, runtime) if is_own else shared
    options = HistoryOptions(keep_ms=round(kept.seconds * 1000), max_bytes=kept.bytes)
    recorder = Recorder(store, options, runtime.metrics, own=is_own)
    feed = FeedReader(store, shared.stores.wait_for_all)
    past = Past(store, feed, lambda: runtime.unix_ms() - options.keep_ms)
    news = News(feed, lambda: drain.is_on)
    figures = HistoryFigures(feed, options, runtime.metrics, runtime.unix_ms)
    metrics = runtime.metrics
    metrics.history_bytes.watch(lambda: figures.bytes)
    metrics.history_kept.watch(lambda: figures.kept_seconds)
    metrics.history_cut.watch(lambda: figures.is_cut_short)
    following = Following(feed, past, news, options, runtime, _longest_wait_seconds(settings))
    tasks = {"history_figures": figures.keep_looking, "history_news": news.keep_looking}
    if is_own:
        tasks |= {"history_link": store.client.probe_while_lost, "history_renewal": store.client.renew_while_refused}
        own = _own_redis(settings)
        watcher = build_url_watcher(own, store.client, plain=settings.process.plain, variable=f"{_VARIABLE}_FILE")
        if watcher is not None:
            tasks["history_redis_url"] = watcher.keep_watching

    async def close() -> None:
        await past.close()
        if is_own:
            await store.client.close()

    slices = FeedSlices(feed, past, options, runtime)
    return HistoryParts(recorder, slices, Histories(past, following), tasks=tasks, close=close)


def _longest_wait_seconds(settings: Settings) -> int:
    """Give how long a request may wait for a change: what its deadline leaves when all else has had its time."""
    return max(0, int(settings.http.request_timeout_seconds - _SPARE_SECONDS))


async def diagnose_history(settings: Settings) -> str | None:
    """Use the store of the history as the service would: None if nothing is wrong with it, or there is none of its own.

    Raises `StartError`.
    """
    own = _own_redis(settings)
    return await diagnose_redis(own, variable=f"{_VARIABLE}_FILE" if own.url_file else _VARIABLE)


def check_history_url(settings: Settings) -> None:
    """Raise `StartError` if there is a URL of a store for the history, and it cannot be used."""
    if settings.history.redis_url is not None:
        check_redis_url(_own_redis(settings), plain=settings.process.plain, variable=_VARIABLE)


def _own_redis(settings: Settings) -> RedisSettings:
    kept = settings.history
    return RedisSettings(
        url=kept.redis_url, url_file=kept.redis_url_file, timeout_seconds=settings.redis.timeout_seconds
    )


def _share_own(settings: Settings, shared: Shared, runtime: Runtime) -> Shared:
    """Share a store of its own: the same keys as in the other one."""
    client = build_redis_client(
        _own_redis(settings),
        runtime,
        plain=settings.process.plain,
        probe_key=f"{shared.key_prefix}:probe",
        variable=_VARIABLE,
        store="history",
    )
    return Shared(client, shared.key_prefix, shared.replica_id)
