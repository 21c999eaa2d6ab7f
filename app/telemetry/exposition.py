"""Metrics as Prometheus reads them: its text format, or OpenMetrics where that is asked for."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import accumulate
from typing import Final

from msgspec import Struct
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from app.telemetry.families import Counter, Family, Gauge, Histogram
from app.telemetry.metrics import Metrics
from app.telemetry.readings import Reading

_TO_ADD_UP: Final = frozenset({"process_virtual_memory_bytes", "process_resident_memory_bytes", "process_open_fds"})
_COUNTED_BY_US: Final = "process_cpu_seconds"


class Page(Struct, frozen=True):
    """An answer to a scrape."""

    content_type: str
    body: bytes


Scrape = Callable[[str], Page]
"""Gives the metrics as an `Accept` header wants them."""


def render(metrics: Metrics, reading: Reading, pids: Iterable[int], accept: str) -> Page:
    """Write a reading of these metrics, and what the system tells of some processes, as `accept` wants it."""
    encode, content_type = choose_encoder(accept)
    registry = CollectorRegistry()
    registry.register(_Collected([*_ours(metrics, reading), *_of_processes(pids)]))
    return Page(content_type, encode(registry))


class _Collected(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families: Final = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _ours(metrics: Metrics, reading: Reading) -> Iterator[Metric]:
    return (_convert(family, reading) for family in metrics.families())


def _convert(family: Family, reading: Reading) -> Metric:
    match family:
        case Counter(name=name):
            counter = CounterMetricFamily(name, family.text, labels=family.labels)
            for labels, value in reading.counts.get(name, {}).items():
                counter.add_metric([str(label) for label in labels], value)
            return counter
        case Gauge(name=name):
            gauge = GaugeMetricFamily(name, family.text, labels=family.labels)
            for labels, value in reading.levels.get(name, {}).items():
                gauge.add_metric([str(label) for label in labels], value)
            return gauge
        case Histogram(name=name):
            histogram = HistogramMetricFamily(name, family.text, labels=family.labels)
            bounds = [*map(floatToGoString, family.bounds), "+Inf"]
            for labels, cells in reading.series.get(name, {}).items():
                buckets = list(zip(bounds, accumulate(cells[:-1]), strict=True))
                histogram.add_metric([str(label) for label in labels], buckets, cells[-1])
            return histogram


def _of_processes(pids: Iterable[int]) -> Iterable[Metric]:
    """Add up what processes hold; of the rest, what the first one says stands for all."""
    whole: dict[str, Metric] = {}
    for pid in pids:
        for family in ProcessCollector(pid=partial(int, pid), registry=None).collect():
            known = whole.setdefault(family.name, family)
            if known is not family and family.name in _TO_ADD_UP:
                (before,), (more,) = known.samples, family.samples
                known.samples = [before._replace(value=before.value + more.value)]
    return [family for name, family in whole.items() if name != _COUNTED_BY_US]
