"""The evaluator of the rules agrees with Prometheus, whose answers these are (2.42, `promtool test rules`)."""

import math

import pytest

from tests.support.promql import Scrapes, evaluate

SERIES = {
    'calls_total{outcome="ok"}': (0, 10, 20, 5, 15),
    'calls_total{outcome="bad"}': (3, 4, 6, 6, 9),
    'age_bucket{le="1"}': (0, 4, 8, 12, 16),
    'age_bucket{le="5"}': (0, 8, 16, 24, 32),
    'age_bucket{le="+Inf"}': (0, 10, 20, 30, 40),
    "open": (0, 0, 1, 1, 0),
}
STEP_SECONDS = 60

EXPECTED = {
    "sum(increase(calls_total[3m]))": 27.0,
    "sum(increase(calls_total[20m]))": 43.458333333333336,
    "sum(rate(calls_total[5m]))": 0.14652777777777778,
    'sum(rate(calls_total{outcome!~"ok|fine"}[5m])) / sum(rate(calls_total[5m])) > 0.1': 0.17061611374407584,
    "histogram_quantile(0.5, sum by (le) (rate(age_bucket[5m])))": 2.0,
    "histogram_quantile(0.95, sum by (le) (rate(age_bucket[5m])))": 5.0,
    "max(open) > 0 or sum(open)": 0.0,
    "min(open) < 1": 0.0,
}


@pytest.fixture
def scrapes() -> Scrapes:
    found = Scrapes()
    for number in range(5):
        lines = ["# TYPE calls_total counter", "# TYPE age histogram", "# TYPE open gauge"]
        found.add(
            number * STEP_SECONDS,
            "\n".join([*lines, *(f"{name} {row[number]}" for name, row in SERIES.items())]) + "\n",
        )
    return found


@pytest.mark.parametrize("expression", EXPECTED)
def test_an_expression_is_what_prometheus_says(scrapes: Scrapes, expression: str) -> None:
    ((_, value),) = evaluate(expression, scrapes, 250).items()
    assert math.isclose(value, EXPECTED[expression], rel_tol=1e-9)


def test_absent_is_one_where_there_is_nothing_and_else_nothing(scrapes: Scrapes) -> None:
    assert evaluate("absent(gone)", scrapes, 250) == {frozenset(): 1}
    assert evaluate("absent(open)", scrapes, 250) == {}
    scrapes.add(300, "")
    assert evaluate("absent(open)", scrapes, 300) == {frozenset(): 1}


def test_what_it_does_not_know_it_does_not_guess(scrapes: Scrapes) -> None:
    for expression in ("avg(open)", "open offset 5m", "irate(calls_total[5m])", "1 + 1", 'absent(x{a="b"})'):
        with pytest.raises(NotImplementedError):
            evaluate(expression, scrapes, 250)
