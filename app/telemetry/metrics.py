"""The catalogue of metrics. docs/operating.md explains each."""

import platform
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Final

from app.telemetry.families import Counter, Family, Gauge, Histogram, Merge
from app.telemetry.watch_metrics import WatchMetrics

FAST: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
CALLS: Final = (0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.5, 4.0, 5.0, 10.0)
AGES: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 35.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
LAGS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

_AT_ONCE: Final = FAST[0]
_AGES_MS: Final = tuple(round(1000 * age) for age in AGES)

METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
_ASSETS: Final = 200


class HotSeries:
    """Count requests of one kind that memory answered, by duration and age of the answer."""

    __slots__ = ("_cells",)

    def __init__(self) -> None:
        self._cells: Final = [[[0.0, 0.0, 0.0] for _ in range(len(_AGES_MS) + 1)] for _ in range(len(FAST) + 1)]

    def count(self, seconds: float, age_ms: int) -> None:
        """Count a request, as `Metrics.request` and `Metrics.answer` do, but cheaper."""
        row = self._cells[0 if seconds <= _AT_ONCE else bisect_left(FAST, seconds)]
        cell = row[bisect_left(_AGES_MS, age_ms)]
        cell[0] += 1
        cell[1] += seconds
        cell[2] += age_ms

    def take(self) -> Iterator[tuple[int, int, float, float, float]]:
        """Return count, seconds and milliseconds of age by bucket of seconds and of age, and reset them."""
        for seconds_bucket, row in enumerate(self._cells):
            for age_bucket, cell in enumerate(row):
                count, seconds, ages_ms = cell
                if count:
                    yield seconds_bucket, age_bucket, count, seconds, ages_ms
                    cell[:] = 0.0, 0.0, 0.0


