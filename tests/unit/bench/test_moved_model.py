"""Events let answers be fresh for longer: fewer calls, and answers that are wrong for less of the time."""

from bench.moved_model import MovedConditions, run_moved


def test_events_cost_less_than_short_freshness_and_show_moves_sooner() -> None:
    often = run_moved(MovedConditions(fresh_seconds=5, has_events=False, merchants=10, seconds=600))
    by_events = run_moved(MovedConditions(fresh_seconds=60, has_events=True, merchants=10, seconds=600))
    assert by_events.calls * 5 < often.calls
    assert 0 < by_events.wrong_share < often.wrong_share
