"""Figures of the history: how much is kept, for how long, and how often an epoch began, for metrics."""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from app.history.feed import FeedReader
from app.history.recording import HistoryOptions
from app.history.results import FeedMeta
from app.telemetry.metrics import Metrics

_LOOK_SECONDS: Final = 2.0
_RECENT_MS: Final = 3_600_000

log = structlog.get_logger()


class HistoryFigures:
    """Look at the feed every two seconds. All figures are None until it was seen. `unix_ms` gives Unix time (ms)."""

    def __init__(self, feed: FeedReader, options: HistoryOptions, metrics: Metrics, unix_ms: Callable[[], int]) -> None:
        self._feed: Final = feed
        self._options: Final = options
        self._metrics: Final = metrics
        self._unix_ms: Final = unix_ms
        self._meta: FeedMeta | None = None

    @property
    def bytes(self) -> int | None:
        """About how many bytes the changes take that are kept."""
        return None if self._meta is None else self._meta.bytes

    @property
    def kept_seconds(self) -> float | None:
        """How far all changes are kept back."""
        if self._meta is None:
            return None
        return max(0, self._unix_ms() - max(self._meta.began_ms, self._meta.kept_ms or 0)) / 1000

    @property
    def is_cut_short(self) -> bool | None:
        """Whether changes were dropped before their time, for their bytes, within the last hour."""
        if self._meta is None:
            return None
        return self._meta.cut_ms is not None and self._unix_ms() - self._meta.cut_ms < _RECENT_MS

    async def keep_looking(self) -> None:
        """Look until cancelled, and count and log each epoch that ended."""
        while True:
            found = await self._feed.read_meta()
            if isinstance(found, FeedMeta):
                if self._meta is not None and self._meta.epoch != found.epoch:
                    self._metrics.history_epochs.add()
                    log.warning("history.lost", epoch=found.epoch)
                self._meta = found
            await asyncio.sleep(_LOOK_SECONDS)
