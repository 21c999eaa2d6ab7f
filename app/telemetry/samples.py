"""Metrics samples: all that a process has measured, as one value, and the merge of several processes."""

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta, Struct

from app.telemetry.families import Counter, Gauge, Histogram, Labels, Merge
from app.telemetry.metrics import Metrics

Finite = Annotated[float, Meta(ge=-1e300, le=1e300)]
"""A number that is neither infinite nor NaN: those would spoil each sum and comparison that they meet."""

Counts = dict[str, dict[Labels, Finite]]
Series = dict[str, dict[Labels, list[Finite]]]


class WorkerHealth(Struct, frozen=True):
    """Health that a worker publishes, so that the parent can answer probes without asking it.

    `at` is monotonic seconds, which all processes of a machine share. `readiness` is its answer at `/health/ready`.
    """

    at: Finite
    is_ready: bool
    readiness: bytes


class MetricsSample(Struct, frozen=True):
    """Counters, histograms and gauges by name, then labels, and the process's health if published."""

    counts: Counts
    series: Series
    levels: Counts
    health: WorkerHealth | None = None


def read(metrics: Metrics, vitals: WorkerHealth | None = None) -> MetricsSample:
    """Read the sample of this process."""
    reading = MetricsSample({}, {}, {}, vitals)
    for family in metrics.families():
        match family:
            case Counter():
                reading.counts[family.name] = dict(family.counts)
            case Histogram():
                reading.series[family.name] = {labels: cells.copy() for labels, cells in family.series.items()}
            case Gauge():
                reading.levels[family.name] = family.levels()
    return reading


def resume(metrics: Metrics, reading: MetricsSample) -> None:
    """Resume the counts of another process, without its gauges and health. What fits no metric here is left out."""
    for family in metrics.families():
        match family:
            case Counter():
                _merge_into(family.counts, _fitting(family, reading.counts), Merge.SUM)
            case Histogram():
                _add_up(family.series, _fitting_cells(family, reading.series))
            case Gauge():
                pass


def merge(readings: Iterable[MetricsSample], metrics: Metrics) -> MetricsSample:
    """Merge samples: counts are added, gauges merged as `metrics` defines for each. What fits none is left out."""
    families = list(metrics.families())
    whole = MetricsSample({}, {}, {})
    for reading in readings:
        for family in families:
            match family:
                case Counter(name=name):
                    _merge_into(whole.counts.setdefault(name, {}), _fitting(family, reading.counts), Merge.SUM)
                case Gauge(name=name):
                    _merge_into(whole.levels.setdefault(name, {}), _fitting(family, reading.levels), family.merge)
                case Histogram(name=name):
                    _add_up(whole.series.setdefault(name, {}), _fitting_cells(family, reading.series))
    return whole


def _fitting(family: Counter | Gauge, counts: Counts) -> dict[Labels, float]:
    """Return the values of a metric that have as many labels as it has: another version's may not."""
    found = counts.get(family.name, {})
    return {labels: value for labels, value in found.items() if len(labels) == len(family.labels)}


def _fitting_cells(family: Histogram, series: Series) -> dict[Labels, list[float]]:
    """Return the cells of a histogram that has the same labels and buckets."""
    found, cells_each = series.get(family.name, {}), len(family.bounds) + 2
    return {
        labels: cells
        for labels, cells in found.items()
        if len(labels) == len(family.labels) and len(cells) == cells_each
    }


def _merge_into(whole: dict[Labels, float], part: dict[Labels, float], how: Merge) -> None:
    for labels, value in part.items():
        if labels not in whole:
            whole[labels] = value
            continue
        match how:
            case Merge.SUM:
                whole[labels] += value
            case Merge.MIN:
                whole[labels] = min(whole[labels], value)
            case Merge.MAX:
                whole[labels] = max(whole[labels], value)


def _add_up(whole: dict[Labels, list[float]], part: dict[Labels, list[float]]) -> None:
    for labels, cells in part.items():
        before = whole.get(labels)
        whole[labels] = cells if before is None else [one + other for one, other in zip(before, cells, strict=True)]
