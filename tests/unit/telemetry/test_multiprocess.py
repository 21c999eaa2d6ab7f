"""Readings of several processes in one folder."""

import math
import os
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from app.telemetry.exposition import Exposition
from app.telemetry.metrics import Metrics
from app.telemetry.multiprocess import MultiprocessStore, lives
from app.telemetry.samples import MetricsSample, WorkerHealth, merge, read, resume
from tests.support.garbage import GARBAGE

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


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_a_file_that_is_no_sample_is_logged_once_and_counts_as_none(tmp_path: Path, garbage: bytes) -> None:
    put_as(tmp_path, 111)
    (tmp_path / "222.reading").write_bytes(garbage)
    exposition = Exposition(Metrics(), store := MultiprocessStore(tmp_path, lambda _: True))
    with capture_logs() as logs:
        for _ in range(2):
            assert store.others() == {111: READING}
            assert exposition.page("").status == 200
            assert exposition.health() == []
        assert MultiprocessStore(tmp_path, lambda pid: pid != 222).adopt_dead() is None
    assert [line["event"] for line in logs] == ["metrics.unreadable"] * 2  # once for each store


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_would_spoil_every_sum_makes_a_sample_unreadable(tmp_path: Path, number: float) -> None:
    for place, sample in enumerate(
        [
            MetricsSample({"a": {(): number}}, {}, {}),
            MetricsSample({}, {"h": {(): [number]}}, {}),
            MetricsSample({}, {}, {"g": {(): number}}),
            MetricsSample({}, {}, {}, WorkerHealth(number, is_ready=True, readiness=b"")),
        ],
        1,
    ):
        (tmp_path / f"{place}.reading").write_bytes(msgspec.msgpack.encode(sample))
    assert MultiprocessStore(tmp_path, lambda _: True).others() == {}


def test_files_of_no_process_and_folders_are_passed_over(tmp_path: Path) -> None:
    for name in ("x", "-1", "0", "9" * 30, "1 ", "\u0661"):
        (tmp_path / f"{name}.reading").write_bytes(msgspec.msgpack.encode(READING))
    (tmp_path / "5.reading").mkdir()
    store = MultiprocessStore(tmp_path, lives)
    assert (store.others(), store.adopt_dead()) == ({}, None)


@pytest.mark.parametrize("is_alive", [False, True])
def test_what_is_no_regular_file_neither_blocks_nor_ends_the_sharing(tmp_path: Path, is_alive: bool) -> None:
    (tmp_path / "5.reading").mkdir()
    (tmp_path / "5.reading" / "full").touch()
    (tmp_path / "6.reading").symlink_to("nowhere")
    os.mkfifo(tmp_path / "7.reading")
    (tmp_path / "8.reading").write_bytes(b"")
    put_as(tmp_path, 222)
    store = MultiprocessStore(tmp_path, lambda _: is_alive)
    with capture_logs() as logs:
        assert store.adopt_dead() == (None if is_alive else READING)
        store.put(READING)
        assert store.others() == ({222: READING} if is_alive else {})
    assert {line["event"] for line in logs} <= {"metrics.unreadable"}
    assert MultiprocessStore(tmp_path, lambda _: True).others() == ({222: READING} if is_alive else {})


def test_what_fits_no_metric_here_is_left_out() -> None:
    """Another version may have other metrics, labels and buckets."""
    metrics = Metrics(cpu_seconds=lambda: 0.0)
    before = merge([read(metrics)], metrics)
    counter, histogram = metrics.requests.name, metrics.request_seconds.name
    other = MetricsSample(
        {"gone": {(): 1.0}, counter: {("/x",): 1.0}},
        {"gone": {(): [1.0]}, histogram: {("/x", 200): [1.0], (): [0.0] * (len(metrics.request_seconds.bounds) + 2)}},
        {"gone": {(): 1.0}, metrics.loop_lag.name: {("x",): 1.0}},
    )
    assert merge([read(metrics), other], metrics) == before
    resume(metrics, other)
    assert merge([read(metrics)], metrics) == before
