"""Standstills: what arrived while a process stood still is not taken for newer than the beginning of that."""

import pytest

from app.fleet.standstill import Standstills


def ticked(*moments: float) -> Standstills:
    """Give what has ticked at these moments."""
    standstills = Standstills()
    for moment in moments:
        standstills.tick(moment)
    return standstills


@pytest.mark.parametrize(
    ("moments", "since", "now", "doubted"),
    [
        ((), 1.0, 9.0, 0.0),
        ((1.0, 1.5, 2.0), 1.2, 2.4, 0.0),
        ((1.0, 2.0, 3.0), 1.2, 3.9, 0.0),
        ((1.0, 1.5), 1.2, 5.5, 4.0),  # it has not ticked again
        ((1.0, 1.5, 5.5), 1.2, 5.6, pytest.approx(4.1)),  # it has, before the answer was read
        ((1.0, 1.5), 1.7, 5.5, pytest.approx(3.8)),  # asked for after the last tick
        ((1.0, 1.5, 5.5, 6.0), 5.6, 6.1, 0.0),  # asked for afterwards
        ((1.0, 1.5, 5.5, 6.0), 5.5, 6.1, 0.0),
        ((1.0, 5.0, 5.5, 9.5), 0.5, 9.6, pytest.approx(4.1)),  # the last one counts
    ],
)
def test_an_answer_may_have_come_at_any_moment_of_a_standstill(
    moments: tuple[float, ...], since: float, now: float, doubted: float
) -> None:
    assert ticked(*moments).seconds_doubted(since, now) == doubted
