"""Metrics of streams, of long polls, and of what is watched."""

from typing import Final

from app.telemetry.families import Counter, Gauge, Histogram, Merge

DELAYS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 35.0, 120.0, 600.0)
FORMATS: Final = ("events", "jsonl", "text")
EVENTS: Final = ("hello", "balances", "synced", "heartbeat", "end")
ENDS: Final = ("left", "draining", "rights", "expired", "lifetime", "slow", "problem")


class WatchMetrics:
    """The metrics of one process."""

    def __init__(self) -> None:
        self.streams: Final = Gauge("tallygate_streams", "Open streams, by format.", Merge.SUM, ("format",))
        self.events: Final = Counter(
            "tallygate_stream_events_total", "Events written to streams.", ("event",), [(event,) for event in EVENTS]
        )
        self.skipped: Final = Counter(
            "tallygate_stream_skipped_total", "Events that a newer one replaced before they were written."
        )
        self.ended: Final = Counter(
            "tallygate_streams_ended_total",
            "Streams that ended; `left` is the reader's own wish.",
            ("reason",),
            [(reason,) for reason in ENDS],
        )
        self.delay: Final = Histogram(
            "tallygate_stream_delay_seconds", "Age of balances when their event was written.", DELAYS
        )
        self.watched: Final = Gauge(
            "tallygate_watched_accounts", "Accounts that streams and long polls keep young.", Merge.SUM
        )
        self.ages: Final = Counter(
            "tallygate_watched_ages_total",
            "Loads of watched accounts, by whether the age that was wanted was kept.",
            ("age",),
            [("kept",), ("exceeded",)],
        )
        self.long_polls: Final = Counter(
            "tallygate_long_polls_total",
            "Reads that waited, by how that ended.",
            ("outcome",),
            [("changed",), ("unchanged",), ("draining",)],
        )
