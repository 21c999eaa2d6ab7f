"""The model of a fleet: what it must show before its tables mean anything."""

from itertools import pairwise

from bench.fleet_figures import Conditions
from bench.fleet_model import POLICY, run_fleet

_CONDITIONS = Conditions(
    merchants=1, budget=50, replicas=8, reads_per_second=200, seconds=24, warm_up_seconds=1, concurrency=16
)


def test_a_hot_key_is_fetched_once_in_each_window() -> None:
    moments = [at for at, _ in run_fleet(_CONDITIONS).calls]
    gaps = [after - before for before, after in pairwise(moments)]
    assert len(moments) == 5
    assert all(gap >= POLICY.fresh_ms * 0.95 / 1000 for gap in gaps)


def test_the_upstream_is_never_called_faster_than_the_budget() -> None:
    burst = per_second = 5
    conditions = Conditions(
        merchants=1000, budget=per_second, replicas=8, reads_per_second=40, seconds=8, warm_up_seconds=1
    )
    moments = [at for at, _ in run_fleet(conditions).calls]
    network_seconds = 0.01
    for first, began in enumerate(moments):
        for count, at in enumerate(moments[first:], 1):
            assert count <= burst + (at - began + network_seconds) * per_second + 1
    assert len(moments) > burst + per_second


def test_the_same_conditions_give_the_same_figures() -> None:
    conditions = Conditions(merchants=100, budget=1, replicas=3, reads_per_second=20, seconds=2, warm_up_seconds=1)
    figures = run_fleet(conditions)
    assert figures.budget_spent > 0
    assert figures == run_fleet(conditions)
