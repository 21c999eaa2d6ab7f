"""Probes at the port of the metrics: what the workers shared last, and for how long it counts."""

import os
from pathlib import Path

import pytest

from app.resilience.draining import Drain
from app.server.health_probes import SILENT_SECONDS, HealthProbes, admin_pages
from app.telemetry.exposition import Exposition
from app.telemetry.heartbeat import Heartbeat
from app.telemetry.metrics import Metrics
from app.telemetry.multiprocess import MultiprocessStore
from app.telemetry.samples import WorkerHealth
from tests.support.virtual_time import monotonic

NOW = 1000.0
READY = WorkerHealth(NOW, is_ready=True, readiness=b'{"status":"ready"}')
DRAINING = WorkerHealth(NOW, is_ready=False, readiness=b'{"status":"draining"}')


def health_of(age_seconds: float) -> WorkerHealth:
    return WorkerHealth(NOW - age_seconds, is_ready=True, readiness=READY.readiness)


def probes(*vitals: WorkerHealth, workers: int = 1) -> HealthProbes:
    return HealthProbes(lambda: vitals, workers, lambda: NOW)


@pytest.mark.parametrize(("age_seconds", "status"), [(0, 200), (SILENT_SECONDS, 200), (SILENT_SECONDS + 0.1, 503)])
def test_a_worker_is_alive_as_long_as_its_heartbeat_is_recent(age_seconds: float, status: int) -> None:
    assert probes(health_of(age_seconds)).live("").status == status
    assert probes(health_of(age_seconds)).ready("").status == status


def test_one_worker_that_hangs_is_not_hidden_by_the_others() -> None:
    page = probes(health_of(0), health_of(1), health_of(60), workers=3).live("")
    assert (page.status, page.body) == (503, b'{"status":"not alive","workers":3,"heard":2}')


def test_before_every_workers_heartbeat_the_service_is_not_alive_and_before_the_first_not_ready() -> None:
    assert probes(workers=2).live("").status == 503
    assert probes(workers=2).ready("").body == b'{"status":"not ready"}'
    assert probes(READY, workers=2).live("").status == 503
    assert probes(READY, workers=2).ready("").status == 200
    assert probes(READY, READY, workers=2).live("").body == b'{"status":"alive"}'


@pytest.mark.parametrize("vitals", [(READY, DRAINING), (DRAINING, READY)])
def test_a_service_is_ready_if_one_worker_is(vitals: tuple[WorkerHealth, ...]) -> None:
    page = probes(*vitals).ready("")
    assert (page.status, page.body, page.content_type) == (200, READY.readiness, "application/json")


def test_a_service_of_which_no_worker_is_ready_says_what_the_last_one_said() -> None:
    earlier = WorkerHealth(NOW - 2, is_ready=False, readiness=b'{"status":"not ready"}')
    assert probes(DRAINING, earlier).ready("").body == DRAINING.readiness
    assert probes(earlier, DRAINING).ready("").status == 503


def test_what_a_dead_worker_said_counts_neither_for_it_nor_for_its_successor(tmp_path: Path) -> None:
    alive = {111}
    metrics = Metrics()
    parent = Exposition(metrics, MultiprocessStore(tmp_path, alive.__contains__))
    pages = admin_pages(parent, 1, lambda: NOW)
    Exposition(metrics, MultiprocessStore(tmp_path, alive.__contains__)).share(READY)
    (tmp_path / f"{os.getpid()}.reading").rename(tmp_path / "111.reading")
    assert pages["/health/live"]("").status == 200
    alive.clear()
    assert pages["/health/live"]("").status == 503
    Exposition(metrics, MultiprocessStore(tmp_path, alive.__contains__))  # which takes over what it counted
    (tmp_path / f"{os.getpid()}.reading").rename(tmp_path / "222.reading")
    alive.add(222)
    assert pages["/health/live"]("").status == 503
    assert b"tallygate_build_info" in pages["/metrics"]("").body


async def test_a_process_beats_before_its_first_second_is_over() -> None:
    beats: list[float] = []
    beating = Heartbeat(monotonic, lambda: beats.append(monotonic())).run()
    beating.send(None)
    assert len(beats) == 1
    beating.close()


def test_a_drain_is_known_as_soon_as_it_begins() -> None:
    drain = Drain()
    told: list[bool] = []
    drain.watch(lambda: told.append(drain.is_on))
    assert told == []
    drain.begin()
    assert told == [True]
