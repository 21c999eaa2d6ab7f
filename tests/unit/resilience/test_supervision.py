import asyncio

import pytest
import structlog
from structlog.testing import capture_logs

from app.resilience.supervision import Part, Task, _keep_running, running, supervised
from tests.support.virtual_time import monotonic


class _Task:
    """A task that records when it was started, and ends as configured."""

    def __init__(self, error: BaseException | None = None, seconds: float = 5) -> None:
        self.starts: list[float] = []
        self.is_cancelled = False
        self._error = error
        self._seconds = seconds

    async def __call__(self) -> None:
        self.starts.append(monotonic())
        try:
            await asyncio.sleep(self._seconds)
        except asyncio.CancelledError:
            self.is_cancelled = True
            raise
        if self._error is not None:
            raise self._error


async def test_works_run_as_long_as_the_context_and_no_longer() -> None:
    before = asyncio.all_tasks()
    one, other = _Task(seconds=1000), _Task(seconds=1000)
    async with supervised(one=one, other=other):
        await asyncio.sleep(10)
        assert {task.get_name() for task in asyncio.all_tasks() - before} == {"one", "other"}
        assert not one.is_cancelled
    assert one.is_cancelled
    assert other.is_cancelled
    assert asyncio.all_tasks() == before


async def test_a_work_that_fails_is_logged_and_started_again_after_a_pause() -> None:
    work = _Task(RuntimeError("broken"))
    with capture_logs() as logs:
        async with supervised(work=work):
            await asyncio.sleep(13)
    assert work.starts == [0, 6, 12]
    assert [(line["event"], line["task"], line["log_level"]) for line in logs] == [
        ("task.crashed", "work", "error")
    ] * 2


async def test_a_work_that_ends_is_logged_and_started_again() -> None:
    work = _Task()
    with capture_logs() as logs:
        async with supervised(work=work):
            await asyncio.sleep(7)
    assert work.starts == [0, 6]
    assert [(line["event"], line["task"]) for line in logs] == [("task.ended", "work")]


async def test_a_work_that_is_cancelled_by_what_it_waits_for_is_started_again() -> None:
    work = _Task(asyncio.CancelledError())
    async with supervised(work=work):
        await asyncio.sleep(7)
        assert work.starts == [0, 6]


async def test_a_crash_harms_no_other_work() -> None:
    steady = _Task(seconds=1000)
    with capture_logs():
        async with supervised(broken=_Task(RuntimeError("broken")), steady=steady):
            await asyncio.sleep(60)
            assert steady.starts == [0]
            assert not steady.is_cancelled


async def test_leaving_during_the_pause_after_a_crash_ends_the_work() -> None:
    work = _Task(RuntimeError("broken"))
    with capture_logs():
        async with supervised(work=work):
            await asyncio.sleep(5.5)
    assert monotonic() == 5.5
    assert work.starts == [0]


async def test_leaving_with_an_error_ends_the_tasks_and_raises_it() -> None:
    work = _Task(seconds=1000)

    async def leave() -> None:
        async with supervised(work=work):
            await asyncio.sleep(1)
            raise ValueError

    with pytest.raises(ExceptionGroup) as raised:
        await leave()
    assert [type(error) for error in raised.value.exceptions] == [ValueError]
    assert work.is_cancelled


async def test_a_work_that_misses_a_cancellation_is_ended_all_the_same() -> None:
    """Until Python 3.12, `asyncio.wait_for`, through which redis-py talks, may miss one."""

    async def deaf_once() -> None:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            await asyncio.sleep(1000)

    async with asyncio.timeout(100):
        async with supervised(deaf=deaf_once):
            await asyncio.sleep(1)


async def test_parts_are_closed_after_all_tasks_have_ended_the_last_one_first() -> None:
    closed: list[tuple[str, bool]] = []
    work = _Task(seconds=1000)

    def part(name: str, **tasks: Task) -> Part:
        async def close() -> None:
            closed.append((name, work.is_cancelled))

        return Part(tasks=tasks, close=close)

    async with running([part("first"), part("second", work=work), Part()]):
        await asyncio.sleep(1)
    assert closed == [("second", True), ("first", True)]


@pytest.mark.parametrize(
    "error",
    [
        SystemExit(3),
        asyncio.CancelledError(),
        BaseExceptionGroup("several", [SystemExit(3), asyncio.CancelledError(), RuntimeError("broken")]),
        RecursionError(),
        MemoryError(),
        BaseException("of no known kind"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_a_task_raises_it_is_logged_and_started_again_and_the_others_go_on(error: BaseException) -> None:
    work, other = _Task(error), _Task(seconds=1000)
    with capture_logs() as logs:
        async with supervised(work=work, other=other):
            await asyncio.sleep(7)
            assert not other.is_cancelled
    assert work.starts == [0, 6]
    assert other.starts == [0]
    assert [(line["event"], line["task"]) for line in logs] == [("task.crashed", "work")]
    assert logs[0]["exc_info"] is error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), BaseExceptionGroup("", [KeyboardInterrupt(), SystemExit()])])
async def test_a_person_who_interrupts_the_program_ends_it(error: BaseException) -> None:
    steps = _keep_running("work", _raise(error))
    with pytest.raises(type(error)):  # stepped by hand: a loop hands such an error to whoever runs it
        steps.send(None)


@pytest.mark.parametrize("error", [None, RuntimeError("broken")])
async def test_a_task_survives_a_log_that_cannot_be_written(error: Exception | None) -> None:
    work, before = _Task(error), structlog.get_config()
    structlog.configure(processors=[_fail])
    try:
        async with supervised(work=work):
            await asyncio.sleep(7)
    finally:
        structlog.configure(**before)
    assert work.starts == [0, 6]


def _raise(error: BaseException) -> Task:
    async def task() -> None:
        raise error

    return task


def _fail(*_: object) -> str:
    raise OSError("the disk is full")
