"""Readings of several processes in one folder."""

import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.telemetry.metrics import Metrics
from app.telemetry.multiprocess import MultiprocessStore, lives
from app.telemetry.samples import MetricsSample, read

READING = MetricsSample({"a": {("x", 200): 1.0}}, {"h": {(): [1.0, 0.0, 0.5]}}, {"g": {(): 1.0}})


def put_as(folder: Path, pid: int) -> None:
    """Share a reading as another process would."""
    MultiprocessStore(folder, lives).put(READING)
    (folder / f"{os.getpid()}.reading").rename(folder / f"{pid}.reading")


def test_the_others_are_read_and_of_the_dead_only_what_they_counted(tmp_path: Path) -> None:
    put_as(tmp_path, 111)
    put_as(tmp_path, 222)
    store = MultiprocessStore(tmp_path, lambda pid: pid != 222)
    store.put(READING)
    assert store.others() == {111: READING, 222: MetricsSample(READING.counts, READING.series, {})}


def test_one_newcomer_takes_over_what_a_dead_process_counted(tmp_path: Path) -> None:
    put_as(tmp_path, 111)
    put_as(tmp_path, 222)
    store = MultiprocessStore(tmp_path, lambda pid: pid != 222)
    assert store.adopt_dead() == READING
    assert store.others() == {111: READING}
    assert MultiprocessStore(tmp_path, lambda _: True).adopt_dead() is None


def test_what_was_adopted_while_it_was_looked_for_is_found_under_its_new_name(tmp_path: Path) -> None:
    put_as(tmp_path, 222)
    put_as(tmp_path, 223)

    def adopted_meanwhile(_: int) -> bool:
        for path in tmp_path.glob("22*.reading"):
            path.rename(tmp_path / f"1{path.name}")
        return True

    assert MultiprocessStore(tmp_path, adopted_meanwhile).others() == {1222: READING, 1223: READING}


def test_a_folder_that_cannot_be_written_to_is_logged_once(tmp_path: Path) -> None:
    store = MultiprocessStore(tmp_path / "gone", lives)
    with capture_logs() as logs:
        store.put(READING)
        store.put(READING)
    assert [line["event"] for line in logs] == ["metrics.unwritable"]
    assert store.others() == {}


def test_a_real_reading_comes_back_as_it_was(tmp_path: Path) -> None:
    metrics = Metrics("1", cpu_seconds=lambda: 1.0)
    metrics.request("/x", "GET", 200, 0.5)
    metrics.redis_available.watch(lambda: True)
    metrics.sweep_state.watch_all(lambda: {("idle",): True})
    reading = read(metrics)
    store = MultiprocessStore(tmp_path, lives)
    store.put(reading)
    assert MultiprocessStore(tmp_path, lambda _: False).adopt_dead() == reading


@pytest.mark.parametrize(("pid", "runs"), [(os.getpid(), True), (2**22 - 1, False)], ids=["this_one", "no_such"])
def test_a_process_lives_or_not(pid: int, runs: bool) -> None:
    assert lives(pid) is runs