class Metrics:
    """All metrics of one process.

    Hot answers from memory are counted by a series of `hot`, in about a third of a microsecond, all others by `request`
    and `answer`. `cpu_seconds` returns the CPU time of this process.
    """

    def __init__(self, version: str = "", cpu_seconds: Callable[[], float] = time.process_time) -> None:
        self._cpu_seconds: Final = cpu_seconds
        self._cpu_seen = 0.0
        self.under_way = 0
        self._hot: Final[dict[tuple[str, str, int], HotSeries]] = {}
        self._make_http()
        self._make_answers()
        self._make_upstream()
        self._make_redis()
        self._make_history()
        self._make_moves()
        self._make_balances()
        self._make_process(version)
        self.watch: Final = WatchMetrics()

    def hot(self, path: str, method: str, status: int) -> HotSeries:
        """Return the counter of one kind of requests that memory answers: `path` is the template. It may be kept."""
        kind = path, method, status
        series = self._hot.get(kind)
        if series is None:  # not `setdefault`: creating a series takes longer than all else in a read
            series = self._hot[kind] = HotSeries()
        return series

    def request(self, path: str, method: str, status: int, seconds: float) -> None:
        """Count an HTTP request: `path` is its template, never with an id."""
        self.requests.add(path, method if method in METHODS else "other", status)
        self.request_seconds.observe(seconds, path, status)

    def answer(self, outcome: str, age_ms: int) -> None:
        """Count an answer with balances of this age."""
        self.answers.add(outcome)
        self.answer_age.observe(age_ms / 1000)

    def families(self) -> Iterator[Family]:
        """Return every metric, with all counts."""
        self._flush_hot()
        named = {**vars(self), **vars(self.watch)}
        return (one for one in named.values() if isinstance(one, Counter | Histogram | Gauge))

    def _flush_hot(self) -> None:
        """Add the counts of the hot series to their metrics."""
        self._cpu_seen, cpu_seen = self._cpu_seconds(), self._cpu_seen
        self.cpu.add(amount=self._cpu_seen - cpu_seen)
        for (path, method, status), series in self._hot.items():
            for seconds_bucket, age_bucket, count, seconds, ages_ms in series.take():
                self.requests.add(path, method, status, amount=count)
                self.request_seconds.add(seconds_bucket, count, seconds, path, status)
                self.answers.add("memory", amount=count)
                self.answer_age.add(age_bucket, count, ages_ms / 1000)

    def _make_http(self) -> None:
        self.requests = Counter(
            "tallygate_http_requests_total", "HTTP requests answered.", ("path", "method", "status")
        )
        self.request_seconds = Histogram(
            "tallygate_http_request_seconds", "From a request to the end of its answer.", FAST, ("path", "status")
        )
        self.requests_under_way = Gauge("tallygate_requests_under_way", "HTTP requests being answered.", Merge.SUM)
        self.requests_under_way.watch(lambda: self.under_way)
        self.refusals = Counter("tallygate_refusals_total", "Problems answered, by kind.", ("problem",))

    def _make_answers(self) -> None:
        outcomes = ("memory", "redis", "fetched", "collapsed", "stale", "failed")
        self.answers = Counter(
            "tallygate_answers_total",
            "Questions about an account, by where the answer came from.",
            ("outcome",),
            [(outcome,) for outcome in outcomes],
        )
        self.answer_age = Histogram("tallygate_answer_age_seconds", "Age of the balances answered.", AGES)
        self.snapshots = Gauge("tallygate_snapshots", "Snapshots in memory.", Merge.SUM)
        self.snapshot_bytes = Gauge("tallygate_snapshot_bytes", "Bytes of the snapshots in memory, about.", Merge.SUM)

    def _make_upstream(self) -> None:
        self.upstream_calls = Counter(
            "tallygate_upstream_calls_total",
            "Calls of the upstream, by `ok` or their problem.",
            ("outcome",),
            [("ok",)],
        )
        self.upstream_call_seconds = Histogram(
            "tallygate_upstream_call_seconds", "From sending a call of the upstream to its answer.", CALLS
        )
        self.upstream_retries = Counter("tallygate_upstream_retries_total", "Calls of the upstream that were repeated.")
        self.upstream_unsolicited = Counter(
            "tallygate_upstream_unsolicited_total", "Connections on which the upstream sent what nobody asked for."
        )
        self.breaker_open = Gauge(
            "tallygate_upstream_breaker_open", "1 while the upstream is left alone after failures.", Merge.MAX
        )
        self.quiet_seconds = Gauge(
            "tallygate_upstream_quiet_seconds", "How long the upstream wants to be left alone yet.", Merge.MAX
        )
        priorities = [("waiting",), ("refresh",), ("warm_up",), ("sweep",)]
        self.budget_wait = Histogram(
            "tallygate_budget_wait_seconds",
            "Waiting for a turn to call the upstream.",
            CALLS,
            ("priority",),
            priorities,
        )
        self.budget_refused = Counter(
            "tallygate_budget_refused_total", "Calls not made because no turn could come in time."
        )
        self.budget_waiting = Gauge("tallygate_budget_waiting", "Calls waiting for a turn.", Merge.SUM)
        self.budget_left = Gauge("tallygate_budget_left", "Permits that are free, as last heard.", Merge.MIN)
        self.token_seconds_left = Gauge(
            "tallygate_token_seconds_left", "Until the upstream's token expires, where that is known.", Merge.MIN
        )
        self.token_accepted = Gauge("tallygate_token_accepted", "0 while the upstream refuses the token.", Merge.MIN)

    def _make_redis(self) -> None:
        self.redis_commands = Counter(
            "tallygate_redis_commands_total",
            "Commands for Redis, by how they went.",
            ("outcome",),
            [("ok",), ("unavailable",), ("refused",)],
        )
        self.redis_available = Gauge("tallygate_redis_available", "1 while Redis answers.", Merge.MIN)
        self.redis_accepts_writes = Gauge(
            "tallygate_redis_accepts_writes",
            "0 while Redis refuses commands: read-only, full, or without a right.",
            Merge.MIN,
        )
        self.redis_unusable = Counter(
            "tallygate_redis_unusable_total", "Answers of Redis that are of the wrong form, or another command's."
        )
        self.clock_doubts = Counter(
            "tallygate_clock_doubts_total", "Entries of other replicas from a time that has not come yet."
        )
        self.redis_unreadable = Counter("tallygate_redis_unreadable_total", "Values in Redis that are no entries.")
        self.bus_connected = Gauge("tallygate_bus_connected", "1 while the bus is heard.", Merge.MIN)
        self.bus_messages = Counter(
            "tallygate_bus_messages_total",
            "Messages of other replicas.",
            ("kind",),
            [("entry",), ("failure",), ("unreadable",)],
        )
        self.bus_lag = Histogram("tallygate_bus_lag_seconds", "Age of the entries heard on the bus.", LAGS)

    def _make_history(self) -> None:
        self.history_changes = Counter("tallygate_history_changes_total", "Changes of balances that were recorded.")
        self.history_unrecorded = Counter(
            "tallygate_history_unrecorded_total", "Looks at balances that could not be recorded."
        )
        self.history_epochs = Counter("tallygate_history_epochs_total", "Times that the history was lost.")
        self.history_gaps = Counter("tallygate_history_gaps_total", "Answers of the feed that lacked a change.")
        self.history_bytes = Gauge("tallygate_history_bytes", "Bytes of the changes that are kept, about.", Merge.MAX)
        self.history_kept = Gauge("tallygate_history_kept_seconds", "How far all changes are kept back.", Merge.MIN)
        self.history_cut = Gauge(
            "tallygate_history_cut_short", "1 if changes were dropped before their time in the last hour.", Merge.MAX
        )

    def _make_moves(self) -> None:
        self.upstream_events = Counter(
            "tallygate_upstream_events_total",
            "Events of the upstream, by type; those with a wrong signature apart.",
            ("type",),
            [("bad-signature",)],
        )
        self.upstream_events_repeated = Counter(
            "tallygate_upstream_events_repeated_total", "Events of the upstream that were known, and had no effect."
        )
        self.chases = Counter(
            "tallygate_chases_total",
            "Chases of accounts that moved, by what they found.",
            ("outcome",),
            [("changed",), ("unchanged",)],
        )
        self.chase_looks = Counter("tallygate_chase_looks_total", "Looks at accounts that moved.")
        self.event_keys_ok = Gauge(
            "tallygate_event_keys_ok",
            "0 while the file of the event keys cannot be read and the last good keys count.",
            Merge.MIN,
        )

    def _make_balances(self) -> None:
        self.anomalies = Counter(
            "tallygate_anomalies_total", "Oddities in the upstream's balances.", ("kind", "asset"), bound=_ASSETS
        )
        self.unknown_fields = Counter(
            "tallygate_unknown_fields_total", "Names of fields that the upstream's document does not tell of."
        )
        self.reconciliation_assets = Gauge(
            "tallygate_reconciliation_assets", "Assets of the last reconciliation, by verdict.", Merge.MAX, ("verdict",)
        )
        self.reconciliation_time = Gauge(
            "tallygate_reconciliation_timestamp_seconds", "When the last reconciliation ended.", Merge.MAX
        )
        self.reconciliation_overdue = Gauge(
            "tallygate_reconciliation_overdue", "1 while three intervals have brought no result.", Merge.MIN
        )
        self.sweep_state = Gauge(
            "tallygate_sweep_state", "1 for what the sweep over all merchants is.", Merge.MAX, ("state",)
        )
        self.sweep_round = Gauge("tallygate_sweep_round_seconds", "How long a round of the sweep takes.", Merge.MAX)
        self.sweep_unknown = Gauge("tallygate_sweep_unknown", "Merchants of which nothing is known yet.", Merge.MIN)
        self.sweep_oldest = Gauge("tallygate_sweep_oldest_seconds", "Age of the oldest merchant known.", Merge.MAX)
        self.directory_age = Gauge(
            "tallygate_directory_age_seconds", "Age of the upstream's list of merchants.", Merge.MAX
        )
        self.directory_stale = Gauge(
            "tallygate_directory_stale", "1 while that list is older than a list should be.", Merge.MAX
        )

    def _make_process(self, version: str) -> None:
        self.callers = Gauge("tallygate_callers", "Callers that are known.", Merge.MIN)
        self.key_seconds_left = Gauge(
            "tallygate_key_seconds_left", "Until the keys of a caller end, for keys that do.", Merge.MIN, ("client",)
        )
        self.clients_file_ok = Gauge(
            "tallygate_clients_file_ok",
            "0 while the clients file cannot be read and the last good one counts.",
            Merge.MIN,
        )
        self.loop_lag = Gauge(
            "tallygate_loop_lag_seconds", "Longest that the event loop was late in the last 15 seconds.", Merge.MAX
        )
        self.build_info = Gauge("tallygate_build_info", "1, with what is running.", Merge.MAX, ("version", "python"))
        self.build_info.watch_all(lambda: {(version, platform.python_version()): 1})
        self.cpu = Counter("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.")
        self.log_lines_lost = Counter(
            "tallygate_log_lines_lost_total", "Log lines that could not be written in time, or at all."
        )
        self.worker_restarts = Counter("tallygate_worker_restarts_total", "Workers that died and were replaced.")
