"""Counting, and what is made of it for Prometheus."""

import os
from functools import partial
from pathlib import Path

import pytest

from app.telemetry.exposition import Exposition
from app.telemetry.families import Counter, Gauge, Histogram
from app.telemetry.metrics import Metrics
from app.telemetry.multiprocess import MultiprocessStore
from app.telemetry.samples import merge, read, resume
from tests.support.scrapes import Scraped

PATH = "/v1/merchants/{merchantId}/balances"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("1.2.3", cpu_seconds=lambda: 4.0)


def shown(metrics: Metrics) -> Scraped:
    return Scraped(Exposition(metrics).page("").body.decode())


def test_a_hot_request_counts_as_a_request_and_an_answer_of_memory_do() -> None:
    hot, cold = Metrics(cpu_seconds=lambda: 0.0), Metrics(cpu_seconds=lambda: 0.0)
    for seconds, age_ms in ((0.00005, 0), (0.0001, 500), (0.00011, 501), (7.0, 4_000_000), (99.0, 1)):
        hot.hot(PATH, "GET", 200).count(seconds, age_ms)
        cold.request(PATH, "GET", 200, seconds)
        cold.answer("memory", age_ms)
    assert shown(hot).value("tallygate_http_requests_total", path=PATH, method="GET", status="200") == 5
    assert {(s.name, str(s.labels)): round(s.value, 9) for s in shown(hot).samples if s.name.startswith("tally")} == {
        (s.name, str(s.labels)): round(s.value, 9) for s in shown(cold).samples if s.name.startswith("tally")
    }


def test_where_hot_requests_are_counted_may_be_kept_over_many_scrapes() -> None:
    metrics = Metrics(cpu_seconds=lambda: 0.0)
    series = metrics.hot(PATH, "GET", 200)
    for scrape in range(1, 4):
        series.count(0.001, 1)
        metrics.hot(PATH, "GET", 200).count(0.002, 1)
        found = shown(metrics)
        assert found.value("tallygate_http_requests_total", path=PATH, method="GET", status="200") == 2 * scrape


def test_a_value_on_a_bound_lies_within_it(metrics: Metrics) -> None:
    for age_ms in (4_999, 5_000, 5_001):
        metrics.answer("stale", age_ms)
    ages = "tallygate_answer_age_seconds"
    assert [shown(metrics).value(f"{ages}_bucket", le=le) for le in ("2.0", "5.0", "10.0", "+Inf")] == [0, 2, 3, 3]
    assert shown(metrics).value(f"{ages}_count") == 3
    assert shown(metrics).value(f"{ages}_sum") == pytest.approx(15)


def test_methods_that_nobody_knows_are_one(metrics: Metrics) -> None:
    for method in ("BREW", "PROPFIND", "GET"):
        metrics.request(PATH, method, 405, 0.1)
    assert shown(metrics).value("tallygate_http_requests_total", method="other") == 2


def test_the_values_of_a_label_are_bounded(metrics: Metrics) -> None:
    for number in range(1000):
        metrics.anomalies.add("total-mismatch", f"A{number}")
    anomalies = [sample for sample in shown(metrics).samples if sample.name == "tallygate_anomalies_total"]
    assert len(anomalies) == 201
    assert shown(metrics).value("tallygate_anomalies_total", asset="other") == 800
    assert shown(metrics).value("tallygate_anomalies_total", asset="A199") == 1


def test_a_gauge_that_knows_nothing_shows_nothing(metrics: Metrics) -> None:
    assert not shown(metrics).has("tallygate_token_seconds_left")
    metrics.token_seconds_left.watch(lambda: None)
    assert not shown(metrics).has("tallygate_token_seconds_left")
    metrics.token_seconds_left.watch(lambda: 0.0)
    assert shown(metrics).has("tallygate_token_seconds_left")


def test_processes_are_added_up_and_their_gauges_merged(metrics: Metrics, tmp_path: Path) -> None:
    other = Metrics("1.2.3", cpu_seconds=lambda: 1.0)
    for one, up, lag in ((metrics, 1.0, 0.2), (other, 0.0, 0.1)):
        one.answer("memory", 700)
        one.under_way = 3
        one.redis_available.watch(partial(float, up))
        one.loop_lag.watch(partial(float, lag))
    store = MultiprocessStore(tmp_path, lambda _: True)
    store.put(read(other))
    (tmp_path / f"{os.getpid()}.reading").rename(tmp_path / "4194303.reading")
    both = Scraped(Exposition(metrics, store).page("").body.decode())
    assert both.value("tallygate_answers_total", outcome="memory") == 2
    assert both.value("tallygate_answer_age_seconds_bucket", le="1.0") == 2
    assert both.value("tallygate_requests_under_way") == 6
    assert both.value("tallygate_redis_available") == 0
    assert both.value("tallygate_loop_lag_seconds") == 0.2
    assert both.value("tallygate_build_info", version="1.2.3") == 1
    assert both.value("process_cpu_seconds_total") == 5


def test_merging_changes_nothing_of_what_is_merged(metrics: Metrics) -> None:
    metrics.answer("memory", 700)
    reading = read(metrics)
    whole = merge([reading, reading], metrics)
    assert reading == read(metrics)
    assert whole.series["tallygate_answer_age_seconds"][()][-1] == pytest.approx(1.4)


def test_a_successor_goes_on_counting(metrics: Metrics) -> None:
    metrics.answer("memory", 700)
    metrics.under_way = 5
    successor = Metrics("1.2.3", cpu_seconds=lambda: 0.5)
    resume(successor, read(metrics))
    successor.answer("memory", 700)
    seen = shown(successor)
    assert seen.value("tallygate_answers_total", outcome="memory") == 2
    assert seen.value("tallygate_answer_age_seconds_count") == 2
    assert seen.value("process_cpu_seconds_total") == 4.5
    assert seen.value("tallygate_requests_under_way") == 0


def test_every_metric_is_named_as_prometheus_wants_it(metrics: Metrics) -> None:
    for family in metrics.families():
        name = family.name
        assert family.text.endswith(".")
        assert name.startswith("process_" if family is metrics.cpu else "tallygate_")
        assert not name.endswith(("_ms", "_milliseconds", "_count", "_sum", "_bucket"))
        assert name.endswith("_total") == isinstance(family, Counter)
        assert name.endswith(("_seconds", "_bytes")) or not isinstance(family, Histogram)
        assert isinstance(family, Gauge) or family.labels == tuple(dict.fromkeys(family.labels))
        assert not {"le", "job", "instance"} & set(family.labels)


def test_both_formats_are_read_by_their_parsers(metrics: Metrics) -> None:
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    metrics.request(PATH, "GET", 200, 0.1)
    page = Exposition(metrics).page("application/openmetrics-text; version=1.0.0")
    assert page.content_type.startswith("application/openmetrics-text; version=1.0.0")
    names = {family.name for family in text_string_to_metric_families(page.body.decode())}  # type: ignore[no-untyped-call]
    assert names == set(shown(metrics).families)
    assert {family.name.removesuffix("_total") for family in metrics.families()} < names
