"""Metrics samples: all that a process has measured, as one value, and the merge of several processes."""

from collections.abc import Iterable

from msgspec import Struct

from app.telemetry.families import Counter, Gauge, Histogram, Labels, Merge
from app.telemetry.metrics import Metrics

Counts = dict[str, dict[Labels, float]]
Series = dict[str, dict[Labels, list[float]]]


class WorkerHealth(Struct, frozen=True):
    """Health that a worker publishes, so that the parent can answer probes without asking it.

    `at` is monotonic seconds, which all processes of a machine share. `readiness` is its answer at `/health/ready`.
    """

    at: float
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
    """Resume the counts of another process, without its gauges and health."""
    for family in metrics.families():
        match family:
            case Counter():
                _merge_into(family.counts, reading.counts.get(family.name, {}), Merge.SUM)
            case Histogram():
                _add_up(family.series, reading.series.get(family.name, {}))
            case Gauge():
                pass


def merge(readings: Iterable[MetricsSample], metrics: Metrics) -> MetricsSample:
    """Merge samples: counts are added, gauges merged as `metrics` defines for each."""
    merges = {family.name: family.merge for family in metrics.families() if isinstance(family, Gauge)}
    whole = MetricsSample({}, {}, {})
    for reading in readings:
        for name, counts in reading.counts.items():
            _merge_into(whole.counts.setdefault(name, {}), counts, Merge.SUM)
        for name, levels in reading.levels.items():
            _merge_into(whole.levels.setdefault(name, {}), levels, merges[name])
        for name, series in reading.series.items():
            _add_up(whole.series.setdefault(name, {}), series)
    return whole


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
