"""Counters, histograms and gauges, kept as plain numbers so that a hot request pays almost nothing."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final

Labels = tuple[str | int, ...]

OTHER: Final = "other"
"""The label value of all series beyond a bound."""


class Counter:
    """Count events by the values of `labels`. Series in `known` exist from the start, at 0.

    Beyond `bound` combinations, new ones count as `other`.
    """

    def __init__(
        self, name: str, text: str, labels: Sequence[str] = (), known: Iterable[Labels] = (), *, bound: int = 10_000
    ) -> None:
        self.name: Final = name
        self.text: Final = text
        self.labels: Final = tuple(labels)
        self.counts: Final[dict[Labels, float]] = dict.fromkeys(known if labels else [()], 0)
        self._bound: Final = bound

    def add(self, *values: str | int, amount: float = 1) -> None:
        """Count an event."""
        try:
            self.counts[values] += amount
        except KeyError:
            self.counts[self._within_bound(values)] += amount

    def _within_bound(self, values: Labels) -> Labels:
        if len(self.counts) >= self._bound:
            values = (OTHER,) * len(values)
        self.counts.setdefault(values, 0)
        return values


class Histogram:
    """Count values in buckets up to `bounds`. A series has the counts of the buckets and of values above, and the sum."""

    def __init__(
        self, name: str, text: str, bounds: Sequence[float], labels: Sequence[str] = (), known: Iterable[Labels] = ()
    ) -> None:
        self.name: Final = name
        self.text: Final = text
        self.labels: Final = tuple(labels)
        self.bounds: Final = tuple(bounds)
        empty = [0.0] * (len(bounds) + 2)
        self.series: Final[dict[Labels, list[float]]] = defaultdict(empty.copy)
        for values in known if labels else [()]:
            self.series[values] = empty.copy()

    def observe(self, value: float, *values: str | int) -> None:
        """Observe a value."""
        cells = self.series[values]
        cells[bisect_left(self.bounds, value)] += 1
        cells[-1] += value

    def add(self, bucket: int, count: float, total: float, *values: str | int) -> None:
        """Add values of one bucket, whose sum is `total`."""
        cells = self.series[values]
        cells[bucket] += count
        cells[-1] += total


class Merge(StrEnum):
    """How a gauge of several processes becomes one number."""

    SUM = "sum"
    MIN = "min"
    MAX = "max"


class Gauge:
    """Report a level. It is read at a scrape, and absent until `watch` or `watch_all` sets a source."""

    def __init__(self, name: str, text: str, merge: Merge, labels: Sequence[str] = ()) -> None:
        self.name: Final = name
        self.text: Final = text
        self.merge: Final = merge
        self.labels: Final = tuple(labels)
        self._read: Callable[[], Mapping[Labels, float]] = dict

    def watch(self, read: Callable[[], float | None]) -> None:
        """Set the source of a gauge without labels; None means unknown."""
        self._read = lambda: {} if (value := read()) is None else {(): float(value)}

    def watch_all(self, read: Callable[[], Mapping[Labels, float]]) -> None:
        """Set the source of a gauge with labels."""
        self._read = lambda: {labels: float(value) for labels, value in read().items()}

    def levels(self) -> dict[Labels, float]:
        """Return its values by labels."""
        return dict(self._read())


Family = Counter | Histogram | Gauge
