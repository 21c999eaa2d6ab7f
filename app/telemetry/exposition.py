"""Exposition of metrics: Prometheus's text format, or OpenMetrics where `Accept` asks for it."""

import os
from collections.abc import Callable, Iterable
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
from app.telemetry.multiprocess import MultiprocessStore
from app.telemetry.samples import MetricsSample, WorkerHealth, merge, read, resume

_TO_ADD_UP: Final = frozenset({"process_virtual_memory_bytes", "process_resident_memory_bytes", "process_open_fds"})
_COUNTED_BY_US: Final = "process_cpu_seconds"


class Page(Struct, frozen=True):
    """The response to a scrape."""

    content_type: str
    body: bytes
    status: int = 200


Scrape = Callable[[str], Page]
"""Returns the metrics in the format that an `Accept` header asks for."""


class Exposition:
    """Expose the metrics of this process and, through a store, of all processes of the service.

    Resumes the counts of a process that died.
    """

    def __init__(self, metrics: Metrics, store: MultiprocessStore | None = None) -> None:
        self.metrics: Final = metrics
        self._store: Final = store
        if store is not None and (reading := store.adopt_dead()):
            resume(metrics, reading)
            self.share()  # replaces the health that the dead process published

    def share(self, vitals: WorkerHealth | None = None) -> None:
        """Publish this process's metrics and health to the other processes."""
        if self._store is not None:
            self._store.put(read(self.metrics, vitals))

    def health(self) -> list[WorkerHealth]:
        """Return the last health of the other live processes."""
        others = {} if self._store is None else self._store.others()
        return [reading.health for reading in others.values() if reading.health]

    def heard(self) -> dict[int, float]:
        """Return when each other live process last shared its health, in monotonic seconds, by its id."""
        others = {} if self._store is None else self._store.others()
        return {pid: reading.health.at for pid, reading in others.items() if reading.health}

    def page(self, accept: str) -> Page:
        """Respond to a scrape in the format of its `Accept` header."""
        encode, content_type = choose_encoder(accept)
        return Page(content_type, encode(self._registry()))

    def _registry(self) -> CollectorRegistry:
        registry = CollectorRegistry()
        registry.register(_Collector(self._collect))
        return registry

    def _collect(self) -> list[Metric]:
        others = {} if self._store is None else self._store.others()
        whole = merge([read(self.metrics), *others.values()], self.metrics)
        alive = [os.getpid(), *(pid for pid, reading in others.items() if reading.levels)]
        return [*(_convert(family, whole) for family in self.metrics.families()), *_of_processes(alive)]


class _Collector(Collector):
    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect: Final = collect

    def collect(self) -> Iterable[Metric]:
        return self._collect()


def _convert(family: Family, reading: MetricsSample) -> Metric:
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
    """Sum the levels of all processes if they add up; otherwise the first process counts for all."""
    whole: dict[str, Metric] = {}
    for pid in pids:
        for family in ProcessCollector(pid=partial(int, pid), registry=None).collect():
            known = whole.setdefault(family.name, family)
            if known is not family and family.name in _TO_ADD_UP:
                (before,), (more,) = known.samples, family.samples
                known.samples = [before._replace(value=before.value + more.value)]
    return [family for name, family in whole.items() if name != _COUNTED_BY_US]
