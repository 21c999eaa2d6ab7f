import asyncio

from structlog.testing import capture_logs

from app.errors import Unreachable
from app.portfolio.sweep_figures import SweepOptions
from app.portfolio.sweep_log import SweepLog


async def test_a_list_that_cannot_be_read_is_logged_once_a_minute_with_the_number_of_trials_left_out() -> None:
    log = SweepLog(SweepOptions(per_second=10, share=0.8, concurrency=16, stale_seconds=3600))
    with capture_logs() as logs:
        for _ in range(61):
            log.note_no_directory(Unreachable("The upstream cannot be reached."))
            await asyncio.sleep(1)
    assert [(line["event"], line["error"], line["detail"], line["unwritten"]) for line in logs] == [
        ("sweep.no_directory", "Unreachable", "The upstream cannot be reached.", unwritten) for unwritten in (0, 59)
    ]
