"""The audit: which requests have a line, and how many lines a flood may have."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from app.api.middleware.audit import LINES_AT_ONCE, MAX_CALLERS, Audit


def about() -> dict[str, Any]:
    return {"method": "GET", "path": "/v1/portfolio"}


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("refusals", "answers", "lines"),
    [
        (False, False, []),
        (True, False, ["audit.refused"] * 3),
        (True, True, ["audit.answered", "audit.answered", *["audit.refused"] * 3]),
    ],
)
def test_refusals_are_written_down_and_where_all_is_audited_what_callers_were_told_too(
    refusals: bool, answers: bool, lines: list[str]
) -> None:
    audit = Audit(_Clock(), refusals=refusals, answers=answers)
    with capture_logs() as logs:
        for caller, status in (("web", 200), ("web", 404), (None, 200), ("web", 403), ("web", 429), (None, 401)):
            audit.record(caller, status, about)
    assert [line["event"] for line in logs] == lines
    assert audit.logs_all == answers


def test_a_flood_of_refusals_has_few_lines_which_say_how_many_there_are_not() -> None:
    clock = _Clock()
    audit = Audit(clock, refusals=True)
    with capture_logs() as logs:
        for _ in range(1000):
            audit.record(None, 401, about)
        audit.record("web", 403, about)  # whom nobody crowds out
        clock.now = 1.0
        for _ in range(2):
            audit.record(None, 401, about)
    assert len(logs) == LINES_AT_ONCE + 2
    assert logs[-2]["caller"] == "web"
    assert logs[-1]["unwritten"] == 1000 - LINES_AT_ONCE
    assert all("unwritten" not in line for line in logs[:-1])


def test_only_so_many_callers_are_remembered() -> None:
    audit = Audit(_Clock(), refusals=True)
    with capture_logs():
        for number in range(MAX_CALLERS + 10):
            audit.record(str(number), 403, about)
    assert len(audit._quotas) == MAX_CALLERS
